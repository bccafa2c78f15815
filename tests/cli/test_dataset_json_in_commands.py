"""Commands that are given a dataset.json that isn't right, or isn't the right one."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from nnunetv2_focusnet.cli import compare, export
from nnunetv2_focusnet.compare.inputs import read_folders

LABELS = {"background": 0, "Brain": 1, "Lens_L": 2, "Lens_R": 3}
CONTENT = {"labels": LABELS, "file_ending": ".nii.gz"}
Run = Callable[..., None]


def write(path: Path) -> None:
    labels = np.zeros((6, 8, 10), np.uint8)
    labels[1:5, 2:6, 2:8] = 1
    labels[2, 2, 2:4], labels[2, 2, 6:8] = 2, 3
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(sitk.GetImageFromArray(labels), str(path))


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    for case in ("case_7", "case_8"):
        for folder in ("labelsTs", "model"):
            write(tmp_path / folder / f"{case}.nii.gz")
    (tmp_path / "dataset.json").write_text(json.dumps(CONTENT))
    return tmp_path


@pytest.fixture
def run(folders: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    def run_command(*options: str) -> None:
        arguments = ["-ref", str(folders / "labelsTs"), "-pred", f"model={folders / 'model'}"]
        arguments += ["-o", str(folders / "report"), "-np", "1", *options]
        monkeypatch.setattr("sys.argv", ["nnUNetv2_focusnet_compare", *arguments])
        compare.main()

    return run_command


def failure(run: Run, *options: str) -> str:
    with pytest.raises(SystemExit) as error:
        run(*options)
    assert "\n" not in str(error.value.code)
    return str(error.value.code)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (CONTENT | {"labels": {"background": 0, "Brain": 1, "Lens": 1}}, "the value 1 for Brain, Lens"),
        (CONTENT | {"labels": LABELS | {"Lens_R": "3"}}, 'an integer for Lens_R, got "3"'),
        (CONTENT | {"focusnet": {"small_organs": "Brain"}}, '"small_organs" of "focusnet" must be a list of organs'),
        (CONTENT | {"focusnet": ["Brain"]}, '"focusnet" must be an object'),
        ({"file_ending": ".nii.gz"}, 'has no "labels"'),
        ({"labels": LABELS}, 'has no "file_ending"'),
        ([1], "must hold a JSON object"),
    ],
)
def test_a_dataset_json_that_is_not_right(run: Run, folders: Path, content: object, words: str) -> None:
    (folders / "dataset.json").write_text(json.dumps(content))
    message = failure(run)
    assert message.startswith(f"nnUNetv2_focusnet_compare: {folders / 'dataset.json'}")
    assert words in message


def test_export_refuses_what_compare_refuses(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folders / "dataset.json").write_text(json.dumps(CONTENT | {"labels": LABELS | {"Lens_R": 2}}))
    arguments = [str(folders / "model"), "-o", str(folders / "out"), "--dicom", str(folders), "--format", "seg"]
    arguments += ["--dataset_json", str(folders / "dataset.json")]
    monkeypatch.setattr("sys.argv", ["nnUNetv2_focusnet_export", *arguments])
    with pytest.raises(SystemExit) as error:
        export.main()
    assert "the value 2 for Lens_L, Lens_R" in str(error.value.code)


@pytest.mark.parametrize("key", ["annotated", "annotated_test"])
def test_a_misspelt_case_would_count_as_complete(run: Run, folders: Path, key: str) -> None:
    (folders / "dataset.json").write_text(json.dumps(CONTENT | {"focusnet": {key: {"case_07": ["Brain"]}}}))
    assert "lists case_07, but the case in" in failure(run)


def test_a_case_that_is_not_among_the_references_is_named(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folders / "dataset.json").write_text(json.dumps(CONTENT | {"focusnet": {"annotated": {"head_1": ["Brain"]}}}))
    read_folders(folders / "labelsTs", [f"model={folders / 'model'}"], None, "1")
    (line,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("WARNING"))
    assert "lists what head_1 have annotated" in line


def test_a_model_whose_labels_mean_something_else(run: Run, folders: Path) -> None:
    """Its left lens would be compared with the right one."""
    swapped = CONTENT | {"labels": LABELS | {"Lens_L": 3, "Lens_R": 2}}
    (folders / "model" / "dataset.json").write_text(json.dumps(swapped))
    message = failure(run)
    assert f"Lens_L is 3 in {folders / 'model' / 'dataset.json'}, but" in message
    assert f"is 2 in {folders / 'dataset.json'}" in message
    read_folders(folders / "labelsTs", [f"model={folders / 'model'}"], folders / "dataset.json", "1")


def annotate(file: Path, **cases: list[str]) -> None:
    """A dataset.json that lists what test cases have annotated."""
    file.write_text(json.dumps(CONTENT | {"focusnet": {"annotated_test": cases}}))


@pytest.mark.parametrize("order", [("earlier", "model"), ("model", "earlier")])
def test_what_is_annotated_does_not_depend_on_the_order_of_the_models(folders: Path, order: tuple[str, ...]) -> None:
    """The earlier model was trained before case_7 was known to lack a lens."""
    shutil.copytree(folders / "model", folders / "earlier")
    earlier, model, raw = (folders / place / "dataset.json" for place in ("earlier", "model", "."))
    earlier.write_text(json.dumps(CONTENT))
    for file in (model, raw):
        annotate(file, case_7=["Brain", "Lens_R"])
    models = [f"{name}={folders / name}" for name in order]
    with pytest.raises(ValueError, match=r"^case_7 has Lens_L annotated in .*: name the one that is right") as error:
        read_folders(folders / "labelsTs", models, None, "1")
    assert f"annotated in {earlier}, but not in {model}: " in str(error.value)
    assert read_folders(folders / "labelsTs", models, earlier, "1").comparison.unannotated == {}
    assert read_folders(folders / "labelsTs", models, raw, "1").comparison.unannotated == {"case_7": {2}}


def test_lists_may_differ_in_what_is_not_compared(folders: Path) -> None:
    """Cases without a reference, cases that have all, and organs that a file doesn't know."""
    model = folders / "model" / "dataset.json"
    annotate(model, case_7=["Brain", "Lens_L"], case_8=["Brain", "Lens_L", "Lens_R"], case_9=["Brain"])
    without_lens = {name: value for name, value in LABELS.items() if name != "Lens_R"}
    (folders / "dataset.json").write_text(json.dumps(CONTENT | {"labels": without_lens}))
    inputs = read_folders(folders / "labelsTs", [f"model={model.parent}"], None, "1")
    assert inputs.comparison.unannotated["case_7"] == {3}


def test_cross_validation_knows_all_cases(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("nnUNet_raw", str(folders))
    monkeypatch.setenv("nnUNet_preprocessed", str(folders / "pre"))
    monkeypatch.setenv("nnUNet_results", str(folders / "results"))
    base = folders / "pre" / "Dataset042_Heads"
    shutil.copytree(folders / "labelsTs", base / "gt_segmentations")
    (base / "dataset.json").write_text(json.dumps(CONTENT | {"focusnet": {"annotated": {"csae_7": ["Brain"]}}}))
    arguments = ["--cv", "42", "-tr", "Any", "-o", str(folders / "report")]
    monkeypatch.setattr("sys.argv", ["nnUNetv2_focusnet_compare", *arguments])
    with pytest.raises(SystemExit) as error:
        compare.main()
    assert "lists csae_7, but" in str(error.value.code)
    assert "(nearest: case_7)" in str(error.value.code)
