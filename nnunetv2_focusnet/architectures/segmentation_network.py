"""What networks that segment by themselves have in common: images of any size, and nnU-Net's estimate of memory."""

import math
from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from nnunetv2_focusnet.architectures.blocks import Triple, conv_feature_map_size


class SegmentationNetwork(nn.Module):
    """A network with one output; images whose size its strides don't divide are padded and the logits cropped.

    Args:
        input_channels: image channels.
        strides: (z, y, x) of every downsampling.
    """

    def __init__(self, input_channels: int, strides: Sequence[Triple]) -> None:
        super().__init__()
        self.input_channels = input_channels
        self._multiple_of = [math.prod(along_axis) for along_axis in zip(*strides, strict=True)]

    def logits(self, x: Tensor) -> Tensor:
        """Logits (B, num_classes, Z, Y, X) for an image (B, input_channels, Z, Y, X) that the strides divide."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """Map an image (B, input_channels, Z, Y, X) of any size to logits (B, num_classes, Z, Y, X)."""
        size = x.shape[2:]
        z, y, x_ = (-n % step for n, step in zip(size, self._multiple_of, strict=True))
        if not (z or y or x_):
            return self.logits(x)
        # With zeros, as nnU-Net pads what is smaller than a patch.
        logits = self.logits(functional.pad(x, (0, x_, 0, y, 0, z)))
        return logits[:, :, : size[0], : size[1], : size[2]]

    def compute_conv_feature_map_size(self, input_size: Triple) -> int:
        """Values in all convolution outputs for one sample of ``input_size`` (z, y, x) voxels."""
        return conv_feature_map_size(self, self.input_channels, input_size)
