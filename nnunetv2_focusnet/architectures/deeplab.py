"""DeepLab v3+ in 3D, a rival in the paper's table 1.

Chen et al., "Encoder-Decoder with Atrous Separable Convolution for Semantic Image Segmentation", ECCV 2018, with the
atrous spatial pyramid pooling of Chen et al., "Rethinking Atrous Convolution for Semantic Image Segmentation", 2017.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from nnunetv2_focusnet.architectures.blocks import ConvNormNonlin, ResBlock, Triple, initialize
from nnunetv2_focusnet.architectures.config import DeepLabConfig
from nnunetv2_focusnet.architectures.segmentation_network import SegmentationNetwork


def resize(x: Tensor, size: Sequence[int]) -> Tensor:
    """Values between voxel centres, linearly: (B, C, z, y, x) to (B, C, Z, Y, X)."""
    return interpolate(x, list(size), mode="trilinear", align_corners=False)


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling: a 1x1x1 convolution, dilated ones and the mean of the whole map, side by side.

    Args:
        in_channels: channels of the input.
        channels: of each branch, and of the output.
        dilations: one rate per axis (z, y, x) for each dilated convolution, in voxels of the input.
        kernel_size: odd size per axis (z, y, x) in voxels.
    """

    def __init__(self, in_channels: int, channels: int, dilations: Sequence[Triple], kernel_size: Triple) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            [
                ConvNormNonlin(in_channels, channels, (1, 1, 1)),
                *(ConvNormNonlin(in_channels, channels, kernel_size, dilation=rate) for rate in dilations),
            ]
        )
        # Without normalisation: that of a single voxel would be a constant.
        self.pooling = nn.Sequential(
            nn.AdaptiveAvgPool3d(1), nn.Conv3d(in_channels, channels, 1), nn.LeakyReLU(inplace=True)
        )
        self.fuse = ConvNormNonlin((len(self.branches) + 1) * channels, channels, (1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, Z, Y, X) to (B, channels, Z, Y, X)."""
        branches = [branch(x) for branch in self.branches]
        return self.fuse(torch.cat([*branches, self.pooling(x).expand_as(branches[0])], 1))


class DeepLabDecoder(nn.Module):
    """ASPP's features at the resolution of the first level, concatenated with this level's own, and the segmentation.

    Args:
        config: sizes of the network.
        num_classes: channels of the logits, background included.
    """

    def __init__(self, config: DeepLabConfig, num_classes: int) -> None:
        super().__init__()
        low_level, features, kernel = config.features_per_stage[0], config.decoder_features, config.kernel_sizes[1]
        self.squeeze = ConvNormNonlin(low_level, config.low_level_features, (1, 1, 1))
        self.refine = nn.Sequential(
            ConvNormNonlin(config.aspp_features + config.low_level_features, features, kernel),
            ConvNormNonlin(features, features, kernel),
        )
        self.seg_layers = nn.ModuleList([nn.Conv3d(features, num_classes, 1)])

    def forward(self, low_level: Tensor, pooled: Tensor) -> Tensor:
        """Logits at the resolution of ``low_level``, from it and from ASPP's features."""
        joined = torch.cat([resize(pooled, low_level.shape[2:]), self.squeeze(low_level)], 1)
        return self.seg_layers[0](self.refine(joined))


class DeepLabV3Plus(SegmentationNetwork):
    """Residual encoder whose last level is dilated instead of downsampled, ASPP, and a decoder of one level.

    Args:
        input_channels: image channels.
        num_classes: channels of the logits, background included.
        config: its sizes.
    """

    def __init__(self, input_channels: int, num_classes: int, config: DeepLabConfig) -> None:
        super().__init__(input_channels, config.strides)
        features, kernels = config.features_per_stage, config.kernel_sizes
        self.stem = ConvNormNonlin(input_channels, features[0], kernels[0], config.strides[0])
        inputs = [features[0], *features[:-1]]
        kernels_below = [*kernels[1:], kernels[-1]]
        strides = [(1, 1, 1), *config.strides[1:], (1, 1, 1)]
        dilations = [*([(1, 1, 1)] * len(config.strides)), config.last_dilation]
        levels = [
            nn.Sequential(
                ResBlock(before, after, kernel, stride, dilation),
                *(ResBlock(after, after, kernel, dilation=dilation) for _ in range(config.n_blocks - 1)),
            )
            for before, after, kernel, stride, dilation in zip(
                inputs, features, kernels_below, strides, dilations, strict=True
            )
        ]
        self.low_level = levels[0]
        self.encoder = nn.Sequential(*levels[1:])
        self.aspp = ASPP(features[-1], config.aspp_features, config.dilations, kernels[-1])
        self.decoder = DeepLabDecoder(config, num_classes)
        self.apply(initialize)

    def logits(self, x: Tensor) -> Tensor:
        """Logits (B, num_classes, Z, Y, X) for an image (B, input_channels, Z, Y, X)."""
        low_level = self.low_level(self.stem(x))
        return resize(self.decoder(low_level, self.aspp(self.encoder(low_level))), x.shape[2:])
