"""FocusNet: a main network for the large organs, and for each small organ a heat map and a network of its own.

Gao et al., "FocusNet: Imbalanced Large and Small Organ Segmentation with an End-to-End Deep Neural Network for Head
and Neck CT Images", MICCAI 2019.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from nnunetv2_focusnet.architectures.blocks import Triple, constant, conv_feature_map_size, scale_gradient
from nnunetv2_focusnet.architectures.config import FocusNetConfig
from nnunetv2_focusnet.architectures.fusion import fuse_, mixed_log_odds, own_log_odds
from nnunetv2_focusnet.architectures.main_network import MainFeatures, MainNetwork, as_list, finest
from nnunetv2_focusnet.architectures.rois import Rois, find_centres, find_peaks, peak_positions, stride_of
from nnunetv2_focusnet.architectures.sol import SOLNet
from nnunetv2_focusnet.architectures.sos import LARGEST_LOG_ODDS, SOSNet

PARTS = ("main", "sol", "sos")


class FocusNetOutput(NamedTuple):
    """What FocusNet's parts say, which it returns in training; parts that the stage doesn't need are None."""

    main_logits: Tensor | list[Tensor]
    """(B, C, Z, Y, X), the main network's own logits of every class; with deep supervision coarser ones, too."""
    heat_logits: Tensor | None = None
    """(B, K, Z/s, Y/s, X/s), before the sigmoid; s is the stride of the features that SOL-Net reads."""
    roi_logits: Tensor | None = None
    """(B, N), the ROIs of ``organs`` concatenated, N the sum of their voxels."""
    rois: Rois | None = None
    """Where these ROIs lie."""
    peaks: Tensor | None = None
    """(B, K), highest heat logit of each organ, without gradient."""
    centres: Tensor | None = None
    """(B, K, 3), its voxel (z, y, x)."""
    organs: Sequence[int] = ()
    """Indices of the small organs whose ROIs these are: all, in a training step one of each pair. Pairs come first."""


class FocusNet(nn.Module):
    """A main network, SOL-Net and one SOS-Net per small organ or left-right pair, fused to one label map.

    Args:
        main: segments all organs.
        config: the small organs, and the networks that locate and segment them.
    """

    sos_trained: Tensor
    sos_shares: Tensor
    seen: FocusNetOutput | None = None
    """What the parts said in the last forward in eval(), None before there was one.

    Kept here since nnU-Net hands on nothing but the fused logits.
    """

    def __init__(self, main: MainNetwork, config: FocusNetConfig) -> None:
        super().__init__()
        self.main = main
        self.config = config
        self.sol = SOLNet(
            main.features_per_stage[config.sol_level],
            len(config.small_organs),
            config.kernel_size,
            features=config.sol_features,
            num_blocks=config.sol_blocks,
        )
        self.sos = self.build_sos_nets()
        # Saved with the weights: where it is false, the network predicts with the main network alone.
        self.register_buffer("sos_trained", torch.ones((), dtype=torch.bool))
        # Likewise how much each organ's SOS-Net counts beside the main network: 1, it alone.
        self.register_buffer("sos_shares", torch.ones(len(config.small_organs)))
        self.right_side = True  # whether the last training step took the right organ of each pair
        self.train_parts(PARTS)
        self.predict_with(PARTS)

    def build_sos_nets(self) -> nn.ModuleList:
        """One for each small organ, or for each pair of them."""
        config, features = self.config, self.main.features_per_stage[0]
        channels = 2 * features + self.main.input_channels + 1 + config.sos_corrects_main
        return nn.ModuleList(
            SOSNet(
                channels,
                config.sos_features or features,
                config.kernel_size,
                num_blocks=config.sos_blocks,
                squeeze=config.sos_squeeze,
                corrects=config.sos_corrects_main,
            )
            for _ in config.groups
        )

    def train_parts(self, parts: Collection[str]) -> None:
        """Freeze all but ``parts`` (of "main", "sol", "sos"); in training, parts after the last of them don't run.

        Frozen parts have no gradient and, as nothing before them has one either, cost no backward. Predictions stay as
        they are.
        """
        self._last_part = max(PARTS.index(part) for part in parts)
        for name in PARTS:
            self.get_submodule(name).requires_grad_(name in parts)

    def predict_with(self, parts: Collection[str]) -> None:
        """Leave parts that weren't trained yet out of predictions: they don't run, and organs keep the main network's.

        Args:
            parts: of PARTS, "main" at least.
        """
        self._last_predicted_part = max(PARTS.index(part) for part in parts)
        self.sos_trained.fill_("sos" in parts)

    @property
    def located(self) -> tuple[Tensor, Tensor] | None:
        """Peaks that were :attr:`seen`, as probabilities (B, K), and their positions (B, K, 3), (z, y, x) in voxels."""
        if self.seen is None or self.seen.peaks is None or self.seen.centres is None:
            return None
        return self.seen.peaks.sigmoid(), peak_positions(self.seen.centres, self.heat_stride)

    @property
    def decoder(self) -> nn.Module:
        """The main network's decoder, where nnU-Net switches deep supervision on and off."""
        return self.main.decoder

    def forward(self, x: Tensor) -> Tensor | list[Tensor] | FocusNetOutput:
        """Map an image (B, input_channels, Z, Y, X) to fused logits (B, C, Z, Y, X), in training to their parts.

        In training the image may have the labels as a further channel: ROIs are then around the organs themselves.

        With deep supervision the fused logits are the first of a list, in front of the main network's coarser ones.
        """
        if self.training:
            return self.parts(x, self._last_part)
        self.seen = parts = self.parts(x, self._last_predicted_part)
        return parts.main_logits if parts.roi_logits is None else self.fuse(parts)

    def parts(self, x: Tensor, last_part: int = len(PARTS) - 1) -> FocusNetOutput:
        """What the main network, SOL-Net and SOS-Nets say of an image (B, input_channels, Z, Y, X), each on its own.

        Args:
            x: the image, in training perhaps with labels.
            last_part: index in PARTS of the last part to run.
        """
        labels = x[:, self.main.input_channels :] if self.training else x[:, :0]
        x = x[:, : self.main.input_channels] if self.training else x
        features = self.main.features(x)
        main_logits = self.main.classify(features.decoder)
        if last_part == 0:
            return FocusNetOutput(main_logits)
        heat_logits = self.sol(self._share_gradient(features.decoder[self.config.sol_level]))
        peaks, centres = self._find_peaks(heat_logits.detach(), x.shape[2:])
        if last_part == 1:
            return FocusNetOutput(main_logits, heat_logits, peaks=peaks, centres=centres)

        wanted = self._centres_to_train_on(labels[:, 0], centres) if labels.shape[1] else centres
        organs = self.organs_of_step() if self.training else range(len(self.config.small_organs))
        rois = self.rois_around(wanted, list(x.shape[2:]), organs)
        roi_logits = self.segment_rois(rois, organs, x, features, heat_logits, finest(main_logits))
        return FocusNetOutput(main_logits, heat_logits, roi_logits, rois, peaks, centres, organs)

    def segment_at(self, x: Tensor, rois: Rois, organs: Sequence[int]) -> Tensor:
        """Log-odds (B, N) of some small organs, in ROIs that somebody else has found; without deep supervision.

        They are means of the SOS-Nets' and the main network's, by the organs' shares.

        Args:
            x: image (B, input_channels, Z, Y, X).
            rois: one for each of ``organs``, from those that :meth:`rois_around` may return.
            organs: their indices among the small organs.
        """
        features = self.main.features(x)
        main_logits = self.main.classify(features.decoder)
        assert isinstance(main_logits, Tensor)
        heat_logits = self.sol(features.decoder[self.config.sol_level])
        roi_logits = self.segment_rois(rois, organs, x, features, heat_logits, main_logits)
        channels = [self.config.small_organs[k] for k in organs]
        shares = (self.sos_shares * self.sos_trained).index_select(0, constant(list(organs), x.device))
        return mixed_log_odds(rois.gather(main_logits), roi_logits, rois, channels, shares)

    def fuse(self, parts: FocusNetOutput) -> Tensor | list[Tensor]:
        """The prediction that all parts make together: logits (B, C, Z, Y, X).

        With deep supervision they are the first of a list, in front of the main network's coarser ones.

        Args:
            parts: of an image; none is None.
        """
        assert parts.rois is not None
        assert parts.roi_logits is not None
        main_logits, *coarser = as_list(parts.main_logits)
        fused = main_logits.clone(memory_format=torch.contiguous_format)
        self.fuse_(fused, parts.roi_logits, parts.rois, self.detected(parts), self.sos_shares)
        return [fused, *coarser] if isinstance(parts.main_logits, list) else fused

    def detected(self, parts: FocusNetOutput) -> Tensor:
        """Which small organs are in each image, (B, K) bool; none as long as the SOS-Nets aren't trained."""
        assert parts.peaks is not None
        return (parts.peaks.sigmoid() > self.config.detection_threshold) & self.sos_trained

    def fuse_(
        self, main_logits: Tensor, roi_logits: Tensor, rois: Rois, detected: Tensor, sos_shares: Tensor
    ) -> Tensor:
        """Turn the main network's logits (B, C, Z, Y, X), which are contiguous, into fused ones, in place.

        Args:
            main_logits: of an image, which may be larger than a patch.
            roi_logits: (B, N), the SOS logits of all organs' ROIs.
            rois: where these ROIs lie.
            detected: (B, K) bool, which organs are in the image.
            sos_shares: (K,), how much the SOS logits count beside the main network's own log-odds.
        """
        small, outside = self.config.small_organs, self.config.logit_outside_roi
        return fuse_(main_logits, roi_logits, rois, small, detected, sos_shares, outside)

    @property
    def heat_stride(self) -> Triple:
        """Voxels (z, y, x) of the image per voxel of a heat map."""
        return self.main.strides[self.config.sol_level]

    @property
    def roi_step(self) -> Triple:
        """Corners (z, y, x) of ROIs are multiples of it, in voxels."""
        return (1, 1, 1)

    def rois_around(self, centres: Tensor, volume_size: Triple, organs: Sequence[int] | None = None) -> Rois:
        """ROIs of some small organs (None: all) around centres (B, K, 3) in an image of size (Z, Y, X).

        All are (z, y, x) in voxels.
        """
        organs = range(len(self.config.small_organs)) if organs is None else organs
        sizes = [self.config.roi_sizes[k] for k in organs]
        chosen = torch.stack([centres[:, k] for k in organs], 1)  # an index would be copied to the GPU in every step
        return Rois.around(chosen, sizes, volume_size, self.roi_step)

    def organs_of_step(self) -> Sequence[int]:
        """Of each pair that shares a SOS-Net one organ, left and right in turns, and all others: their indices.

        Both would teach the same SOS-Net, at twice the price.
        """
        self.right_side = not self.right_side
        return [group[-1] if self.right_side else group[0] for group in self.config.groups]

    def segment_rois(
        self,
        rois: Rois,
        organs: Sequence[int],
        x: Tensor,
        features: MainFeatures,
        heat_logits: Tensor,
        main_logits: Tensor,
    ) -> Tensor:
        """SOS logits (B, N) of the ROIs of some organs, given by their indices among the small ones."""
        read = self._read_rois(rois, organs, x, features, heat_logits)
        if not self.config.sos_corrects_main:
            return self.run_sos_nets(organs, rois.split(read))
        log_odds = self.main_log_odds(rois, organs, main_logits)
        return log_odds[:, 0] + self.run_sos_nets(organs, rois.split(torch.cat([read, log_odds], 1)))

    def run_sos_nets(self, organs: Sequence[int], *read: Sequence[Tensor]) -> Tensor:
        """What the SOS-Nets answer, (B, N). Both organs of a pair pass in one batch, the right ROI mirrored.

        Args:
            organs: indices of small organs.
            read: each of a SOS-Net's inputs, (B, channels, z, y, x) for each of the organs.
        """
        answers: dict[int, Tensor] = {}
        for net, group in zip(self.sos, self.config.groups, strict=True):
            places = [place for place, organ in enumerate(organs) if organ in group]
            if not places:
                continue
            inputs = [_joined([self._turned(each[place], organs[place], group) for place in places]) for each in read]
            for place, answer in zip(places, net(*inputs).chunk(len(places)), strict=True):
                answers[place] = self._turned(answer, organs[place], group)
        return torch.cat([answers[place].flatten(1) for place in range(len(organs))], 1)

    def _turned(self, roi: Tensor, organ: int, group: Sequence[int]) -> Tensor:
        if organ == group[0]:
            return roi
        assert self.config.pairs is not None
        return roi.flip(2 + self.config.pairs.mirror_axis)

    def main_log_odds(self, rois: Rois, organs: Sequence[int], main_logits: Tensor) -> Tensor:
        """What the main network says of each organ in its ROI, (B, 1, N), not too certain and without gradient."""
        channels = [self.config.small_organs[k] for k in organs]
        return own_log_odds(main_logits.detach(), channels, rois).clamp(-LARGEST_LOG_ODDS, LARGEST_LOG_ODDS)

    def _centres_to_train_on(self, labels: Tensor, found: Tensor) -> Tensor:
        """Where the organs are, moved at random; of those that aren't in the image, where they were found.

        A SOS-Net whose ROIs often miss its organ learns that they are empty.
        """
        centres, visible = find_centres(labels, self.config.small_organs)
        jitter = constant(self.config.jitter, found.device)
        moved = centres.round() + torch.round((2 * torch.rand_like(centres) - 1) * jitter)
        return torch.where(visible[..., None], moved.long(), found)

    def _share_gradient(self, features: Tensor) -> Tensor:
        return scale_gradient(features, self.config.gradient_to_main)

    @staticmethod
    def _find_peaks(heat_logits: Tensor, volume_size: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Peaks (B, K), as logits, which have no plateau where probabilities round to 1, and their voxels (B, K, 3)."""
        peaks, positions = find_peaks(heat_logits)
        stride = constant(stride_of(heat_logits.shape[2:], volume_size), heat_logits.device)
        return peaks, positions * stride + stride // 2

    def _read_rois(
        self,
        rois: Rois,
        organs: Sequence[int],
        x: Tensor,
        features: MainFeatures,
        heat_logits: Tensor,
    ) -> Tensor:
        """What the SOS-Nets read, (B, channels, N) with the ROIs of the organs concatenated."""
        on_heat_map = rois.on_coarser(list(heat_logits.shape[2:]))
        read = [
            self._share_gradient(rois.gather(features.decoder[0])),
            self._share_gradient(rois.gather(features.encoder)),
            rois.gather(x).to(heat_logits.dtype),
            on_heat_map.gather_own(heat_logits.sigmoid(), organs),
        ]
        return torch.cat(read, 1)

    def compute_conv_feature_map_size(self, input_size: Triple) -> int:
        """Values in all convolution outputs for one sample of ``input_size`` (z, y, x) voxels."""
        return conv_feature_map_size(self, self.main.input_channels, input_size)


def _joined(parts: Sequence[Tensor]) -> Tensor:
    """Along the batch; a single part isn't copied."""
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))
