"""Cases that dataset.json lists, and cases that are there."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from nnunetv2_focusnet.organs.annotations import check_label_files, check_reference_cases, check_training_cases
from nnunetv2_focusnet.organs.dataset_json import DatasetJson

DATASET = DatasetJson("dataset.json", {"Brain": 1, "Lens": 2}, ".nii.gz")
CASES = ("case_7", "case_12", "Head-003")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for case in CASES:
        (tmp_path / f"{case}.nii.gz").touch()
    return tmp_path


def listing(*cases: str, test: tuple[str, ...] = ()) -> DatasetJson:
    return replace(DATASET, annotated=dict.fromkeys(cases, ("Brain",)), annotated_test=dict.fromkeys(test, ("Brain",)))


def test_names_as_they_are(folder: Path) -> None:
    check_training_cases(listing(*CASES, test=("case_1", "head_004")), folder)
    assert check_reference_cases(listing(CASES[0], test=CASES[1:]), folder) is None


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("case_7.nii.gz", "case_7"),
        ("case_7_0000.nii.gz", "case_7"),
        ("case_7_0000", "case_7"),
        ("case_07", "case_7"),
        ("case_007", "case_7"),
        ("Case_7", "case_7"),
        ("case-7", "case_7"),
        ("case 7 ", "case_7"),
        ("case_12.nrrd", "case_12"),
        ("head_3", "Head-003"),
    ],
)
def test_another_spelling_of_a_case_is_refused_with_the_case(folder: Path, written: str, meant: str) -> None:
    for listed in (listing(written), listing(test=(written,))):
        with pytest.raises(ValueError, match=rf"^dataset\.json: .* lists {re.escape(written)}, but .*{meant}") as error:
            check_training_cases(listed, folder)
        assert "\n" not in str(error.value)
        with pytest.raises(ValueError, match=rf"lists {re.escape(written)}, but the case in .* is {meant}:"):
            check_reference_cases(listed, folder)


def test_an_unknown_case_is_refused_in_training_with_the_nearest(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"lists csae_12, but .* has no such case \(nearest: case_12\)"):
        check_training_cases(listing("csae_12"), folder)
    with pytest.raises(ValueError, match=r"lists zzz, but .* has no such case: correct the name, or .*annotated_test"):
        check_training_cases(listing("zzz"), folder)


def test_a_training_case_among_the_test_cases_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match='lists case_12, but case_12 is a training case: list it in "annotated"'):
        check_training_cases(listing(test=("case_12",)), folder)


def test_both_cases_of_like_names_may_be_listed(folder: Path) -> None:
    (folder / "case_07.nii.gz").touch()
    check_training_cases(listing("case_07", "case_7"), folder)
    assert check_reference_cases(listing("case_07", "case_7"), folder) is None


def test_listed_cases_without_a_reference_are_named_as_they_may_be_of_another_part(folder: Path) -> None:
    others = tuple(f"csae_{number}" for number in range(5))
    warning = check_reference_cases(listing("case_7", *others), folder)
    assert warning is not None
    assert "lists what csae_0, csae_1, csae_2 and 2 more have annotated, but" in warning
    assert "\n" not in warning


def test_training_cases_are_not_missed_among_the_references_of_test_cases(folder: Path) -> None:
    assert check_reference_cases(listing("case_1", "case_2", test=("case_7",)), folder) is None
    assert check_reference_cases(listing("case_7", test=("case_1", "case_2")), folder) is None
    warning = check_reference_cases(listing("case_1", test=("case_7", "csae_12")), folder)
    assert warning is not None
    assert "lists what csae_12 have annotated" in warning


def test_a_label_file_with_an_organ_that_is_not_annotated_there(folder: Path) -> None:
    file = folder / "case_7.nii.gz"
    check_label_files(listing("case_7"), {file: {1}})
    with pytest.raises(ValueError, match=rf"{re.escape(str(file))} holds Lens, .* for case_7: add them there"):
        check_label_files(listing("case_7"), {file: {1, 2}})
