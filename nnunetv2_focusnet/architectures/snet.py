"""S-Net, FocusNet's main network: one downsampling, SE-residual blocks, DenseASPP (paper sec. 2, figure 2)."""

from collections.abc import Sequence

from torch import Tensor, nn

from nnunetv2_focusnet.architectures.blocks import SEResBlock, Triple, UpBlock, initialize
from nnunetv2_focusnet.architectures.config import SNetConfig
from nnunetv2_focusnet.architectures.dense_aspp import DenseASPP
from nnunetv2_focusnet.architectures.main_network import MainFeatures
from nnunetv2_focusnet.architectures.segmentation_network import SegmentationNetwork


class SNetDecoder(UpBlock):
    """The level at full resolution, and the segmentation layer.

    Args:
        features_per_stage: channels at full resolution and below.
        kernel_size: odd size per axis (z, y, x) in voxels.
        stride: upsampling per axis (z, y, x).
        num_classes: channels of the logits, background included.
    """

    def __init__(
        self, features_per_stage: Sequence[int], kernel_size: Triple, stride: Triple, num_classes: int
    ) -> None:
        full, half = features_per_stage
        super().__init__(half, full, kernel_size, stride)
        # nnU-Net leaves layers of this name out when it loads pretrained weights: other labels, other classes.
        self.seg_layers = nn.ModuleList([nn.Conv3d(full, num_classes, 1)])


class SNet(SegmentationNetwork):
    """Main segmentation network.

    Args:
        input_channels: image channels.
        num_classes: channels of the logits, background included.
        config: its sizes.
    """

    def __init__(self, input_channels: int, num_classes: int, config: SNetConfig) -> None:
        super().__init__(input_channels, [config.stride])
        full, half = config.features_per_stage
        kernel, kernel_below = config.kernel_sizes
        self.features_per_stage: Sequence[int] = (full, half)
        self.strides: Sequence[Triple] = ((1, 1, 1), config.stride)
        self.encoder = SEResBlock(input_channels, full, kernel)
        self.bottom = nn.Sequential(
            SEResBlock(full, half, kernel_below, config.stride),
            *(SEResBlock(half, half, kernel_below) for _ in range(config.n_blocks - 1)),
            DenseASPP(half, config.dilations, kernel_below),
        )
        self.decoder = SNetDecoder(config.features_per_stage, kernel, config.stride, num_classes)
        self.apply(initialize)

    def features(self, x: Tensor) -> MainFeatures:
        """Features for an image in shape (B, input_channels, Z, Y, X); the decoder's are the last and those below."""
        first = self.encoder(x)
        below = self.bottom(first)
        return MainFeatures(first, [self.decoder(first, below), below])

    def classify(self, decoder_features: Sequence[Tensor]) -> Tensor:
        """Logits (B, num_classes, Z, Y, X) from the decoder's features."""
        return self.decoder.seg_layers[0](decoder_features[0])

    def logits(self, x: Tensor) -> Tensor:
        """Logits (B, num_classes, Z, Y, X) for an image (B, input_channels, Z, Y, X)."""
        return self.classify(self.features(x).decoder)
