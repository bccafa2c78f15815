"""splits_final.json as people write it beside a preprocessed dataset."""

import json
from pathlib import Path

import pytest

from nnunetv2_focusnet.organs.splits import check_splits

CASES = {"case_1", "case_2", "case_3"}
FOLDS = [{"train": ["case_1", "case_2"], "val": ["case_3"]}, {"train": ["case_2", "case_3"], "val": ["case_1"]}]


def check(folder: Path, splits: object) -> str | None:
    file = folder / "splits_final.json"
    file.write_text(json.dumps(splits))
    return check_splits(file, CASES, ".nii.gz")


def test_all_cases_are_used(tmp_path: Path) -> None:
    assert check_splits(tmp_path / "splits_final.json", CASES, ".nii.gz") is None  # nnU-Net makes it
    assert check(tmp_path, FOLDS) is None


def test_validation_on_training_cases_is_named(tmp_path: Path) -> None:
    warning = check(tmp_path, [FOLDS[0], {"train": ["case_1", "case_2"], "val": ["case_2", "case_3"]}])
    assert warning is not None
    assert "has case_2 among the training and the validation cases of fold 1" in warning


def test_cases_that_no_fold_has_are_named(tmp_path: Path) -> None:
    warning = check(tmp_path, [{"train": ["case_2"], "val": ["case_3"]}])
    assert warning is not None
    assert "has case_1 in no fold" in warning


@pytest.mark.parametrize(
    ("splits", "words"),
    [
        ([*FOLDS, {"train": ["case_1"], "val": ["case_03"]}], 'has case_03 in "val" of fold 2, but'),
        ([{"train": ["case_1.nii.gz", "case_2"], "val": ["case_3"]}], 'has case_1.nii.gz in "train" of fold 0, but'),
        ([{"train": ["case_1", "case_1"], "val": ["case_3"]}], 'has case_1 in "train" of fold 0 twice'),
        ([{"train": ["case_1"], "val": []}], "must be a list of folds"),
        ([{"train": ["case_1"]}], "must be a list of folds"),
        ([{"train": "case_1", "val": ["case_2"]}], "must be a list of folds"),
        ([{"train": [1], "val": ["case_2"]}], "must be a list of folds"),
        ({"train": ["case_1"], "val": ["case_2"]}, "must be a list of folds"),
        ([], "must be a list of folds"),
        ([["case_1"], ["case_2"]], "must be a list of folds"),
    ],
)
def test_what_would_train_or_validate_something_else(tmp_path: Path, splits: object, words: str) -> None:
    with pytest.raises(ValueError, match=r"splits_final\.json ") as error:
        check(tmp_path, splits)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_the_case_that_is_meant_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no such training case \(nearest: case_3\)"):
        check(tmp_path, [{"train": ["case_1"], "val": ["case_03"]}])
