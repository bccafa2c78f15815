"""SERes U-Net, the baseline of the paper's tables 1 and 2: a U-Net of SEResBlocks (paper sec. 3.1)."""

from collections.abc import Sequence

from torch import Tensor, nn

from nnunetv2_focusnet.architectures.blocks import SEResBlock, UpBlock, initialize
from nnunetv2_focusnet.architectures.config import SEResUNetConfig
from nnunetv2_focusnet.architectures.segmentation_network import SegmentationNetwork


class SEResUNetDecoder(nn.Module):
    """A level for each downsampling, from the deepest up, and the segmentation layer.

    Args:
        config: sizes of the network.
        num_classes: channels of the logits, background included.
    """

    def __init__(self, config: SEResUNetConfig, num_classes: int) -> None:
        super().__init__()
        features = config.features_per_stage
        self.levels = nn.ModuleList(
            UpBlock(features[i + 1], features[i], config.kernel_sizes[i], config.strides[i])
            for i in reversed(range(len(config.strides)))
        )
        # nnU-Net leaves layers of this name out when it loads pretrained weights: other labels, other classes.
        self.seg_layers = nn.ModuleList([nn.Conv3d(features[0], num_classes, 1)])

    def forward(self, skips: Sequence[Tensor], low: Tensor) -> Tensor:
        """Logits from the encoder's features, at full resolution first, and those below the last downsampling."""
        for level, skip in zip(self.levels, reversed(skips), strict=True):
            low = level(skip, low)
        return self.seg_layers[0](low)


class SEResUNet(SegmentationNetwork):
    """U-Net of SEResBlocks with any number of downsamplings; with one it is S-Net without DenseASPP.

    Args:
        input_channels: image channels.
        num_classes: channels of the logits, background included.
        config: its sizes.
    """

    def __init__(self, input_channels: int, num_classes: int, config: SEResUNetConfig) -> None:
        super().__init__(input_channels, config.strides)
        features, kernels = config.features_per_stage, config.kernel_sizes
        inputs = [input_channels, *features[:-1]]
        strides = [(1, 1, 1), *config.strides]
        blocks = [SEResBlock(*sizes) for sizes in zip(inputs, features, kernels, strides, strict=True)]
        more = (SEResBlock(features[-1], features[-1], kernels[-1]) for _ in range(config.n_blocks - 1))
        self.encoder = nn.ModuleList(blocks[:-1])
        self.bottom = nn.Sequential(blocks[-1], *more)
        self.decoder = SEResUNetDecoder(config, num_classes)
        self.apply(initialize)

    def logits(self, x: Tensor) -> Tensor:
        """Logits (B, num_classes, Z, Y, X) for an image (B, input_channels, Z, Y, X)."""
        skips: list[Tensor] = []
        for block in self.encoder:
            x = block(x)
            skips.append(x)
        return self.decoder(skips, self.bottom(x))
