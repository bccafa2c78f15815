"""DenseASPP: dilated convolutions, each of which sees the input and the outputs of all before it."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from nnunetv2_focusnet.architectures.blocks import ConvNormNonlin, Triple

# In-plane rates of the first author's later code; the paper's figure 2 gives none in its text.
DILATIONS = (3, 6, 12, 18)


class DenseASPP(nn.Module):
    """Densely connected atrous spatial pyramid pooling (paper sec. 2; Yang et al., CVPR 2018).

    Args:
        channels: channels of input and output.
        dilations: one rate per axis (z, y, x) for each layer, in voxels of the input.
        kernel_size: odd size per axis (z, y, x) in voxels.
    """

    def __init__(self, channels: int, dilations: Sequence[Triple], kernel_size: Triple = (3, 3, 3)) -> None:
        super().__init__()
        growth = max(channels // 2, 1)
        self.layers = nn.ModuleList(
            nn.Sequential(
                ConvNormNonlin(channels + i * growth, channels, (1, 1, 1)),
                ConvNormNonlin(channels, growth, kernel_size, dilation=dilation),
            )
            for i, dilation in enumerate(dilations)
        )
        self.fuse = ConvNormNonlin(channels + len(dilations) * growth, channels, (1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, Z, Y, X) to the same shape."""
        for layer in self.layers:
            x = torch.cat([x, layer(x)], 1)
        return self.fuse(x)


def dilations_in_mm(
    spacing: Sequence[float], input_size: Triple, rates: Sequence[int] = DILATIONS
) -> list[tuple[int, int, int]]:
    """Rates per axis that reach equally far in millimetres along every axis.

    Args:
        spacing: voxel size (z, y, x) in mm where the convolutions run.
        input_size: (z, y, x) in voxels there; a tap further out than half of it would mostly read padding.
        rates: rates along the axis with the finest spacing.
    """
    finest = min(spacing)

    def rate_along(rate: int, axis: int) -> int:
        return max(1, min(round(rate * finest / spacing[axis]), input_size[axis] // 2))

    return [(rate_along(rate, 0), rate_along(rate, 1), rate_along(rate, 2)) for rate in rates]
