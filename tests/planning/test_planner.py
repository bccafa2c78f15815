"""Patch, batch and entry of plans for datasets whose images and organs are known."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from boxes import DATASET

from nnunetv2_focusnet.planning.counting import GIB
from nnunetv2_focusnet.planning.planner import PLANS_NAME, FocusNetPlanner
from nnunetv2_focusnet.trainers.focusnet_trainer import FocusNetTrainer
from nnunetv2_focusnet.trainers.plans_network_trainer import FocusNetTrainerPlansNetwork
from nnunetv2_focusnet.trainers.snet_trainer import SNetTrainer


def plan(gigabytes: float = 8, **options: Any) -> tuple[FocusNetPlanner, dict[str, Any]]:
    """A planner and its 3d_fullres."""
    planner = FocusNetPlanner(DATASET, gigabytes, num_processes=1, **options)
    return planner, planner.plan_experiment()["configurations"]["3d_fullres"]


def name_small_organs(preprocessed: Path, *names: str) -> None:
    file = preprocessed.parents[1] / "nnUNet_raw" / DATASET / "dataset.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"focusnet": {"small_organs": names}}))


def test_plans_have_organs_rois_and_network(preprocessed: Path) -> None:
    plan()
    plans = json.loads((preprocessed / f"{PLANS_NAME}.json").read_text())
    entry = plans["configurations"]["3d_fullres"]["focusnet"]
    # three times boxes of 4 x 30 x 6 and 3 x 4 x 6 voxels, rounded up to even
    assert [organ["roi_size"] for organ in entry["small_organs"]] == [[12, 90, 18], [10, 12, 18]]
    assert entry["network"]["roi_sizes"] == [[12, 90, 18], [10, 12, 18]]
    assert (plans["plans_name"], plans["experiment_planner_used"]) == (PLANS_NAME, "FocusNetPlanner")
    assert "focusnet" not in plans["configurations"]["2d"]


def test_patch_holds_the_largest_roi_where_the_memory_allows_it(preprocessed: Path) -> None:
    _, with_nerve = plan(0.6)
    name_small_organs(preprocessed, "Lens")
    _, without = plan(0.6)
    assert without["patch_size"][1] < 90 <= with_nerve["patch_size"][1]
    assert math.prod(with_nerve["patch_size"]) <= math.prod(without["patch_size"]) * 1.25


@pytest.mark.parametrize("trainer", [FocusNetTrainer, FocusNetTrainerPlansNetwork, SNetTrainer])
@pytest.mark.parametrize("gigabytes", [1.0, 3.0])
def test_what_is_planned_fits_and_is_not_much_smaller(preprocessed: Path, trainer: type, gigabytes: float) -> None:
    planner, planned = plan(gigabytes, trainer=trainer)
    needed = planner.training_of(planned).memory_bytes / GIB
    image = [40, 128, 128]
    assert needed <= gigabytes * 1.01
    assert needed > gigabytes * 0.6 or planned["patch_size"] == image
