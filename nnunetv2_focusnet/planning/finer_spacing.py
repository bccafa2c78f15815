"""A finer spacing for small organs of a few voxels, where the images have it, and what it costs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nnunetv2_focusnet.planning.costs import Costs, Unsaved, by, costs_of
from nnunetv2_focusnet.planning.planner import FocusNetPlanner

FEWEST_VOXELS = 100  # of a small organ: a ball of them is 6 voxels across, and more than half of it is its surface
ENOUGH = 0.1  # of the images
FINER = 0.9  # of the planned spacing; what is closer to it changes nothing
AS_FINE = 1.01  # times a spacing at most: headers round, and so does whoever gives a spacing
CONFIGURATION = "3d_fullres"


class FinerPlanner(Unsaved, FocusNetPlanner):
    """FocusNet's planner, to ask what another spacing would cost."""


def propose_finer_spacing(planner: FocusNetPlanner, plans: dict[str, Any]) -> str | None:
    """What to give as ``-overwrite_target_spacing``, why, and at what cost; None: there is no reason to.

    Small organs must have fewer than 100 voxels at the planned spacing, and a tenth of the images finer voxels.

    Args:
        planner: that made the plans.
        plans: as it returned them.
    """
    now = costs_of(planner, plans, CONFIGURATION)
    sparse = {
        organ.name: organ.volume_voxels
        for organ in planner.entry_of(now.plan).small_organs
        if organ.volume_voxels < FEWEST_VOXELS
    }
    finer = finer_spacing(planner)
    if not sparse or finer is None:
        return None
    other = FinerPlanner(
        planner.dataset_name,
        planner.UNet_vram_target_GB,
        planner.preprocessor_name,
        overwrite_target_spacing=finer,
        trainer=planner.trainer,
    )
    other.measured = planner.measured
    then = costs_of(other, other.plan_experiment(), CONFIGURATION)
    gain = math.prod(now.plan["spacing"]) / math.prod(then.plan["spacing"])
    fewest = min(sparse, key=lambda name: sparse[name])
    return (
        f"A finer spacing: {', '.join(sparse)} would have fewer than {FEWEST_VOXELS} voxels, and a tenth of the images"
        f" is as fine as {by(finer)} mm along all axes. To use it, add -overwrite_target_spacing"
        f" {' '.join(f'{mm:.4g}' for mm in finer)} and a plans name of its own (-overwrite_plans_name). {fewest} would"
        f" have {sparse[fewest] * gain:.0f} voxels instead of {sparse[fewest]:.0f}.\n{_costs(now, then)}"
    )


def finer_spacing(planner: FocusNetPlanner) -> list[float] | None:
    """The smallest voxels for which a tenth of the images is as fine along all axes, in the files' order of axes.

    An image is as fine to within 1 %. None: they aren't notably finer than planned.
    """
    planned = planner.determine_fullres_target_spacing()
    spacings = np.vstack(planner.dataset_fingerprint["spacings"])
    finer = np.unique(np.where(spacings < FINER * planned, spacings, planned), axis=0)
    # An image that is finer along one axis and coarser along another one counts for neither.
    share_as_fine = np.array([(spacings <= AS_FINE * mm).all(1).mean() for mm in finer])
    candidates = finer[(share_as_fine >= ENOUGH) & (finer < planned).any(1)]
    return candidates[candidates.prod(1).argmin()].tolist() if len(candidates) else None


def _costs(now: Costs, then: Costs) -> str:
    seconds = then.training.step.moved_bytes / now.training.step.moved_bytes
    voxels = [math.prod(costs.image_size) / 1e6 for costs in (then, now)]
    return (
        f"It costs {voxels[0]:.1f} million voxels per case instead of {voxels[1]:.1f}; patches per image:"
        f" {then.patches_per_image} instead of {now.patches_per_image}, of {by(then.patch_mm)} mm instead of"
        f" {by(now.patch_mm)}; an epoch takes {seconds:.1f} times as long."
    )
