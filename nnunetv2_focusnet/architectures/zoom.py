"""Zoom: the main network sees the head on a coarse grid, small organs are segmented on the image's own voxels.

The paper's oncologist finds a lens at normal scale, then zooms in (Gao et al., MICCAI 2019, sec. 1).
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from nnunetv2_focusnet.architectures.blocks import ConvNormNonlin, SEResBlock, Triple, initialize, zyx
from nnunetv2_focusnet.architectures.config import FocusNetConfig, ZoomConfig
from nnunetv2_focusnet.architectures.focusnet import FocusNet
from nnunetv2_focusnet.architectures.main_network import MainFeatures, MainNetwork
from nnunetv2_focusnet.architectures.rois import Rois


def space_to_depth(x: Tensor, stride: Triple) -> Tensor:
    """(B, C, Z, Y, X) to (B, C * s, Z/sz, Y/sy, X/sx) with s = sz * sy * sx: nothing is lost."""
    (b, c, *size), (sz, sy, sx) = x.shape, stride
    z, y, x_ = (n // s for n, s in zip(size, stride, strict=True))
    return x.reshape(b, c, z, sz, y, sy, x_, sx).permute(0, 1, 3, 5, 7, 2, 4, 6).reshape(b, -1, z, y, x_)


def depth_to_space(x: Tensor, stride: Triple) -> Tensor:
    """The inverse of :func:`space_to_depth`: (B, C * s, z, y, x) to (B, C, z*sz, y*sy, x*sx)."""
    (b, c, z, y, x_), (sz, sy, sx) = x.shape, stride
    parts = x.reshape(b, c // (sz * sy * sx), sz, sy, sx, z, y, x_).permute(0, 1, 5, 2, 6, 3, 7, 4)
    return parts.reshape(b, -1, z * sz, y * sy, x_ * sx)


class OnCoarserGrid(nn.Module):
    """A main network that works on a grid coarser than the image's; its logits are on the image's, exactly aligned.

    Args:
        network: with ``input_channels * s`` image channels and ``num_classes * s`` classes, s the voxels of a stride.
        input_channels: image channels.
        stride: voxels of the image (z, y, x) per voxel of the network's grid.
    """

    def __init__(self, network: MainNetwork, input_channels: int, stride: Triple) -> None:
        super().__init__()
        self.network: Any = network
        self.input_channels = input_channels
        self.stride = zyx(stride)
        self.features_per_stage: Sequence[int] = network.features_per_stage
        self.strides: Sequence[Triple] = [
            [n * by for n, by in zip(layer, stride, strict=True)] for layer in network.strides
        ]

    @property
    def decoder(self) -> Any:
        """The network's decoder, where nnU-Net switches deep supervision on and off."""
        return self.network.decoder

    def features(self, x: Tensor) -> MainFeatures:
        """Features on the coarse grid, for an image (B, input_channels, Z, Y, X)."""
        return self.network.features(space_to_depth(x, self.stride))

    def classify(self, decoder_features: Sequence[Tensor]) -> Tensor | list[Tensor]:
        """Logits (B, num_classes, Z, Y, X); with deep supervision a list of them, then of coarser ones."""
        logits = self.network.classify(decoder_features)
        if isinstance(logits, list):
            return [depth_to_space(level, self.stride) for level in logits]
        return depth_to_space(logits, self.stride)

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        """Map an image (B, input_channels, Z, Y, X) to logits as :meth:`classify` returns them."""
        return self.classify(self.features(x).decoder)


class ZoomSOSNet(nn.Module):
    """An encoder-decoder of two levels inside an ROI: the image's grid, and the main network's.

    ::

        image -- conv --+------------------ cat -- SEResBlock -- 1x1x1 -> correction
                        |                    |
                       down -- cat -- SEResBlock x 2 -- up
                                |
                main network's features, heat map

    Args:
        image_channels: read on the image's grid.
        main_channels: read on the main network's grid.
        zoom: widths and stride.
    """

    def __init__(self, image_channels: int, main_channels: int, zoom: ZoomConfig) -> None:
        super().__init__()
        fine, coarse = zoom.features
        stride = zyx(zoom.stride)
        self.fine = ConvNormNonlin(image_channels, fine)
        self.down = ConvNormNonlin(fine, coarse, stride=stride)
        self.squeeze = ConvNormNonlin(coarse + main_channels, coarse, (1, 1, 1))
        self.coarse = nn.Sequential(SEResBlock(coarse, coarse), SEResBlock(coarse, coarse))
        self.up = nn.ConvTranspose3d(coarse, fine, stride, stride, bias=False)
        self.block = SEResBlock(2 * fine, fine)
        self.head = nn.Conv3d(fine, 1, 1)
        self.apply(initialize)
        nn.init.zeros_(self.head.weight)

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        """Correction (B, 1, z, y, x) from inputs (B, image_channels, z, y, x) and (B, main_channels, z/s, y/s, x/s)."""
        high = self.fine(fine)
        low = self.coarse(self.squeeze(torch.cat([self.down(high), coarse], 1)))
        return self.head(self.block(torch.cat([high, self.up(low)], 1)))


class ZoomNet(FocusNet):
    """FocusNet whose SOS-Nets work on a finer grid than its main network.

    A SOS-Net corrects the main network's own log-odds of its organ, and begins with no correction.

    Args:
        main: on the coarser grid.
        config: with ``zoom``; ROIs are multiples of its stride.
    """

    def __init__(self, main: OnCoarserGrid, config: FocusNetConfig) -> None:
        assert config.zoom is not None
        self.zoom = config.zoom
        super().__init__(main, config)

    def build_sos_nets(self) -> nn.ModuleList:
        """One for each small organ, or for each pair of them."""
        channels = (self.main.input_channels + 1, self.main.features_per_stage[0] + 1)
        return nn.ModuleList(ZoomSOSNet(*channels, self.zoom) for _ in self.config.groups)

    @property
    def roi_step(self) -> Triple:
        """ROIs cover whole voxels of the main network's grid."""
        return self.zoom.stride

    def segment_rois(
        self,
        rois: Rois,
        organs: Sequence[int],
        x: Tensor,
        features: MainFeatures,
        heat_logits: Tensor,
        main_logits: Tensor,
    ) -> Tensor:
        """As FocusNet's, on the image's grid."""
        on_main = rois.coarsened(self.zoom.stride)
        on_heat_map = on_main.on_coarser(list(heat_logits.shape[2:]))
        log_odds = self.main_log_odds(rois, organs, main_logits)
        fine = torch.cat([rois.gather(x).to(log_odds.dtype), log_odds], 1)
        seen = [on_main.gather(features.decoder[0]), on_heat_map.gather_own(heat_logits.sigmoid(), organs)]
        coarse = torch.cat([self._share_gradient(seen[0]), seen[1]], 1)
        return log_odds[:, 0] + self.run_sos_nets(organs, rois.split(fine), on_main.split(coarse))
