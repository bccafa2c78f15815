"""Lines about the organs for the training log."""

from __future__ import annotations

import math
from collections.abc import Sequence

from nnunetv2_focusnet.organs.dataset_json import DatasetJson
from nnunetv2_focusnet.organs.organ import SmallOrgan
from nnunetv2_focusnet.organs.pairs import find_sides
from nnunetv2_focusnet.organs.plans_entry import PlansEntry
from nnunetv2_focusnet.system.text import in_columns


def organ_table(entry: PlansEntry, spacing: Sequence[float]) -> str:
    """A text table of all organs.

    Args:
        entry: of the plans.
        spacing: (z, y, x) in mm, of the network's axes.
    """
    roi_sizes = entry.roi_sizes
    rows = [("organ", "label", "cases", "mm3", "voxels", "extent (mm)", "weight", "small: ROI (voxels)")]
    for organ in entry.organs:
        rows.append(
            (
                organ.name,
                str(organ.label),
                str(organ.num_cases),
                f"{organ.volume_mm3:.0f}",
                f"{organ.volume_mm3 / math.prod(spacing):.0f}",
                " x ".join(f"{mm:.1f}" for mm in organ.extent_mm),
                f"{entry.focal_weights[organ.label]:.2f}",
                _by(roi_sizes[organ.label]) if organ.label in roi_sizes else "",
            )
        )
    return in_columns(rows, ">")


def small_organ_warnings(small_organs: Sequence[SmallOrgan], dataset: DatasetJson) -> list[str]:
    """One line for each ROI that had to be cut down to the patch, and each pair of which one side alone is named small.

    Args:
        small_organs: that have networks of their own.
        dataset: the dataset.json.
    """
    return [*_cut_rois(small_organs), *(_half_pairs(dataset) if small_organs else [])]


def _half_pairs(dataset: DatasetJson) -> list[str]:
    named = set(dataset.small_organs or ())
    pairs = find_sides(list(dataset.labels), dataset.left_right_pairs).pairs
    return [
        f'"small_organs" in dataset.json has {small} without {other}, which therefore has neither heat map nor ROI, and'
        " no SOS-Net is shared: name both, or neither, unless they differ in size."
        for small, other in (*pairs, *((right, left) for left, right in pairs))
        if small in named and other not in named
    ]


def _cut_rois(small_organs: Sequence[SmallOrgan]) -> list[str]:
    return [
        f"The ROI of {organ.name} should have {_by(organ.wanted_roi_size)} voxels (z, y, x) but gets the"
        f" {_by(organ.roi_size)} that fit into the patch: plan with nnUNetv2_focusnet_plan_and_preprocess or a"
        " larger -gpu_memory_target, or leave the organ out of the small ones in dataset.json."
        for organ in small_organs
        if organ.roi_size != organ.wanted_roi_size
    ]


def _by(sizes: Sequence[int]) -> str:
    return " x ".join(map(str, sizes))
