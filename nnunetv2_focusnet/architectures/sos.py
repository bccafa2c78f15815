"""SOS-Net, which segments one small organ inside its ROI (paper sec. 2)."""

from torch import Tensor, nn

from nnunetv2_focusnet.architectures.blocks import SEResBlock, Triple, initialize

# An organ fills about a thirtieth of an ROI of three diameters: start near that probability.
INITIAL_LOGIT = -3.0


class SOSNet(nn.Module):
    """Two SEResBlocks and a 1x1x1 convolution for one organ; the sigmoid is left to the reader.

    Args:
        in_channels: last decoder features + first encoder features + image channels + 1 for the organ's heat map.
        features: channels of both blocks.
        kernel_size: odd size per axis (z, y, x) in voxels.
        refines: start with an answer of 0 everywhere, to be added to another network's.
    """

    def __init__(
        self, in_channels: int, features: int, kernel_size: Triple = (3, 3, 3), *, refines: bool = False
    ) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            SEResBlock(in_channels, features, kernel_size), SEResBlock(features, features, kernel_size)
        )
        self.head = nn.Conv3d(features, 1, 1)
        self.apply(initialize)
        if refines:
            nn.init.zeros_(self.head.weight)
        else:
            nn.init.constant_(self.head.bias, INITIAL_LOGIT)  # type: ignore[arg-type]

    def forward(self, roi: Tensor) -> Tensor:
        """Organ logits (B, 1, z, y, x) from pooled inputs (B, in_channels, z, y, x) of ROI size."""
        return self.head(self.blocks(roi))
