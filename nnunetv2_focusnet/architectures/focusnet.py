"""FocusNet: a main network for the large organs, and for each small organ a heat map and a network of its own.

Gao et al., "FocusNet: Imbalanced Large and Small Organ Segmentation with an End-to-End Deep Neural Network for Head
and Neck CT Images", MICCAI 2019.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from nnunetv2_focusnet.architectures import fusion, roi
from nnunetv2_focusnet.architectures.blocks import Triple, conv_feature_map_size
from nnunetv2_focusnet.architectures.snet import SNet
from nnunetv2_focusnet.architectures.sol import SOLNet
from nnunetv2_focusnet.architectures.sos import SOSNet

PARTS = ("main", "sol", "sos")
# Below this peak of the heat map the organ isn't in the image. The peak is 1 only where the centre is certain: for one
# that is uncertain by as much as the target's own width, the squared error is smallest at 2^-1.5.
DETECTION_THRESHOLD = 0.2


class FocusNetOutput(NamedTuple):
    """What FocusNet returns in training; parts that the stage doesn't need are None."""

    main_logits: Tensor
    """(B, C, Z, Y, X), S-Net's own answer for every class."""
    heat_logits: Tensor | None = None
    """(B, K, Z, Y, X), before the sigmoid."""
    roi_logits: Tensor | None = None
    """(B, N), the ROIs of all K organs one behind the other, N the sum of their voxels."""
    roi_corners: Tensor | None = None
    """(B, K, 3), lowest corner (z, y, x) of each ROI in voxels."""


class FocusNet(nn.Module):
    """S-Net, SOL-Net and one SOS-Net per small organ, fused to one label map.

    Args:
        main: network with ``features`` and ``classify`` as in :class:`SNet`.
        features: channels of the first encoder and last decoder features, and of the SOS-Nets.
        small_organs: class channel of each of the K small organs.
        roi_sizes: ROI of each small organ, (z, y, x) in voxels.
        kernel_size: odd size per axis (z, y, x) in voxels.
    """

    sos_trained: Tensor

    def __init__(
        self,
        main: SNet,
        features: int,
        small_organs: Sequence[int],
        roi_sizes: Sequence[Triple],
        kernel_size: Triple = (3, 3, 3),
    ) -> None:
        super().__init__()
        self.main = main
        self.small_organs = tuple(small_organs)
        self.roi_sizes = tuple(tuple(size) for size in roi_sizes)
        self.sol = SOLNet(features, len(small_organs), kernel_size)
        self.sos = nn.ModuleList(
            SOSNet(2 * features + main.input_channels + 1, features, kernel_size) for _ in small_organs
        )
        # Saved with the weights: until the SOS-Nets were trained, a checkpoint predicts with S-Net alone.
        self.register_buffer("sos_trained", torch.zeros((), dtype=torch.bool))
        self.train_parts(PARTS)

    def train_parts(self, parts: Collection[str]) -> None:
        """Freeze all but ``parts`` (of "main", "sol", "sos"); in training, parts behind the last of them don't run.

        Frozen parts have no gradient and, as nothing before them has one either, cost no backward.
        """
        self._last_part = max(PARTS.index(part) for part in parts)
        self.sos_trained.fill_("sos" in parts)
        for name in PARTS:
            self.get_submodule(name).requires_grad_(name in parts)

    def forward(self, x: Tensor) -> Tensor | FocusNetOutput:
        """Map an image (B, input_channels, Z, Y, X) to fused logits (B, C, Z, Y, X), in training to their parts."""
        features = self.main.features(x)
        main_logits = self.main.classify(features.decoder)
        if self.training and self._last_part == 0:
            return FocusNetOutput(main_logits)
        heat_logits = self.sol(features.decoder)
        if self.training and self._last_part == 1:
            return FocusNetOutput(main_logits, heat_logits)

        volume_size = list(x.shape[2:])
        roi_sizes = roi.clip_sizes(self.roi_sizes, volume_size)
        offsets = roi.organ_offsets(roi_sizes, volume_size, x.device)
        heat_maps = heat_logits.sigmoid()
        peaks, centres = roi.find_peaks(heat_logits.detach())  # logits have no plateau where probabilities round to 1
        corners = roi.place_rois(centres, roi_sizes, volume_size)
        indices = roi.roi_indices(corners, roi_sizes, volume_size)
        pooled = [
            roi.gather_voxels(features.decoder, indices),
            roi.gather_voxels(features.encoder, indices),
            roi.gather_voxels(x, indices).to(heat_maps.dtype),
            roi.gather_own_channel(heat_maps, indices, offsets),
        ]
        rois = roi.split_rois(torch.cat(pooled, 1), roi_sizes)
        roi_logits = torch.cat([net(part).flatten(1) for net, part in zip(self.sos, rois, strict=True)], 1)
        if self.training:
            return FocusNetOutput(main_logits, heat_logits, roi_logits, corners)

        detected = (peaks.sigmoid() > DETECTION_THRESHOLD) & self.sos_trained
        organ_logits = fusion.paste_rois(roi_logits, indices, offsets, [len(rois), *volume_size])
        return fusion.fuse(main_logits, organ_logits, self.small_organs, detected)

    def locate(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Peak probability (B, K) and its voxel (B, K, 3) as (z, y, x) of each small organ's heat map."""
        peaks, positions = roi.find_peaks(self.sol(self.main.features(x).decoder))
        return peaks.sigmoid(), positions

    def compute_conv_feature_map_size(self, input_size: Triple) -> int:
        """Values in all convolution outputs for one sample of ``input_size`` (z, y, x) voxels."""
        return conv_feature_map_size(self, self.main.input_channels, input_size)
