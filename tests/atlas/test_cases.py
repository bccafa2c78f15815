"""Which cases make an atlas, and which it segments."""

import json
from pathlib import Path

import pytest
from nnunetv2.utilities.crossval_split import generate_crossval_split

from nnunetv2_focusnet.atlas.cases import cases_to_segment, evenly_chosen, split, training_cases
from nnunetv2_focusnet.organs.dataset_json import DatasetJson

DATASET = DatasetJson("dataset.json", {"A": 1}, ".nii.gz")


def touch(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


def test_the_first_channel_of_each_case_is_taken(tmp_path: Path) -> None:
    folder = touch(tmp_path / "in", "b_0000.nii.gz", "b_0001.nii.gz", "a_1_0000.nii.gz", "._b_0000.nii.gz", "notes.txt")
    cases = cases_to_segment(folder, ".nii.gz")
    assert [(case.name, case.image.name) for case in cases] == [("a_1", "a_1_0000.nii.gz"), ("b", "b_0000.nii.gz")]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], r"holds no images \(\*_0000.nii.gz\)"),
        (["a.nii.gz"], r"holds no images"),
        (["a_0001.nii.gz"], "has no a_0000.nii.gz, the first channel of a"),
    ],
)
def test_a_folder_without_first_channels_is_named(tmp_path: Path, names: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cases_to_segment(touch(tmp_path / "in", *names), ".nii.gz")
    with pytest.raises(ValueError, match="is no folder"):
        cases_to_segment(tmp_path / "out", ".nii.gz")
    with pytest.raises(ValueError, match=r"images of \.tif don't say where"):
        cases_to_segment(tmp_path / "in", ".tif")


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (["a_0000.nii.gz", "b_0000.nii.gz"], ["a.nii.gz"], "b has no label map"),
        (["a_0000.nii.gz"], ["a.nii.gz", "b.nii.gz"], "b has no image"),
    ],
)
def test_half_a_training_case_is_named(tmp_path: Path, images: list[str], labels: list[str], message: str) -> None:
    touch(tmp_path / "imagesTr", *images)
    touch(tmp_path / "labelsTr", *labels)
    with pytest.raises(ValueError, match=message):
        training_cases(tmp_path, DATASET)


def test_folds_are_those_of_the_splits_or_those_that_nnunet_is_going_to_make(tmp_path: Path) -> None:
    cases, file = [f"case_{number}" for number in range(7)], tmp_path / "splits_final.json"
    expected = generate_crossval_split(cases)[2]
    assert split(cases, "2", [tmp_path], ".nii.gz") == ([*map(str, expected["train"])], [*map(str, expected["val"])])
    assert split(cases, "all", [tmp_path], ".nii.gz") == (cases, [])
    file.write_text(json.dumps([{"train": ["case_3", "case_1"], "val": ["case_0"]}]))
    assert split(cases, "0", [tmp_path / "none", tmp_path], ".nii.gz") == (["case_1", "case_3"], ["case_0"])
    for fold in ("1", "-1", "first"):
        with pytest.raises(ValueError, match=f"-f {fold}: give 0 to 0, or all"):
            split(cases, fold, [tmp_path], ".nii.gz")
    with pytest.raises(ValueError, match="4 cases are too few for 5 folds, take -f all"):
        split(cases[:4], "0", [tmp_path / "none"], ".nii.gz")


def test_some_of_the_cases_are_from_all_parts_of_the_list() -> None:
    assert evenly_chosen(list("abcdefg"), 3) == ["a", "d", "g"]
    assert evenly_chosen(list("abc"), 1) == ["a"]
    assert evenly_chosen(list("abc"), None) == evenly_chosen(list("abc"), 9) == ["a", "b", "c"]
