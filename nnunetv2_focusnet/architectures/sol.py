"""SOL-Net, which locates the small organs: one heat map each (paper sec. 2)."""

from itertools import pairwise

from torch import Tensor, nn

from nnunetv2_focusnet.architectures.blocks import SEResBlock, Triple, initialize

# A heat map is empty but for a few voxels in 10^5: starting close to that, the first steps needn't clear the volume.
INITIAL_LOGIT = -5.0
INITIAL_WEIGHT_SD = 0.01


class SOLNet(nn.Module):
    """SEResBlocks and a 1x1x1 convolution on decoder features; the sigmoid is left to the reader.

    Args:
        in_channels: channels of the decoder features.
        num_organs: number of small organs, each with a heat map of its own.
        kernel_size: odd size per axis (z, y, x) in voxels.
        features: channels of the blocks; None: ``in_channels``.
        num_blocks: how many SEResBlocks; the paper has two.
    """

    def __init__(
        self,
        in_channels: int,
        num_organs: int,
        kernel_size: Triple = (3, 3, 3),
        *,
        features: int | None = None,
        num_blocks: int = 2,
    ) -> None:
        super().__init__()
        features = features or in_channels
        widths = [in_channels, *([features] * num_blocks)]
        self.blocks = nn.Sequential(*(SEResBlock(before, after, kernel_size) for before, after in pairwise(widths)))
        self.head = nn.Conv3d(features, num_organs, 1)
        self.apply(initialize)
        nn.init.normal_(self.head.weight, std=INITIAL_WEIGHT_SD)
        nn.init.constant_(self.head.bias, INITIAL_LOGIT)  # type: ignore[arg-type]

    def forward(self, decoder_features: Tensor) -> Tensor:
        """Heat-map logits (B, num_organs, Z, Y, X) from features (B, in_channels, Z, Y, X)."""
        return self.head(self.blocks(decoder_features))
