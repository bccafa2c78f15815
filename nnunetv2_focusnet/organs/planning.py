"""What the organs' sizes decide: which are small, their ROIs and heat maps, and the weights of the loss."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from nnunetv2_focusnet.organs.dataset_json import DatasetJson
from nnunetv2_focusnet.organs.organ import Organ, SmallOrgan
from nnunetv2_focusnet.organs.pairs import find_sides

SMALL_ORGAN_VOXELS = 1000  # paper, section 3.1
# At the voxels of ordinary planning CTs, up to 1.17 x 1.17 x 3 mm, 1000 voxels make a smaller ball: there the paper's
# rule is all there is. Optic nerves and smaller organs make balls below 12 mm, spinal cords, eyes and larger ones balls
# of 23 mm and more, see docs/planning.md.
SMALL_ORGAN_BALL_MM = 20.0
HEAT_MAP_SIGMA_PER_DIAMETER = 0.5  # from minus to plus sigma as wide as the organ
SMALLEST_SIGMA_VOXELS = 1.0  # a narrower Gaussian is a single voxel, which is hard to regress
FOCAL_WEIGHT_EXPONENT = 1.0  # paper, equation 1: weights inversely proportional to the organ's size
BACKGROUND_FOCAL_WEIGHT = 0.5
T = TypeVar("T")


def plan_small_organs(
    organs: Sequence[Organ],
    dataset: DatasetJson,
    *,
    spacing: Sequence[float],
    patch_size: Sequence[int],
    largest_margin_mm: float = math.inf,
    roi_scale: float | None = None,
) -> tuple[SmallOrgan, ...]:
    """Find the small organs, and size their ROIs and heat maps for one spacing.

    - Small are the organs named in ``dataset.json["focusnet"]["small_organs"]``, else those whose mean volume is below
      1000 voxels (paper, section 3.1) and below that of a ball of 20 mm, so that coarse voxels don't make organs of
      centimetres small, and whose mean extent is below half of the patch's. Left and right of a pair count as one
      organ, of the mean size of both.
    - ``roi_size`` is the mean extent along each axis times a scale (``roi_scale``, else dataset.json's, else 3, as
      in the paper), but at most ``largest_margin_mm`` more on either side than that extent, rounded up to even; at most
      the patch.
    - ``sigma`` of the heat map is half the mean diameter, the same in mm along all axes, at least one voxel.

    Args:
        organs: all organs, sorted by label.
        dataset: the dataset.json.
        spacing: (z, y, x) in mm, of the network's axes.
        patch_size: (z, y, x) in voxels, of the network's axes.
        largest_margin_mm: of an ROI around the mean extent.
        roi_scale: length of an ROI by that of its organ, whatever the dataset.json says; None: as that says.

    Returns:
        The small organs, sorted by label.
    """
    voxel_mm3 = math.prod(spacing)
    scale = roi_scale or dataset.roi_scale

    def plan(organ: Organ) -> SmallOrgan:
        wanted_mm = [min(scale * mm, mm + 2 * largest_margin_mm) for mm in organ.extent_mm]
        wanted = _zyx(_round_up_to_even(mm / s) for mm, s in zip(wanted_mm, spacing, strict=True))
        sigma_mm = HEAT_MAP_SIGMA_PER_DIAMETER * organ.diameter_mm
        return SmallOrgan(
            name=organ.name,
            label=organ.label,
            roi_size=_zyx(min(size, patch // 2 * 2) for size, patch in zip(wanted, patch_size, strict=True)),
            wanted_roi_size=wanted,
            sigma=_zyx(max(SMALLEST_SIGMA_VOXELS, sigma_mm / mm) for mm in spacing),
            diameter_mm=organ.diameter_mm,
            volume_voxels=organ.volume_mm3 / voxel_mm3,
        )

    sizes = _with_sizes_of_pairs(organs, dataset)
    return tuple(
        plan(organ) for organ, size in zip(organs, sizes, strict=True) if _is_small(size, dataset, spacing, patch_size)
    )


def focal_weights(organs: Sequence[Organ]) -> tuple[float, ...]:
    """A weight per class, background first: inversely proportional to mean volume (paper, equation 1).

    The largest organ has 1. Background has 0.5: its volume is that of the field of view, so 1/volume would say nothing
    about it but would all but remove the penalty for false positives; the first author's later code has 0.5, too.

    Args:
        organs: all organs, sorted by label.
    """
    largest = max(organ.volume_mm3 for organ in organs)
    return BACKGROUND_FOCAL_WEIGHT, *((organ.volume_mm3 / largest) ** -FOCAL_WEIGHT_EXPONENT for organ in organs)


def _with_sizes_of_pairs(organs: Sequence[Organ], dataset: DatasetJson) -> list[Organ]:
    """The organs in their order, those of a left-right pair with the mean size of both, over the cases that have them.

    A pair is one organ, seen twice. Judged each for itself, of two that are nearly equal one alone could be small. By
    their mean the limit stays where it is; were both small where either is, it would be higher for pairs than for other
    organs.
    """
    by_name = {organ.name: organ for organ in organs}
    for pair in find_sides(list(by_name), dataset.left_right_pairs).pairs:
        left, right = (by_name[name] for name in pair)
        cases = left.num_cases, right.num_cases
        volume = float(np.average((left.volume_mm3, right.volume_mm3), weights=cases))
        extent = _zyx(np.average((left.extent_mm, right.extent_mm), axis=0, weights=cases).tolist())
        for organ in (left, right):
            by_name[organ.name] = replace(organ, volume_mm3=volume, extent_mm=extent)
    return list(by_name.values())


def _is_small(organ: Organ, dataset: DatasetJson, spacing: Sequence[float], patch_size: Sequence[int]) -> bool:
    if dataset.small_organs is not None:
        return organ.name in dataset.small_organs
    patch_mm = [size * mm for size, mm in zip(patch_size, spacing, strict=True)]
    return (
        organ.volume_mm3 / math.prod(spacing) < SMALL_ORGAN_VOXELS
        and organ.ball_mm < SMALL_ORGAN_BALL_MM
        and organ.diameter_mm < sum(patch_mm) / 3 / 2
    )


def _round_up_to_even(voxels: float) -> int:
    # 3 * 10 * 0.98 / 0.98 is a little more than 30 in floating point and must not become 32
    return 2 * math.ceil(round(voxels, 6) / 2)


def _zyx(values: Iterable[T]) -> tuple[T, T, T]:
    z, y, x = values
    return z, y, x
