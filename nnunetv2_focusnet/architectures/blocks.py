"""Building blocks that the networks share. All tensors are (batch, channels, z, y, x)."""

import json
from collections.abc import Sequence
from copy import deepcopy
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

Triple = Sequence[int]


def zyx(values: Triple) -> tuple[int, int, int]:
    """Exactly three values, as torch's layers want them."""
    z, y, x = values
    return z, y, x


class ConvNormNonlin(nn.Sequential):
    """3D convolution, instance normalisation, leaky ReLU; padded so that stride 1 keeps the size.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: odd size per axis (z, y, x) in voxels.
        stride: stride per axis (z, y, x).
        dilation: dilation per axis (z, y, x).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Triple = (3, 3, 3),
        stride: Triple = (1, 1, 1),
        dilation: Triple = (1, 1, 1),
    ) -> None:
        padding = zyx([d * (k - 1) // 2 for k, d in zip(kernel_size, dilation, strict=True)])
        super().__init__(
            nn.Conv3d(in_channels, out_channels, zyx(kernel_size), zyx(stride), padding, zyx(dilation)),
            nn.InstanceNorm3d(out_channels, eps=1e-5, affine=True),
            nn.LeakyReLU(inplace=True),
        )


class SqueezeExcitation(nn.Module):
    """Channel attention: one gate per sample and channel, the same at every voxel (Hu et al., CVPR 2018).

    Args:
        channels: channels of input and output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(channels // 2, 1)
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool3d(1),
            nn.Conv3d(channels, hidden, 1),
            nn.ReLU(inplace=True),
            nn.Conv3d(hidden, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Scale ``x`` in shape (B, C, Z, Y, X) channel by channel."""
        return x * self.gate(x)


class ResBlock(nn.Module):
    """Two convolutions with a skip connection (He et al., CVPR 2016), a nonlinearity before the sum and after it.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: odd size per axis (z, y, x) in voxels.
        stride: stride of the first convolution and of the skip, per axis (z, y, x).
        dilation: of both convolutions, per axis (z, y, x).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Triple = (3, 3, 3),
        stride: Triple = (1, 1, 1),
        dilation: Triple = (1, 1, 1),
    ) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            ConvNormNonlin(in_channels, out_channels, kernel_size, stride, dilation),
            ConvNormNonlin(out_channels, out_channels, kernel_size, dilation=dilation),
        )
        pool: nn.Module = nn.AvgPool3d(zyx(stride)) if max(stride) > 1 else nn.Identity()
        match: nn.Module = nn.Identity()
        if in_channels != out_channels:
            match = nn.Sequential(
                nn.Conv3d(in_channels, out_channels, 1, bias=False), nn.InstanceNorm3d(out_channels, affine=True)
            )
        self.skip = nn.Sequential(pool, match)
        self.nonlin = nn.LeakyReLU(inplace=True)  # nothing else reads the sum

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, Z, Y, X) to (B, out_channels, Z/stride, Y/stride, X/stride)."""
        return self.nonlin(self.skip(x) + self.residual(x))


class SEResBlock(ResBlock):
    """A residual block with squeeze-and-excitation (paper sec. 2, SEResBlock).

    The squeeze follows the second nonlinearity: the mean of an instance-normalised map is a constant, so a gate
    squeezed right after the normalisation would not depend on the image.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: odd size per axis (z, y, x) in voxels.
        stride: stride of the first convolution and of the skip, per axis (z, y, x).
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Triple = (3, 3, 3), stride: Triple = (1, 1, 1)
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride)
        self.residual.append(SqueezeExcitation(out_channels))


class UpBlock(nn.Module):
    """A level of a U-Net's decoder: upsampling, concatenation with the encoder's features, one SEResBlock.

    Args:
        low_channels: of the level below.
        channels: of the encoder's features, and of the output.
        kernel_size: odd size per axis (z, y, x) in voxels.
        stride: upsampling per axis (z, y, x).
    """

    def __init__(self, low_channels: int, channels: int, kernel_size: Triple, stride: Triple) -> None:
        super().__init__()
        self.upsample = nn.ConvTranspose3d(low_channels, channels, zyx(stride), zyx(stride), bias=False)
        self.block = SEResBlock(2 * channels, channels, kernel_size)

    def forward(self, skip: Tensor, low: Tensor) -> Tensor:
        """Map (B, channels, Z, Y, X) and (B, low_channels, Z/s, Y/s, X/s) to (B, channels, Z, Y, X)."""
        return self.block(torch.cat([skip, self.upsample(low)], 1))


def constant(values: Sequence[Any], device: torch.device) -> Tensor:
    """The tensor of ``values``, numbers or nested sequences of them, copied to the device only once.

    A copy to a GPU in every step would have the host wait for it.
    """
    if torch.compiler.is_compiling():  # where it becomes part of the graph
        return torch.tensor(values, device=device)
    return _kept(json.dumps(values), device)


@cache
def _kept(values_as_json: str, device: torch.device) -> Tensor:
    # As text 1 and 1.0 are two keys, as numbers they would be one: a tensor of the other type.
    with torch.inference_mode(False):  # training may use what validation asked for first
        return torch.tensor(json.loads(values_as_json), device=device)


def scale_gradient(x: Tensor, factor: float) -> Tensor:
    """``x`` itself, whose gradient is multiplied by ``factor`` on the way back."""
    return x if factor == 1 else torch.lerp(x.detach(), x, factor)


def initialize(module: nn.Module) -> None:
    """He initialisation for leaky ReLU as in the host's networks; to be used with ``network.apply``."""
    if isinstance(module, nn.Conv3d | nn.ConvTranspose3d):
        nn.init.kaiming_normal_(module.weight, a=1e-2)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def conv_feature_map_size(network: nn.Module, input_channels: int, input_size: Triple) -> int:
    """Number of values in the outputs of all convolutions for one sample, what nnU-Net estimates memory from.

    Args:
        network: a network that takes (1, input_channels, Z, Y, X).
        input_channels: channels of the image.
        input_size: (z, y, x) in voxels.
    """
    total = 0

    def count(_module: nn.Module, _args: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        total += output.numel()

    # A copy on the meta device has shapes and no data, so this costs neither memory nor time.
    shadow = deepcopy(network).to("meta").eval()
    for module in shadow.modules():
        if isinstance(module, nn.Conv3d | nn.ConvTranspose3d):
            module.register_forward_hook(count)
    with torch.no_grad():
        shadow(torch.empty((1, input_channels, *input_size), device="meta"))
    return total
