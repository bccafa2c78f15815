"""AnatomyNet, a rival in the paper's table 3: one downsampling, at the very beginning, and SEResBlocks below it.

Zhu et al., "AnatomyNet: Deep learning for fast and fully automated whole-volume segmentation of head and neck anatomy",
Medical Physics 2019, and what it doesn't say after https://github.com/wentaozhu/AnatomyNet-for-anatomical-segmentation.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from nnunetv2_focusnet.architectures.blocks import ConvNormNonlin, ResBlock, SEResBlock, Triple, initialize, zyx
from nnunetv2_focusnet.architectures.config import AnatomyNetConfig
from nnunetv2_focusnet.architectures.segmentation_network import SegmentationNetwork


def _level(in_channels: int, channels: int, kernel_size: Triple, n_blocks: int) -> nn.Sequential:
    widths = [in_channels, *([channels] * n_blocks)]
    return nn.Sequential(*(SEResBlock(before, after, kernel_size) for before, after in pairwise(widths)))


class AnatomyNetHead(nn.Module):
    """Upsampling to full resolution, concatenation with the image itself, a residual block, the segmentation layer.

    Args:
        in_channels: channels below the downsampling.
        image_channels: of the image.
        kernel_size: odd size per axis (z, y, x) in voxels.
        stride: upsampling per axis (z, y, x).
        num_classes: channels of the logits, background included.
    """

    def __init__(
        self, in_channels: int, image_channels: int, kernel_size: Triple, stride: Triple, num_classes: int
    ) -> None:
        super().__init__()
        half = max(in_channels // 2, 1)
        self.upsample = nn.ConvTranspose3d(in_channels, half, zyx(stride), zyx(stride))
        self.block = ResBlock(half + image_channels, half, kernel_size)
        padding = zyx([size // 2 for size in kernel_size])
        self.seg_layers = nn.ModuleList([nn.Conv3d(half, num_classes, zyx(kernel_size), padding=padding)])

    def forward(self, image: Tensor, low: Tensor) -> Tensor:
        """Logits from an image (B, image_channels, Z, Y, X) and features (B, in_channels, Z/s, Y/s, X/s)."""
        return self.seg_layers[0](self.block(torch.cat([self.upsample(low), image], 1)))


class AnatomyNet(SegmentationNetwork):
    """Levels of SEResBlocks, all of one resolution, joined as in a U-Net.

    ::

        image -- conv, down -- level -- level -- level
          |          |           |        |        |
          |          |           |       cat ------+-- level
          |          |          cat -----------------------+-- level
          |         cat -------------------------------------------+-- level
         cat --------------------------------------------------------------+-- up, block, conv -> logits

    Args:
        input_channels: image channels.
        num_classes: channels of the logits, background included.
        config: its sizes.
    """

    def __init__(self, input_channels: int, num_classes: int, config: AnatomyNetConfig) -> None:
        super().__init__(input_channels, [config.stride])
        features, (kernel, kernel_below) = config.features_per_stage, config.kernel_sizes
        self.stem = ConvNormNonlin(input_channels, features[0], kernel, config.stride)
        self.encoder = nn.ModuleList(
            _level(before, after, kernel_below, config.n_blocks) for before, after in pairwise(features)
        )
        self.joined = nn.ModuleList(
            _level(deeper + same, same, kernel_below, config.n_blocks) for deeper, same in pairwise(reversed(features))
        )
        self.decoder = AnatomyNetHead(features[0], input_channels, kernel, config.stride, num_classes)
        self.apply(initialize)

    def logits(self, x: Tensor) -> Tensor:
        """Logits (B, num_classes, Z, Y, X) for an image (B, input_channels, Z, Y, X)."""
        skips = [self.stem(x)]
        for level in self.encoder:
            skips.append(level(skips[-1]))
        low = skips.pop()
        for level, skip in zip(self.joined, reversed(skips), strict=True):
            low = level(torch.cat([low, skip], 1))
        return self.decoder(x, low)
