"""``nnUNetv2_focusnet_plan_and_preprocess``: what it prints and writes, and the lines it ends with."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from boxes import DATASET, files_of, write_fingerprint

from nnunetv2_focusnet.cli import plan_and_preprocess
from nnunetv2_focusnet.planning import preparation
from nnunetv2_focusnet.planning.planner import FocusNetPlanner
from nnunetv2_focusnet.system.processes import ProcessDiedError

Run = Callable[..., None]


@pytest.fixture
def run(preprocessed: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command, with the fingerprint of the boxes in place of one that nnU-Net would take in other processes."""

    def fingerprint(*_args: Any, **_options: Any) -> None:
        folder = Path(os.environ["nnUNet_preprocessed"], DATASET)
        folder.mkdir(exist_ok=True)
        write_fingerprint(folder)

    def run_command(*options: str, dataset: str = "950") -> None:
        arguments = ["-d", dataset, "-npfp", "1", "-tr", "SNetTrainer", *options]
        monkeypatch.setattr("sys.argv", ["nnUNetv2_focusnet_plan_and_preprocess", *arguments])
        plan_and_preprocess.main()

    monkeypatch.setattr(preparation, "extract_fingerprint", fingerprint)
    return run_command


def failure(run: Run, *options: str, **dataset: str) -> str:
    with pytest.raises(SystemExit) as error:
        run(*options, **dataset)
    message = str(error.value.code)
    assert "\n" not in message
    return message.removeprefix("nnUNetv2_focusnet_plan_and_preprocess: ")


def test_dry_run_tells_and_writes_nothing(run: Run, preprocessed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(preprocessed)  # it was never fingerprinted
    root = preprocessed.parents[1]
    before = files_of(root)
    run("--dry_run")
    printed = " ".join(capsys.readouterr().out.split())
    assert "Lens 3 1 216 72" in printed  # label, cases, mm3, voxels
    assert "12 x 90 x 18" in printed
    for row in ("patch (voxels)", "batch", "memory (GiB)", "seconds per epoch, relative"):
        assert row in printed
    assert "fewer than 5 training cases" in printed
    assert files_of(root) == before
    assert os.environ["nnUNet_preprocessed"] == str(preprocessed.parent)


def test_plans_are_named_as_told(run: Run, preprocessed: Path) -> None:
    run("--no_pp", "-overwrite_plans_name", "Mine", "-overwrite_target_spacing", "3", "2", "2")
    plans = json.loads((preprocessed / "Mine.json").read_text())
    assert plans["configurations"]["3d_fullres"]["spacing"] == [3.0, 2.0, 2.0]
    assert plans["configurations"]["3d_fullres"]["data_identifier"] == "Mine_3d_fullres"


def test_unknown_dataset(run: Run) -> None:
    assert failure(run, dataset="951").startswith("-d 951: ")


def test_dataset_without_raw_data(run: Run, preprocessed: Path) -> None:
    shutil.rmtree(preprocessed.parents[1] / "nnUNet_raw" / DATASET)
    assert failure(run).startswith("-d 950: ")


def test_dataset_id_of_two_names(run: Run, preprocessed: Path) -> None:
    (preprocessed.parent / "Dataset950_Other").mkdir()
    assert failure(run) == "-d 950 stands for Dataset950_Boxes and Dataset950_Other: give one of them another ID"


def test_2d_images(run: Run, preprocessed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        preparation,
        "extract_fingerprint",
        lambda *_, **__: write_fingerprint(preprocessed, [(999.0, 1.0, 1.0)], (1, 64, 64)),
    )
    assert "2D images" in failure(run)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["-tr", "NoSuchTrainer"], "-tr NoSuchTrainer: nnU-Net finds no such trainer"),
        (["-tr", "FocusNetTrainerZoom"], "-tr FocusNetTrainerZoom makes a larger patch"),
        (["-tr", "nnUNetTrainer"], "-tr nnUNetTrainer isn't a trainer of FocusNet"),
        (["-np", "1", "2", "3"], "-np has 3 numbers: give one, or one for each of 3d_fullres 3d_lowres"),
        (["-np", "0"], "-np must be 1 or more, got 0"),
        (["-gpu_memory_target", "0"], "-gpu_memory_target must be above 0, got 0"),
        (["-gpu_memory_target", "0.001"], "Dataset950_Boxes: no patch for SNetTrainer fits into 0.001 GB"),
        (["-overwrite_target_spacing", "3", "0", "1"], "-overwrite_target_spacing must be above 0, got 3 0 1"),
    ],
)
def test_options_that_cannot_be(run: Run, options: list[str], words: str) -> None:
    assert failure(run, *options).startswith(words)


@pytest.mark.parametrize("variable", ["nnUNet_raw", "nnUNet_preprocessed"])
def test_folders_that_are_not_set(run: Run, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.delenv(variable)
    assert failure(run).startswith(f"{variable} is not set")


def test_folder_that_cannot_be_written(run: Run, preprocessed: Path) -> None:
    plans = preprocessed / "nnUNetFocusNetPlans.json"
    plans.mkdir()  # not even root can replace it by a file
    assert failure(run, "--no_pp") == f"{plans} can't be written (Is a directory): check that place"


# ---- what an earlier run has left ----


def write_folds(dataset: Path, *folds: tuple[str, str]) -> Path:
    """Each fold's training and validation cases, a letter each."""
    file = dataset / "splits_final.json"
    file.write_text(json.dumps([{"train": [*train], "val": [*validation]} for train, validation in folds]))
    return file


@pytest.mark.parametrize("options", [[], ["--dry_run"]])
@pytest.mark.parametrize("others", [[("ab", "d")], [("abc", "d")] * 2, []])  # fewer are others, too
def test_other_folds_in_the_raw_dataset(
    run: Run, preprocessed: Path, options: list[str], others: list[tuple[str, str]]
) -> None:
    raw = write_folds(preprocessed.parents[1] / "nnUNet_raw" / DATASET, ("abc", "d"), ("abd", "c"))
    copied = write_folds(preprocessed, *(others or [("abc", "d")]))
    assert failure(run, *options).startswith(f"{raw} and {copied} have different folds: delete the second to train")


def test_folds_that_are_the_same_in_another_order_and_more_of_them(run: Run, preprocessed: Path) -> None:
    write_folds(preprocessed.parents[1] / "nnUNet_raw" / DATASET, ("abc", "d"))
    write_folds(preprocessed, ("cba", "d"), ("abd", "c"))
    run("--no_pp")
    assert (preprocessed / "nnUNetFocusNetPlans.json").is_file()


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("dataset_fingerprint.json", "or let --clean extract it again"),
        ("nnUNetFocusNetPlans.json", "or delete it, as it is planned anew"),
        ("splits_final.json", "if it is nnU-Net's own, delete it"),
    ],
)
def test_files_that_are_cut_off(run: Run, preprocessed: Path, name: str, remedy: str) -> None:
    write_folds(preprocessed.parents[1] / "nnUNet_raw" / DATASET, ("abc", "d"))
    file = preprocessed / name
    file.write_text('{"spacings": [[3.0, ')
    message = failure(run)
    assert message.startswith(f"{file} isn't JSON (")
    assert remedy in message


@pytest.mark.parametrize("plans", ["{}", '{"configurations": []}', '{"configurations": {"3d_fullres": 1}}'])
def test_earlier_plans_without_configurations(run: Run, preprocessed: Path, plans: str) -> None:
    file = preprocessed / "nnUNetFocusNetPlans.json"
    file.write_text(plans)
    message = failure(run)
    assert message.startswith(f'{file} must hold "configurations"')
    assert message.endswith("or delete it, as it is planned anew")


def test_a_fingerprint_that_is_extracted_anew_may_be_cut_off(run: Run, preprocessed: Path) -> None:
    (preprocessed / "dataset_fingerprint.json").write_text("{")
    run("--no_pp", "--clean")
    assert (preprocessed / "nnUNetFocusNetPlans.json").is_file()


# ---- what planning ends with ----


@pytest.mark.parametrize("method", ["__init__", "plan_experiment"])
@pytest.mark.parametrize(
    ("error", "words"),
    [
        (AssertionError("odd"), "Dataset950_Boxes: planning failed (AssertionError: odd)"),
        (json.JSONDecodeError("odd", "", 0), "Dataset950_Boxes: planning failed (JSONDecodeError: odd: "),
        (ValueError("odd"), "Dataset950_Boxes: planning failed (ValueError: odd)"),
        (ProcessDiedError("said on purpose"), "said on purpose"),
    ],
)
def test_what_was_not_raised_on_purpose_names_dataset_and_step(
    run: Run, monkeypatch: pytest.MonkeyPatch, method: str, error: Exception, words: str
) -> None:
    def stumble(*_args: Any, **_options: Any) -> None:
        raise error

    monkeypatch.setattr(FocusNetPlanner, method, stumble)
    assert failure(run).startswith(words)
