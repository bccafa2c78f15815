"""Patch, batch and entry of plans for datasets whose images and organs are known."""

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from boxes import BOXES, DATASET, use_folders, write_dataset, write_fingerprint

from nnunetv2_focusnet.planning.costs import describe_plans
from nnunetv2_focusnet.planning.counting import GIB
from nnunetv2_focusnet.planning.planner import PLANS_NAME, FocusNetPlanner
from nnunetv2_focusnet.trainers.base import BaseTrainer
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


def test_no_room_is_made_for_rois_that_a_trainer_does_not_have(preprocessed: Path) -> None:
    _, with_nerve = plan(0.6, trainer=SNetTrainer)
    name_small_organs(preprocessed, "Lens")
    _, without = plan(0.6, trainer=SNetTrainer)
    assert with_nerve["patch_size"] == without["patch_size"]
    assert with_nerve["patch_size"][1] < 90


@pytest.mark.parametrize(("trainer", "cuts_rois"), [(FocusNetTrainer, True), (SNetTrainer, False)])
@pytest.mark.usefixtures("preprocessed")
def test_rois_that_do_not_fit_are_told_of_where_there_are_any(trainer: type[BaseTrainer], cuts_rois: bool) -> None:
    planner = FocusNetPlanner(DATASET, 0.1, num_processes=1, trainer=trainer)
    text = "\n".join(describe_plans(planner, planner.plan_experiment()))
    assert ("The ROI of Nerve should have 12 x 90 x 18 voxels" in text) == cuts_rois


@pytest.mark.parametrize("trainer", [FocusNetTrainer, FocusNetTrainerPlansNetwork])
@pytest.mark.usefixtures("preprocessed")
def test_what_is_planned_fits_and_is_not_much_smaller(trainer: type[BaseTrainer]) -> None:
    planner, planned = plan(0.8, trainer=trainer)
    assert math.prod(planned["patch_size"]) < 40 * 128 * 128  # the memory decides, not the image
    assert 0.6 < planner.training_of(planned).memory_bytes / GIB <= 0.8


def test_batches_grow_once_the_patch_is_the_image(preprocessed: Path) -> None:
    file = preprocessed.parents[1] / "nnUNet_raw" / DATASET / "dataset.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"numTraining": 100}))
    planner, planned = plan(5, trainer=SNetTrainer)
    assert tuple(planned["patch_size"]) == (40, 128, 128)
    # nnU-Net lets a batch have 5 % of the 100 cases at most; these five images need no more than that.
    per_sample = planner.memory_of(planned | {"batch_size": 2}) - planner.memory_of(planned | {"batch_size": 1})
    assert planned["batch_size"] == min(5, int(5 * GIB / per_sample)) > 2


def test_images_smaller_than_the_shortest_patch_are_planned_for_as_a_whole(preprocessed: Path) -> None:
    write_fingerprint(preprocessed, shape=(12, 14, 14))
    _, planned = plan(trainer=SNetTrainer)
    assert tuple(planned["patch_size"]) == (12, 14, 14)
    with pytest.raises(ValueError, match=r"no patch for SNetTrainer fits into 0\.001 GB"):  # nor a part of them
        plan(0.001, trainer=SNetTrainer)


def test_of_older_plans_only_what_was_added_by_hand_stays(preprocessed: Path) -> None:
    file = preprocessed / f"{PLANS_NAME}.json"
    mine = {"inherits_from": "3d_fullres", "batch_size": 7}
    older = {"3d_fullres": {"batch_size": 9}, "3d_lowres": {"batch_size": 9}, "3d_cascade_fullres": {}, "mine": mine}
    file.write_text(json.dumps({"configurations": older}))
    planner = FocusNetPlanner(DATASET, 8, num_processes=1, trainer=SNetTrainer)  # a patch as large as the image
    plans = planner.plan_experiment()
    written = json.loads(file.read_text())["configurations"]
    assert written.keys() == plans["configurations"].keys() == {"2d", "3d_fullres", "mine"}
    assert (written["mine"], written["3d_fullres"]["batch_size"]) == (mine, 2)


@pytest.mark.parametrize(
    "added", [{"inherits_from": "3d_lowres"}, {"inherits_from": "3d_fullres", "previous_stage": "3d_lowres"}]
)
def test_what_was_added_by_hand_on_what_is_not_planned_any_more_is_refused(
    preprocessed: Path, added: dict[str, Any]
) -> None:
    file = preprocessed / f"{PLANS_NAME}.json"
    others = {"3d_lowres": {"batch_size": 9}, "on_mine": {"inherits_from": "mine", "previous_stage": None}}
    older = json.dumps({"configurations": others | {"mine": added}})
    file.write_text(older)
    with pytest.raises(
        ValueError, match=rf"^{re.escape(str(file))} .* \(mine on 3d_lowres\): take them out of that file"
    ):
        plan(trainer=SNetTrainer)
    assert file.read_text() == older


@pytest.mark.parametrize(("gigabytes", "shape"), [(0.92, (36, 128, 72)), (1.16, (43, 128, 69))])
def test_the_strides_divide_the_patch_also_where_it_makes_room_for_an_roi(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gigabytes: float, shape: tuple[int, int, int]
) -> None:
    for name, folder in use_folders(tmp_path).items():
        monkeypatch.setenv(name, folder)
    monkeypatch.setitem(BOXES, "Nerve", (4, 40, 6))  # its ROI is 120 voxels long, nearly as long as the image
    write_fingerprint(write_dataset(tmp_path), shape=shape)
    _, planned = plan(gigabytes)
    strides = np.prod(planned["architecture"]["arch_kwargs"]["strides"], axis=0)
    assert (np.array(planned["patch_size"]) % strides).tolist() == [0, 0, 0]
