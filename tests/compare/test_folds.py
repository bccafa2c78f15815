"""nnUNetv2_focusnet_compare --cv on the folders that nnU-Net leaves: only predictions of unseen cases count."""

import csv
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from source_folders import forbid

from nnunetv2_focusnet.cli import compare

NAME = "Dataset042_Heads"
CASES = ("head_0", "head_1", "head_2")
SPLITS = [{"train": [c for c in CASES if c != case], "val": [case]} for case in CASES]
Run = Callable[..., None]


def write(path: Path, shift: int = 0) -> None:
    labels = np.zeros((6, 16, 16), dtype=np.uint8)
    labels[1:5, 4:8, 4 + shift : 8 + shift] = 1
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(sitk.GetImageFromArray(labels), str(path))


def train(root: Path, trainer: str, validated: Mapping[str, str], shift: int = 0) -> Path:
    """A trainer's folder with the case that each fold validated."""
    model = root / "results" / NAME / f"{trainer}__nnUNetPlans__3d_fullres"
    for fold, case in validated.items():
        write(model / f"fold_{fold}" / "validation" / f"{case}.nii.gz", shift)
    (model / "plans.json").write_text(json.dumps({"configurations": {"3d_fullres": {}}}))
    return model


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A preprocessed dataset of three cases and one in no validation, and a trainer of all folds."""
    for case in (*CASES, "head_3"):
        write(tmp_path / "preprocessed" / NAME / "gt_segmentations" / f"{case}.nii.gz")
    dataset = {"labels": {"background": 0, "Lens": 1}, "file_ending": ".nii.gz"}
    (tmp_path / "preprocessed" / NAME / "dataset.json").write_text(json.dumps(dataset))
    (tmp_path / "preprocessed" / NAME / "splits_final.json").write_text(json.dumps(SPLITS))
    train(tmp_path, "Stock", {str(i): case for i, case in enumerate(CASES)}, shift=2)
    return tmp_path


@pytest.fixture
def run(root: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("nnUNet_raw", str(root / "raw"))
    monkeypatch.setenv("nnUNet_preprocessed", str(root / "preprocessed"))
    monkeypatch.setenv("nnUNet_results", str(root / "results"))

    def run_command(*trainers: str, dataset: str = "42") -> None:
        options = ["-o", str(root / "report"), "-np", "1"]
        monkeypatch.setattr("sys.argv", ["compare", "--cv", dataset, "-tr", *trainers, *options])
        compare.main()

    return run_command


def failure(run: Run, *trainers: str, **options: str) -> str:
    with pytest.raises(SystemExit) as error:
        run(*trainers, **options)
    assert "\n" not in str(error.value.code)
    return str(error.value.code)


@pytest.mark.parametrize("folder", [".", "fold_1/validation"])
def test_a_folder_that_can_not_be_listed_is_named(
    root: Path, run: Run, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    """Passed over, a fold would be missing without a word."""
    forbidden = root / "results" / NAME / "Stock__nnUNetPlans__3d_fullres" / folder
    forbid(monkeypatch, forbidden)
    assert f"{forbidden} can't be listed (Permission denied)" in failure(run, "Stock")


def test_validations_of_all_folds_are_compared(root: Path, run: Run) -> None:
    train(root, "Ours", {"0": "head_0", "1": "head_1", "2": "head_2", "all": "head_0"})
    run("Stock", "Ours")
    with (root / "report" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["case"] for row in rows} == set(CASES)
    assert {(row["model"], row["dsc"]) for row in rows} == {("Stock", "0.5"), ("Ours", "1.0")}


def test_fold_all_is_no_cross_validation(root: Path, run: Run) -> None:
    model = train(root, "Ours", {"all": "head_0"})
    message = failure(run, "Stock", "Ours")
    assert f"{model} has fold_all alone, whose validation is on its training cases" in message


def test_a_case_of_a_folds_training_is_refused(root: Path, run: Run) -> None:
    model = train(root, "Ours", {"0": "head_1"})
    message = failure(run, "Ours")
    assert f"{model / 'fold_0' / 'validation' / 'head_1.nii.gz'} is of a training case" in message
    assert "splits_final.json" in message
    (root / "preprocessed" / NAME / "splits_final.json").write_text('{"train": []}')
    assert "splits_final.json must be a list of folds" in failure(run, "Ours")
    (root / "preprocessed" / NAME / "splits_final.json").unlink()  # nothing tells what was trained on
    run("Ours")


def test_a_case_of_two_folds_is_refused(root: Path, run: Run) -> None:
    train(root, "Ours", {"0": "head_0", "3": "head_0"})
    message = failure(run, "Ours")
    assert "fold_3/validation/head_0.nii.gz was validated in another fold, too" in message


def test_files_are_named_where_they_are(root: Path, run: Run) -> None:
    model = train(root, "Ours", {"0": "head_0", "1": "head_1"})
    broken = model / "fold_1" / "validation" / "head_1.nii.gz"
    broken.write_bytes(b"no image")
    assert f"{broken} can't be read" in failure(run, "Ours")


def test_labels_that_changed_after_the_training_are_refused(root: Path, run: Run) -> None:
    model = train(root, "Ours", {"0": "head_0"})
    (model / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "Eye": 1}, "file_ending": ".nii.gz"}))
    message = failure(run, "Ours")
    assert "Lens is 1 in" in message
    assert f"but Eye is 1 in {model / 'dataset.json'}" in message


@pytest.mark.parametrize(
    ("trainers", "dataset", "words"),
    [
        (("Stock",), "777", "--cv 777: Could not find a dataset with the ID 777"),
        (("Stock",), "heads", "--cv takes the ID or the name of a dataset, got heads"),
        (("Stock", "Stock"), "42", "-tr names Stock twice"),
        (("Other",), "42", "Other__nnUNetPlans__3d_fullres has no fold with a validation"),
    ],
)
def test_what_is_not_there_is_named(run: Run, trainers: tuple[str, ...], dataset: str, words: str) -> None:
    assert words in failure(run, *trainers, dataset=dataset)


def test_nnunets_folders_are_needed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("nnUNet_results")
    assert "nnUNet_results is not set" in failure(run, "Stock")
