"""The losses a trainer minimises: modules over the functions that keep their terms for the log."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool3d

from nnunetv2_focusnet.architectures.blocks import constant
from nnunetv2_focusnet.architectures.focusnet import FocusNetOutput
from nnunetv2_focusnet.architectures.main_network import as_list, finest
from nnunetv2_focusnet.architectures.rois import Rois, find_centres, stride_of
from nnunetv2_focusnet.losses import functional
from nnunetv2_focusnet.losses.targets import draw_heat_maps
from nnunetv2_focusnet.organs.planning import SMALLEST_SIGMA_VOXELS

# Of log-probabilities (B, C, Z, Y, X), that of each voxel's own class, labels, voxels that count (None: all), and the
# classes' focal weights.
SEGMENTATION_TERMS: dict[str, Callable[[Tensor, Tensor, Tensor, Tensor | None, Tensor], Tensor]] = {
    "cross_entropy": lambda _, own, labels, valid, weights: functional.focal_loss(
        own, labels, valid, torch.ones_like(weights), gamma=0.0
    ),
    "focal": lambda _, own, labels, valid, weights: functional.focal_loss(own, labels, valid, weights),
    "unweighted_focal": lambda _, own, labels, valid, weights: functional.focal_loss(
        own, labels, valid, torch.ones_like(weights)
    ),
    "dice": lambda log_p, own, labels, valid, _: functional.dice_loss(log_p.exp(), own.exp(), labels, valid),
}
FOCAL_AND_DICE = {"focal": 1.0, "dice": 1.0}  # paper, equation 3


class SegmentationLoss(nn.Module):
    """Focal + Dice loss, eq. 3, or other terms; under deep supervision the weighted mean over all resolutions.

    Args:
        weights: focal weight of each class, background first.
        ignore_label: voxels of this label don't count.
        factors: of the terms that are added up, by their names in SEGMENTATION_TERMS.

    Attributes:
        annotated: (B, C) bool, which classes the samples of the next batch have annotated, background always; None:
            all. An unannotated organ's probability counts to the background. The trainer says so before each step, as
            nnU-Net calls the loss with output and target alone.
        learned: (C,), how far each class has been learned, 0 to 1; 0 unless the trainer says otherwise. So far its
            focal weight has gone from the given one to 1.
        terms: of the last batch, detached.
    """

    weights: Tensor
    learned: Tensor

    def __init__(
        self,
        weights: Sequence[float],
        ignore_label: int | None = None,
        factors: Mapping[str, float] = FOCAL_AND_DICE,
    ) -> None:
        super().__init__()
        self.register_buffer("weights", torch.tensor(weights))
        self.register_buffer("learned", torch.zeros(len(weights)))
        self.ignore_label = ignore_label
        self.factors = dict(factors)
        self.annotated: Tensor | None = None
        self.terms: dict[str, Tensor] = {}

    @property
    def term_names(self) -> tuple[str, ...]:
        """All terms that there may be."""
        return tuple(self.factors)

    def forward(self, output: Any, target: Any) -> Tensor:
        """Sum of the terms of logits and target as in :meth:`segmentation_terms`; ``terms`` has them one by one."""
        return self.add_up(self.segmentation_terms(output, target))

    def add_up(self, terms: dict[str, Tensor]) -> Tensor:
        """Remember the terms, detached, and return their sum."""
        self.terms = {name: term.detach() for name, term in terms.items()}
        return torch.stack(list(terms.values())).sum()

    def segmentation_terms(self, logits: Any, target: Any) -> dict[str, Tensor]:
        """Each term times its factor, of logits (B, C, Z, Y, X) and target (B, 1, Z, Y, X), or of lists of them.

        Lists have the finest resolution first.
        """
        by_resolution = [self._of_one_resolution(*pair) for pair in zip(as_list(logits), as_list(target), strict=True)]
        shares = [0.5**i for i in range(len(by_resolution))]  # as nnU-Net, but the coarsest counts, too
        means = (
            torch.stack([share * term for share, term in zip(shares, terms, strict=True)]).sum() / sum(shares)
            for terms in zip(*by_resolution, strict=True)
        )
        return dict(zip(self.factors, means, strict=True))

    def _of_one_resolution(self, logits: Tensor, target: Tensor) -> list[Tensor]:
        labels, valid = self.split_target(target)
        log_p = logits.float().log_softmax(1)
        if self.annotated is not None:
            log_p = functional.merge_unannotated(log_p, self.annotated)
        of_voxels = (functional.of_own_class(log_p, labels), labels, None if self.ignore_label is None else valid)
        weights = self.weights ** (1 - self.learned)
        return [factor * SEGMENTATION_TERMS[name](log_p, *of_voxels, weights) for name, factor in self.factors.items()]

    def split_target(self, target: Any) -> tuple[Tensor, Tensor]:
        """Labels (B, Z, Y, X) with 0 where ignored, and which voxels count, from the finest target (B, 1, Z, Y, X)."""
        labels = finest(target)[:, 0].long()
        valid = torch.ones_like(labels, dtype=torch.bool)
        if self.ignore_label is not None:
            valid = labels != self.ignore_label
        return labels * valid, valid


class FocusNetLoss(SegmentationLoss):
    """The losses of all parts that are being trained; of fused logits, as in validation, the main network's.

    Args:
        weights: focal weight of each class, background first.
        organs: class channel of each small organ.
        sigmas: width of each heat map, (z, y, x) in voxels.
        organ_voxels: mean volume of each small organ in voxels.
        ignore_label: voxels of this label don't count.
        factors: of the main network's terms, as in :class:`SegmentationLoss`.
    """

    sigmas: Tensor
    organ_voxels: Tensor

    def __init__(
        self,
        weights: Sequence[float],
        organs: Sequence[int],
        sigmas: Sequence[Sequence[float]],
        organ_voxels: Sequence[float],
        ignore_label: int | None = None,
        factors: Mapping[str, float] = FOCAL_AND_DICE,
    ) -> None:
        super().__init__(weights, ignore_label, factors)
        self.organs = tuple(organs)
        self.register_buffer("sigmas", torch.tensor(sigmas))
        self.register_buffer("organ_voxels", torch.tensor(organ_voxels))

    @property
    def term_names(self) -> tuple[str, ...]:
        """All terms that there may be."""
        return (*super().term_names, "heat_map", "position", "roi_focal", "roi_dice")

    def forward(self, output: Any, target: Any) -> Tensor:
        """Sum of the terms that reach a trainable parameter; ``terms`` has them one by one."""
        if not isinstance(output, FocusNetOutput):
            return super().forward(output, target)
        labels, valid = self.split_target(target)
        terms: dict[str, Tensor] = {}
        if finest(output.main_logits).requires_grad:
            terms |= self.segmentation_terms(output.main_logits, target)
        if output.heat_logits is not None and output.heat_logits.requires_grad:
            terms |= self.heat_map_terms(output.heat_logits, labels, valid)
        if output.roi_logits is not None and output.rois is not None:
            terms |= self.roi_terms(output.roi_logits, output.rois, output.organs, labels, valid)
        return self.add_up(terms)

    @property
    def annotated_organs(self) -> Tensor | None:
        """Small organs that samples have annotated, (B, K) bool, or None for all. Others have no SOL or SOS term."""
        if self.annotated is None:
            return None
        return self.annotated.index_select(1, constant(self.organs, self.annotated.device))

    def heat_map_terms(self, heat_logits: Tensor, labels: Tensor, valid: Tensor) -> dict[str, Tensor]:
        """Losses of heat-map logits (B, K, Z/s, Y/s, X/s) with a stride s, against labels (B, Z, Y, X)."""
        centres, visible = find_centres(labels, self.organs)
        size = list(heat_logits.shape[2:])
        strides = stride_of(size, labels.shape[1:])
        stride = constant(strides, labels.device)
        sigmas = torch.maximum(self.sigmas / stride, self.sigmas.clamp(max=SMALLEST_SIGMA_VOXELS))
        heat_maps = draw_heat_maps((centres + 0.5) / stride - 0.5, sigmas, size)
        if self.ignore_label is None:
            seen = valid.new_ones(len(valid), *size)
        else:  # PyTorch has no adaptive pooling of volumes on MPS
            seen = max_pool3d(valid.float(), strides, strides) > 0
        squared_error, position = functional.heat_map_losses(
            heat_logits, heat_maps, visible, seen, sigmas, self.annotated_organs
        )
        return {"heat_map": squared_error, "position": position}

    def roi_terms(
        self, roi_logits: Tensor, rois: Rois, indices: Sequence[int], labels: Tensor, valid: Tensor
    ) -> dict[str, Tensor]:
        """Losses of ROI logits (B, N) of some small organs, given by their indices, against labels (B, Z, Y, X)."""
        chosen = constant(list(indices), labels.device)
        organ_of_voxel = rois.spread(constant(self.organs, labels.device).index_select(0, chosen)[None])
        annotated = self.annotated_organs
        focal, dice = functional.roi_losses(
            roi_logits,
            (rois.gather(labels[:, None])[:, 0] == organ_of_voxel).float(),
            rois.gather(valid[:, None])[:, 0],
            rois.voxels,
            self.organ_voxels.index_select(0, chosen),
            None if annotated is None else annotated.index_select(1, chosen),
        )
        return {"roi_focal": focal, "roi_dice": dice}
