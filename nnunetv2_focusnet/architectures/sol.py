"""SOL-Net, which locates the small organs: one heat map each (paper sec. 2)."""

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
        num_blocks: how many SEResBlocks; the paper has two.
    """

    def __init__(
        self, in_channels: int, num_organs: int, kernel_size: Triple = (3, 3, 3), *, num_blocks: int = 2
    ) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(SEResBlock(in_channels, in_channels, kernel_size) for _ in range(num_blocks)))
        self.head = nn.Conv3d(in_channels, num_organs, 1)
        self.apply(initialize)
        nn.init.normal_(self.head.weight, std=INITIAL_WEIGHT_SD)
        nn.init.constant_(self.head.bias, INITIAL_LOGIT)  # type: ignore[arg-type]

    def forward(self, decoder_features: Tensor) -> Tensor:
        """Heat-map logits (B, num_organs, Z, Y, X) from features (B, in_channels, Z, Y, X)."""
        return self.head(self.blocks(decoder_features))
