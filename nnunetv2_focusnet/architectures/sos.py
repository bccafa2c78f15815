"""SOS-Net, which segments one small organ inside its ROI (paper sec. 2)."""

from itertools import pairwise

from torch import Tensor, nn

from nnunetv2_focusnet.architectures.blocks import ConvNormNonlin, SEResBlock, Triple, initialize

# An organ fills about a thirtieth of an ROI of three diameters: start near that probability.
INITIAL_LOGIT = -3.0
# A SOS-Net that corrects the main network starts from its answer, but never from so much certainty that it couldn't
# take it back.
LARGEST_LOG_ODDS = 4.0


class SOSNet(nn.Module):
    """SEResBlocks and a 1x1x1 convolution for one organ; the sigmoid is left to the reader.

    Args:
        in_channels: last decoder features + first encoder features + image channels + 1 for the organ's heat map
            (+ 1 for the main network's own log-odds).
        features: channels of the blocks.
        kernel_size: odd size per axis (z, y, x) in voxels.
        num_blocks: how many SEResBlocks; the paper has two.
        squeeze: a 1x1x1 convolution comes before the blocks, as the first one's cost is the width of what it reads.
        corrects: its logits are a correction, which is 0 at the beginning.
    """

    def __init__(
        self,
        in_channels: int,
        features: int,
        kernel_size: Triple = (3, 3, 3),
        *,
        num_blocks: int = 2,
        squeeze: bool = False,
        corrects: bool = False,
    ) -> None:
        super().__init__()
        widths = [features if squeeze else in_channels, *([features] * num_blocks)]
        self.blocks = nn.Sequential(
            *([ConvNormNonlin(in_channels, features, (1, 1, 1))] if squeeze else []),
            *(SEResBlock(before, after, kernel_size) for before, after in pairwise(widths)),
        )
        self.head = nn.Conv3d(features, 1, 1)
        self.apply(initialize)
        if corrects:
            nn.init.zeros_(self.head.weight)
        else:
            nn.init.constant_(self.head.bias, INITIAL_LOGIT)  # type: ignore[arg-type]

    def forward(self, roi: Tensor) -> Tensor:
        """Organ logits (B, 1, z, y, x) from pooled inputs (B, in_channels, z, y, x) of ROI size."""
        return self.head(self.blocks(roi))
