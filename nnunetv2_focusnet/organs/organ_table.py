"""Lines about the organs for the training log."""

from __future__ import annotations

import math
from collections.abc import Sequence

from nnunetv2_focusnet.organs.organ import SmallOrgan
from nnunetv2_focusnet.organs.plans_entry import PlansEntry


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
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(
            [f"{row[0]:<{widths[0]}}", *(f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def roi_warnings(small_organs: Sequence[SmallOrgan]) -> list[str]:
    """One line for each small organ whose ROI had to be cut down to the patch."""
    return [
        f"The ROI of {organ.name} should have {_by(organ.wanted_roi_size)} voxels (z, y, x) but gets the"
        f" {_by(organ.roi_size)} that fit into the patch: plan with nnUNetv2_focusnet_plan_and_preprocess or a"
        " larger -gpu_memory_target, or leave the organ out of the small ones in dataset.json."
        for organ in small_organs
        if organ.roi_size != organ.wanted_roi_size
    ]


def _by(sizes: Sequence[int]) -> str:
    return " x ".join(map(str, sizes))
