"""What trainers refuse and respect of dataset.json, made and started as nnU-Net does."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from small_trainers import SmallSNetTrainer

from nnunetv2_focusnet.trainers.left_right_flip import LeftRightFlipTransform
from nnunetv2_focusnet.trainers.left_right_trainer import LeftRightTrainer


def change(project: Path, **content: object) -> None:
    file = project / "dataset.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | content))


def make_patch_flat(project: Path) -> None:
    """nnU-Net turns patches like this one by any angle."""
    file = project / "nnUNetPlans.json"
    plans = json.loads(file.read_text())
    plans["configurations"]["3d_fullres"]["patch_size"] = [8, 32, 32]
    file.write_text(json.dumps(plans))


def labels_of(project: Path) -> dict[str, int]:
    return json.loads((project / "dataset.json").read_text())["labels"]


def renamed(project: Path, **names: str) -> dict[str, int]:
    return {names.get(name, name): value for name, value in labels_of(project).items()}


def augmentation(trainer: Any) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """Smallest and largest rotation in degrees, and the axes that are mirrored with labels as they are."""
    rotation, _, _, mirror_axes = trainer.configure_rotation_dummyDA_mirroring_and_inital_patch_size()
    return tuple(round(math.degrees(angle)) for angle in rotation), mirror_axes


@pytest.mark.parametrize("trainer_class", [SmallSNetTrainer, LeftRightTrainer])
@pytest.mark.parametrize("fault", ["gap", "two of one value", "regions", "no file ending"])
def test_refused_before_anything_is_made(make_trainer: Any, project: Path, trainer_class: type, fault: str) -> None:
    labels = labels_of(project)
    last = max(labels, key=lambda name: labels[name])
    changes: dict[str, dict[str, object]] = {
        "gap": {"labels": labels | {last: 20}},
        "two of one value": {"labels": labels | {last: 1}},
        "regions": {"labels": labels | {last: [1, 2]}},
        "no file ending": {"file_ending": None},
    }
    change(project, **changes[fault])
    with pytest.raises(ValueError, match=r"dataset\.json: ") as error:
        make_trainer(trainer_class)
    assert str(error.value).startswith(str(project / "dataset.json"))
    assert "\n" not in str(error.value)
    assert not (project.parents[1] / "nnUNet_results").exists()


def test_a_key_that_is_there_twice_is_refused_though_nnunet_has_read_the_file(make_trainer: Any, project: Path) -> None:
    text = (project / "dataset.json").read_text()
    (project / "dataset.json").write_text(text.replace('"Eye_L"', '"Eye_R"'))
    with pytest.raises(ValueError, match=r'dataset\.json has the key "Eye_R" twice'):
        make_trainer()


@pytest.mark.parametrize(("key", "case"), [("annotated", "Head_001.nii.gz"), ("annotated_test", "Head_01")])
def test_a_misspelt_case_is_refused_before_organs_are_measured(
    make_trainer: Any, project: Path, key: str, case: str
) -> None:
    change(project, focusnet={key: {case: ["Brain"]}})
    (project / "focusnet_organs.json").unlink()
    trainer = make_trainer()
    with pytest.raises(ValueError, match=rf"lists {case}, but .*Head_001"):
        trainer.initialize()
    assert not (project / "focusnet_organs.json").exists()


def test_test_cases_may_be_listed_and_change_nothing(make_trainer: Any, project: Path) -> None:
    entries = []
    for focusnet in ({}, {"annotated_test": {"Head_900": ["Brain"]}}):
        change(project, focusnet=focusnet)
        trainer = make_trainer(SmallSNetTrainer)
        trainer.initialize()
        entries.append(trainer.entry)
    assert entries[0] == entries[1]


def test_paired_organs_are_flipped_with_their_labels_and_mirrored_no_other_way(make_trainer: Any) -> None:
    trainer = make_trainer(SmallSNetTrainer)
    assert augmentation(trainer) == ((-30, 30), (0, 1))
    assert trainer.inference_allowed_mirroring_axes == (0, 1)
    assert trainer.left_right.laterality.axis == 2


@pytest.mark.parametrize("trainer_class", [SmallSNetTrainer, LeftRightTrainer])
@pytest.mark.parametrize("pairs", ["beside pairs", "without any pair"])
def test_an_organ_without_its_partner_stops_all_flips_along_that_axis(
    make_trainer: Any, project: Path, trainer_class: type, pairs: str
) -> None:
    make_patch_flat(project)
    others = {name: f"organ {value}" for name, value in labels_of(project).items() if value and name != "Eye_L"}
    change(project, labels=renamed(project, **({"Eye_R": "Other"} if pairs == "beside pairs" else others)))
    trainer = make_trainer(trainer_class)
    trainer.initialize()
    assert augmentation(trainer) == ((-30, 30), (0, 1))
    assert trainer.inference_allowed_mirroring_axes == (0, 1)  # goes into the checkpoint, for prediction
    assert trainer.left_right.laterality is None or not trainer.left_right.laterality.may_flip
    assert bool(trainer.left_right.laterality.pairs) == (pairs == "beside pairs")
    assert "No mirroring along axis 2, as no partner was found for Eye_L;" in Path(trainer.log_file).read_text()


def test_named_pairs_are_swapped(make_trainer: Any, project: Path) -> None:
    names = {name: f"organ {value}" for name, value in labels_of(project).items() if value}
    change(project, labels=renamed(project, **names))
    make_patch_flat(project)
    free = make_trainer(SmallSNetTrainer)
    assert augmentation(free) == ((-180, 180), (0, 1, 2))  # as nnU-Net does
    assert free.inference_allowed_mirroring_axes == (0, 1, 2)
    change(project, focusnet={"left_right_pairs": [["organ 3", "organ 2"]]})
    trainer = make_trainer(SmallSNetTrainer)
    assert augmentation(trainer) == ((-30, 30), (0, 1))
    assert trainer.inference_allowed_mirroring_axes == (0, 1)
    trainer.initialize()
    transforms = trainer.get_training_transforms((16, 32, 32), (0.0, 0.0), None, (0, 1), False).transforms
    assert isinstance(transforms[0], LeftRightFlipTransform)
    assert transforms[0].table.tolist() == [0, 1, 3, 2]


def test_a_split_with_an_unknown_case_is_refused_and_one_that_leaves_cases_out_is_logged(
    make_trainer: Any, project: Path
) -> None:
    file = project / "splits_final.json"
    file.write_text(json.dumps([{"train": ["Head_000", "Head_01"], "val": ["Head_002"]}]))
    with pytest.raises(ValueError, match=r"splits_final\.json has Head_01 .*\(nearest: Head_001\)"):
        make_trainer(SmallSNetTrainer).initialize()
    file.write_text(json.dumps([{"train": ["Head_000", "Head_001"], "val": ["Head_002"]}]))
    trainer = make_trainer(SmallSNetTrainer)
    trainer.initialize()
    assert "WARNING: " in Path(trainer.log_file).read_text()
    assert "has Head_003, Head_004 in no fold" in Path(trainer.log_file).read_text()
