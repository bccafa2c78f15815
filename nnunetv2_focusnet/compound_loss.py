"""The losses a trainer minimises: modules over the functions of ``losses`` that keep their terms for the log."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from nnunetv2_focusnet import losses
from nnunetv2_focusnet.architectures import roi
from nnunetv2_focusnet.architectures.focusnet import FocusNetOutput
from nnunetv2_focusnet.organs import SMALLEST_SIGMA_VOXELS
from nnunetv2_focusnet.targets import draw_heat_maps, find_centres


class CompoundLoss(nn.Module):
    """What the losses share: targets, what is annotated, and terms to log.

    Args:
        ignore_label: voxels of this label don't count.

    Attributes:
        annotated: (B, C) bool, which classes the samples of the next batch have annotated, background always; None:
            all. An unannotated organ's probability counts to the background. The trainer says so before each step, as
            nnU-Net calls the loss with output and target alone.
        terms: of the last batch, detached.
    """

    term_names: tuple[str, ...]

    def __init__(self, ignore_label: int | None) -> None:
        super().__init__()
        self.ignore_label = ignore_label
        self.annotated: Tensor | None = None
        self.terms: dict[str, Tensor] = {}

    def split_target(self, target: Any) -> tuple[Tensor, Tensor]:
        """Labels (B, Z, Y, X) with 0 where ignored, and which voxels count, from the finest target (B, 1, Z, Y, X)."""
        labels = finest(target)[:, 0].long()
        valid = torch.ones_like(labels, dtype=torch.bool)
        if self.ignore_label is not None:
            valid = labels != self.ignore_label
        return labels * valid, valid

    def segmentation_terms(self, logits: Any, target: Any) -> dict[str, Tensor]:
        """Terms of the main network's logits."""
        raise NotImplementedError

    def forward(self, output: Any, target: Any) -> Tensor:
        """Sum of the terms for logits (B, C, Z, Y, X) and a target (B, 1, Z, Y, X); ``terms`` has them one by one."""
        return self.add_up(self.segmentation_terms(output, target))

    def add_up(self, terms: dict[str, Tensor]) -> Tensor:
        """Remember the terms, detached, and return their sum."""
        self.terms = {name: term.detach() for name, term in terms.items()}
        return torch.stack(list(terms.values())).sum()


class SegmentationLoss(CompoundLoss):
    """Focal + Dice loss, eq. 3; under deep supervision the weighted mean over all resolutions.

    Args:
        weights: focal weight of each class, background first.
        ignore_label: voxels of this label don't count.
    """

    weights: Tensor
    term_names = ("focal", "dice")

    def __init__(self, weights: Sequence[float], ignore_label: int | None = None) -> None:
        super().__init__(ignore_label)
        self.register_buffer("weights", torch.tensor(weights))

    def segmentation_terms(self, logits: Any, target: Any) -> dict[str, Tensor]:
        """Focal and Dice loss of logits (B, C, Z, Y, X), or of a list of them and of targets, the finest first."""
        by_resolution = [self._of_one_resolution(*pair) for pair in zip(as_list(logits), as_list(target), strict=True)]
        shares = [0.5**i for i in range(len(by_resolution))]  # as nnU-Net, but the coarsest counts, too
        focal, dice = (
            torch.stack([share * term for share, term in zip(shares, terms, strict=True)]).sum() / sum(shares)
            for terms in zip(*by_resolution, strict=True)
        )
        return {"focal": focal, "dice": dice}

    def _of_one_resolution(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        labels, valid = self.split_target(target)
        log_p = logits.float().log_softmax(1)
        if self.annotated is not None:
            log_p = losses.merge_unannotated(log_p, self.annotated)
        focal = losses.focal_loss(log_p, labels, valid, self.weights)
        return focal, losses.dice_loss(log_p.exp(), labels, valid)


class FocusNetLoss(CompoundLoss):
    """The losses of all parts that are being trained; on fused logits, as in validation, the main network's.

    Args:
        main: loss of the main network.
        organs: class channel of each small organ.
        roi_sizes: ROI of each small organ, (z, y, x) in voxels.
        sigmas: width of each heat map, (z, y, x) in voxels.
        organ_voxels: mean volume of each small organ in voxels.
    """

    sigmas: Tensor
    organ_voxels: Tensor

    def __init__(
        self,
        main: CompoundLoss,
        organs: Sequence[int],
        roi_sizes: Sequence[Sequence[int]],
        sigmas: Sequence[Sequence[float]],
        organ_voxels: Sequence[float],
    ) -> None:
        super().__init__(main.ignore_label)
        self.main = main
        self.term_names = (*main.term_names, "heat_map", "position", "roi_focal", "roi_dice")
        self.organs = tuple(organs)
        self.roi_sizes = [list(size) for size in roi_sizes]
        self.register_buffer("sigmas", torch.tensor(sigmas))
        self.register_buffer("organ_voxels", torch.tensor(organ_voxels))

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
        if output.roi_logits is not None and output.roi_corners is not None:
            terms |= self.roi_terms(output.roi_logits, output.roi_corners, labels, valid)
        return self.add_up(terms)

    def segmentation_terms(self, logits: Any, target: Any) -> dict[str, Tensor]:
        """Terms of the main network's logits."""
        self.main.annotated = self.annotated
        return self.main.segmentation_terms(logits, target)

    @property
    def annotated_organs(self) -> Tensor | None:
        """Which small organs the samples have annotated, (B, K) bool; None: all. Others have no SOL or SOS term."""
        return None if self.annotated is None else self.annotated[:, list(self.organs)]

    def heat_map_terms(self, heat_logits: Tensor, labels: Tensor, valid: Tensor) -> dict[str, Tensor]:
        """Losses of heat-map logits (B, K, Z/s, Y/s, X/s) with a stride s, against labels (B, Z, Y, X)."""
        centres, visible = find_centres(labels, self.organs)
        size = list(heat_logits.shape[2:])
        strides = roi.stride_of(size, labels.shape[1:])
        stride = torch.tensor(strides, device=labels.device)
        sigmas = torch.maximum(self.sigmas / stride, self.sigmas.clamp(max=SMALLEST_SIGMA_VOXELS))
        heat_maps = draw_heat_maps((centres + 0.5) / stride - 0.5, sigmas, size)
        if self.ignore_label is None:
            seen = valid.new_ones(len(valid), *size)
        else:  # PyTorch has no adaptive pooling of volumes on MPS
            seen = functional.max_pool3d(valid.float(), strides, strides) > 0
        squared_error, position = losses.heat_map_losses(
            heat_logits, heat_maps, visible, seen, sigmas, self.annotated_organs
        )
        return {"heat_map": squared_error, "position": position}

    def roi_terms(self, roi_logits: Tensor, corners: Tensor, labels: Tensor, valid: Tensor) -> dict[str, Tensor]:
        """Losses of ROI logits (B, N) whose ROIs have the lowest corners (B, K, 3)."""
        volume_size = list(labels.shape[1:])
        roi_sizes = roi.clip_sizes(self.roi_sizes, volume_size)
        roi_voxels = [z * y * x for z, y, x in roi_sizes]
        indices = roi.roi_indices(corners, roi_sizes, volume_size)
        organ_of_voxel = torch.tensor(self.organs, device=labels.device).repeat_interleave(
            torch.tensor(roi_voxels, device=labels.device)
        )
        target = (labels.flatten(1).gather(1, indices) == organ_of_voxel).float()
        focal, dice = losses.roi_losses(
            roi_logits,
            target,
            valid.flatten(1).gather(1, indices),
            roi_voxels,
            self.organ_voxels,
            self.annotated_organs,
        )
        return {"roi_focal": focal, "roi_dice": dice}


def as_list(parts: Any) -> list[Any]:
    """Logits or targets of all resolutions, the finest first; without deep supervision there is just one."""
    return list(parts) if isinstance(parts, list | tuple) else [parts]


def finest(parts: Any) -> Any:
    """The logits or target that have the patch's resolution."""
    return as_list(parts)[0]
