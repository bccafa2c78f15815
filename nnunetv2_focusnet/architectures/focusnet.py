"""FocusNet: a main network for the large organs, and for each small organ a heat map and a network of its own.

Gao et al., "FocusNet: Imbalanced Large and Small Organ Segmentation with an End-to-End Deep Neural Network for Head
and Neck CT Images", MICCAI 2019.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from nnunetv2_focusnet.architectures import fusion, roi
from nnunetv2_focusnet.architectures.blocks import Triple, conv_feature_map_size, scale_gradient
from nnunetv2_focusnet.architectures.main_network import MainFeatures, MainNetwork
from nnunetv2_focusnet.architectures.sol import SOLNet
from nnunetv2_focusnet.architectures.sos import SOSNet

PARTS = ("main", "sol", "sos")
# Below this peak of the heat map the organ isn't in the image. The peak is 1 only where the centre is certain: for one
# that is uncertain by as much as the target's own width, the squared error is smallest at 2^-1.5.
DETECTION_THRESHOLD = 0.2


class FocusNetOutput(NamedTuple):
    """What FocusNet returns in training; parts that the stage doesn't need are None."""

    main_logits: Tensor | list[Tensor]
    """(B, C, Z, Y, X), the main network's own answer for every class; with deep supervision coarser ones, too."""
    heat_logits: Tensor | None = None
    """(B, K, Z/s, Y/s, X/s), before the sigmoid; s is the stride of the features that SOL-Net reads."""
    roi_logits: Tensor | None = None
    """(B, N), the ROIs of all K organs one behind the other, N the sum of their voxels."""
    roi_corners: Tensor | None = None
    """(B, K, 3), lowest corner (z, y, x) of each ROI in voxels."""


class FocusNet(nn.Module):
    """A main network, SOL-Net and one SOS-Net per small organ, fused to one label map.

    Args:
        main: segments all organs.
        small_organs: class channel of each of the K small organs.
        roi_sizes: ROI of each small organ, (z, y, x) in voxels.
        kernel_size: odd size per axis (z, y, x) in voxels.
        sos_features: channels to which the SOS-Nets squeeze what they read; None: they have as many as the main network
            at full resolution and squeeze nothing.
        sol_level: layer of the decoder that SOL-Net reads, 0 being the last, at full resolution.
        sol_blocks: SOL-Net's number of blocks.
        read_answer: SOS-Nets also read the main network's own probability of their organ.
        gradient_to_main: factor on the gradient that SOL-Net and SOS-Nets send into the main network.
    """

    sos_trained: Tensor
    located: tuple[Tensor, Tensor] | None = None
    """Where the last eval() forward found the organs: peak probabilities (B, K) and their voxels (B, K, 3), (z, y, x).

    Kept here since nnU-Net hands on nothing but the fused logits.
    """

    def __init__(
        self,
        main: MainNetwork,
        small_organs: Sequence[int],
        roi_sizes: Sequence[Triple],
        kernel_size: Triple = (3, 3, 3),
        *,
        sos_features: int | None = None,
        sol_level: int = 0,
        sol_blocks: int = 2,
        read_answer: bool = False,
        gradient_to_main: float = 1.0,
    ) -> None:
        super().__init__()
        self.main = main
        self.small_organs = tuple(small_organs)
        self.roi_sizes = tuple(tuple(size) for size in roi_sizes)
        self.sol_level = sol_level
        self.read_answer = read_answer
        self.gradient_to_main = gradient_to_main
        features = main.features_per_stage[0]
        self.sol = SOLNet(main.features_per_stage[sol_level], len(small_organs), kernel_size, num_blocks=sol_blocks)
        sos_channels = 2 * features + main.input_channels + 1 + read_answer
        self.sos = nn.ModuleList(
            SOSNet(sos_channels, sos_features or features, kernel_size, squeeze=sos_features is not None)
            for _ in small_organs
        )
        # Saved with the weights. A trainer sets it to false as long as the SOS-Nets weren't trained: the network then
        # predicts with the main network alone.
        self.register_buffer("sos_trained", torch.ones((), dtype=torch.bool))
        self.train_parts(PARTS)

    def train_parts(self, parts: Collection[str]) -> None:
        """Freeze all but ``parts`` (of "main", "sol", "sos"); in training, parts behind the last of them don't run.

        Frozen parts have no gradient and, as nothing before them has one either, cost no backward. Predictions stay as
        they are.
        """
        self._last_part = max(PARTS.index(part) for part in parts)
        for name in PARTS:
            self.get_submodule(name).requires_grad_(name in parts)

    @property
    def decoder(self) -> nn.Module:
        """The main network's decoder, where nnU-Net switches deep supervision on and off."""
        return self.main.decoder

    def forward(self, x: Tensor) -> Tensor | list[Tensor] | FocusNetOutput:
        """Map an image (B, input_channels, Z, Y, X) to fused logits (B, C, Z, Y, X), in training to their parts.

        With deep supervision the fused logits are the first of a list, in front of the main network's coarser ones.
        """
        features = self.main.features(x)
        answer = self.main.classify(features.decoder)
        if self.training and self._last_part == 0:
            return FocusNetOutput(answer)
        heat_logits = self._heat_logits(features)
        if self.training and self._last_part == 1:
            return FocusNetOutput(answer, heat_logits)

        main_logits, *coarser = answer if isinstance(answer, list) else [answer]
        volume_size = list(x.shape[2:])
        roi_sizes = roi.clip_sizes(self.roi_sizes, volume_size)
        peaks, centres = self._find_peaks(heat_logits.detach(), volume_size)
        corners = roi.place_rois(centres, roi_sizes, volume_size)
        indices = roi.roi_indices(corners, roi_sizes, volume_size)
        offsets = roi.organ_offsets(roi_sizes, volume_size, x.device)
        pooled = self._pool(x, features, heat_logits, corners, indices, roi_sizes)
        if self.read_answer:
            pooled.append(fusion.own_probabilities(main_logits.detach(), self.small_organs, indices, offsets))
        rois = roi.split_rois(torch.cat(pooled, 1), roi_sizes)
        roi_logits = torch.cat([net(part).flatten(1) for net, part in zip(self.sos, rois, strict=True)], 1)
        if self.training:
            return FocusNetOutput(answer, heat_logits, roi_logits, corners)

        self.located = peaks.sigmoid(), centres
        detected = (self.located[0] > DETECTION_THRESHOLD) & self.sos_trained
        organ_logits = fusion.paste_rois(roi_logits, indices, offsets, [len(rois), *volume_size])
        fused = fusion.fuse(main_logits, organ_logits, self.small_organs, detected)
        return [fused, *coarser] if isinstance(answer, list) else fused

    def _heat_logits(self, features: MainFeatures) -> Tensor:
        return self.sol(scale_gradient(features.decoder[self.sol_level], self.gradient_to_main))

    def _find_peaks(self, heat_logits: Tensor, volume_size: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Peaks (B, K), as logits, which have no plateau where probabilities round to 1, and their voxels (B, K, 3)."""
        peaks, positions = roi.find_peaks(heat_logits)
        stride = torch.tensor(roi.stride_of(heat_logits.shape[2:], volume_size), device=heat_logits.device)
        return peaks, positions * stride + stride // 2

    def _pool(
        self,
        x: Tensor,
        features: MainFeatures,
        heat_logits: Tensor,
        corners: Tensor,
        indices: Tensor,
        roi_sizes: Sequence[Triple],
    ) -> list[Tensor]:
        """What the SOS-Nets read, tensors (B, channels, N) with the ROIs of all organs one behind the other."""
        heat_size = list(heat_logits.shape[2:])
        heat_indices = roi.roi_indices(corners, roi_sizes, heat_size, roi.stride_of(heat_size, x.shape[2:]))
        return [
            scale_gradient(roi.gather_voxels(features.decoder[0], indices), self.gradient_to_main),
            scale_gradient(roi.gather_voxels(features.encoder, indices), self.gradient_to_main),
            roi.gather_voxels(x, indices).to(heat_logits.dtype),
            roi.gather_own_channel(
                heat_logits.sigmoid(), heat_indices, roi.organ_offsets(roi_sizes, heat_size, x.device)
            ),
        ]

    def compute_conv_feature_map_size(self, input_size: Triple) -> int:
        """Values in all convolution outputs for one sample of ``input_size`` (z, y, x) voxels."""
        return conv_feature_map_size(self, self.main.input_channels, input_size)
