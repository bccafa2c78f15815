"""What plans cost, beside nnU-Net's own for the same images and memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from nnunetv2.experiment_planning.experiment_planners.default_experiment_planner import ExperimentPlanner
from nnunetv2.inference.sliding_window_prediction import compute_steps_for_sliding_window
from nnunetv2.utilities.json_export import recursive_fix_for_json_export
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager

from nnunetv2_focusnet.organs.organ_table import organ_table, small_organ_warnings
from nnunetv2_focusnet.planning.counting import GIB
from nnunetv2_focusnet.planning.meta_training import Training
from nnunetv2_focusnet.planning.planner import FocusNetPlanner
from nnunetv2_focusnet.system.text import in_columns

CONFIGURATIONS = ("3d_fullres", "3d_lowres")
TILE_STEP = 0.5  # of nnUNetv2_predict


class Unsaved:
    """Mixin of planners: the plans aren't for keeping."""

    def save_plans(self, plans: dict[str, Any]) -> None:
        """Leave them as they would be read from a file."""
        recursive_fix_for_json_export(plans)


class StockPlanner(Unsaved, ExperimentPlanner):  # type: ignore[misc]
    """nnU-Net's planner, to compare with."""


@dataclass(frozen=True)
class Costs:
    """What one 3D configuration of some plans costs.

    Attributes:
        plan: the configuration, as the planner returned it.
        training: what is trained on it.
    """

    plan: dict[str, Any]
    training: Training

    @property
    def image_size(self) -> list[int]:
        """Median size (z, y, x) of the images in voxels, at the spacing of the configuration."""
        return [round(n) for n in self.plan["median_image_size_in_voxels"]]

    @property
    def patches_per_image(self) -> int:
        """Patches that ``nnUNetv2_predict`` takes from an image of median size."""
        patch = self.plan["patch_size"]
        padded = [max(n, p) for n, p in zip(self.image_size, patch, strict=True)]
        return math.prod(map(len, compute_steps_for_sliding_window(padded, patch, TILE_STEP)))

    @property
    def patch_mm(self) -> list[float]:
        """Size of the patch (z, y, x) in mm."""
        return [n * mm for n, mm in zip(self.plan["patch_size"], self.plan["spacing"], strict=True)]


def describe_plans(planner: FocusNetPlanner, plans: dict[str, Any]) -> list[str]:
    """Paragraphs on organs, ROIs and costs of each 3D configuration, beside those of nnU-Net's own plans.

    Args:
        planner: that made the plans.
        plans: whose organs, ROIs, patch, batch and costs are told.
    """
    stock = StockPlanner(
        planner.dataset_name, planner.UNet_vram_target_GB, overwrite_target_spacing=planner.overwrite_target_spacing
    ).plan_experiment()
    paragraphs = []
    for name in CONFIGURATIONS:
        if name not in plans["configurations"]:
            continue
        ours = costs_of(planner, plans, name)
        theirs = _stock_costs(planner, stock["configurations"].get(name))
        entry = planner.entry_of(ours.plan)
        table = organ_table(entry, ours.plan["spacing"])
        paragraphs += [
            f"{name}\n{table}",
            _cost_table(planner, ours, theirs),
            *small_organ_warnings(entry.organs_with_networks, planner.checked_dataset),
        ]
    return paragraphs


def costs_of(planner: FocusNetPlanner, plans: dict[str, Any], name: str) -> Costs:
    """What training on a 3D configuration of the planner's plans costs."""
    plan = plans["configurations"][name]
    return Costs(plan, planner.training_of(plan))


def _stock_costs(planner: FocusNetPlanner, plan: dict[str, Any] | None) -> Costs | None:
    if plan is None:
        return None
    return Costs(plan, Training.by_stock(ConfigurationManager(plan), planner.num_channels, planner.num_classes))


def _cost_table(planner: FocusNetPlanner, ours: Costs, theirs: Costs | None) -> str:
    """Rows of costs, those of nnU-Net's plan beside them if it has the configuration."""
    columns = [ours, *([theirs] if theirs else [])]

    def row(name: str, cell: Callable[[Costs], str]) -> list[str]:
        return [name, *map(cell, columns)]

    rows = [
        ["", planner.trainer.__name__, "nnUNetTrainer"][: len(columns) + 1],
        row("spacing (mm)", lambda costs: by(costs.plan["spacing"])),
        row("median image (voxels)", lambda costs: by(costs.image_size)),
        row("patch (voxels)", lambda costs: by(costs.plan["patch_size"])),
        row("patch (mm)", lambda costs: by(costs.patch_mm)),
        row("batch", lambda costs: str(costs.plan["batch_size"])),
        row("patches per image", lambda costs: str(costs.patches_per_image)),
        row("memory (GiB)", lambda costs: f"{costs.training.memory_bytes / GIB:.1f}"),
    ]
    if theirs:
        stock = theirs.training.step
        rows += [
            row("seconds per epoch, relative", lambda c: f"{c.training.step.moved_bytes / stock.moved_bytes:.2f}"),
            row("operations, relative", lambda c: f"{c.training.step.flop / stock.flop:.2f}"),
        ]
    return in_columns(rows)


def by(sizes: Sequence[float]) -> str:
    """Sizes as text, with up to four significant digits."""
    return " x ".join(f"{size:.4g}" for size in sizes)
