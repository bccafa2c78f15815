"""From plan to prediction with nnU-Net's commands alone. The tests build on each other, as a user's steps do.

What is killed, resumed and predicts has a process of its own, as users start it; the other commands share the test's.
"""

import contextlib
import csv
import io
import json
import os
import re
import runpy
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from nnunet_project import CONFIGURATION, DATASET_ID, Project, folders_in, predict_arguments, train_arguments
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

ORGANS = 9
KILLED_IN_EPOCH = 2  # the SOS-Nets' stage; tests/trainers/test_resuming.py has every stage, in one process


@pytest.fixture(scope="module")
def killed_and_resumed(project: Project) -> dict:
    """Fold 0, killed once and resumed; the training log in the checkpoint that the kill left behind."""
    project.kill_in_epoch(KILLED_IN_EPOCH)
    checkpoint = torch.load(project.model() / "fold_0" / "checkpoint_latest.pth", weights_only=False)
    assert checkpoint["current_epoch"] == KILLED_IN_EPOCH
    project.finish(project.start("nnUNetv2_train", *train_arguments(0, "--c", "--npz")))
    return checkpoint["logging"]


@pytest.fixture(scope="module")
def two_folds(project: Project, killed_and_resumed: dict) -> Path:
    """A model folder with folds 0 and 1; fold 1 starts from fold 0's weights."""
    start = project.model() / "fold_0" / "checkpoint_final.pth"
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        project.run("nnUNetv2_train", *train_arguments(1, "-pretrained_weights", str(start), "--npz"))
    assert "pretrained weights" in printed.getvalue()
    return project.model()


@pytest.fixture(scope="module")
def predictions(project: Project, two_folds: Path) -> dict[str, Path]:
    """Label maps of the unseen head by both folds: by the command, from Python, and so without test-time mirroring."""
    (image_file,) = (project.raw / "imagesTs").glob("*.nii.gz")
    outputs = {how: project.root / how / "Head_005.nii.gz" for how in ("mirrored", "from Python", "not mirrored")}
    arguments = predict_arguments(image_file.parent, outputs["mirrored"].parent, "-npp", "1", "-nps", "1")
    mirrored = project.start("nnUNetv2_predict", *arguments)
    predictor = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
    with mock.patch.dict(os.environ, project.settings):
        predictor.initialize_from_trained_model_folder(str(two_folds), (0, 1))
    image, properties = SimpleITKIO().read_images([str(image_file)])
    for how in ("from Python", "not mirrored"):
        predictor.use_mirroring = how == "from Python"
        outputs[how].parent.mkdir()
        labels = predictor.predict_single_npy_array(image, properties)
        SimpleITKIO().write_seg(labels, str(outputs[how]), properties)
    project.finish(mirrored)
    return outputs


def labels_of(path: Path) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


def test_killed_and_resumed_each_epoch_is_trained_once(project: Project, killed_and_resumed: dict) -> None:
    final = torch.load(project.model() / "fold_0" / "checkpoint_final.pth", weights_only=False)["logging"]
    assert final["stage"] == ["S-Net", "SOL", "SOS", "joint"]
    assert killed_and_resumed["train_losses"] == final["train_losses"][:KILLED_IN_EPOCH]
    logs = sorted((project.model() / "fold_0").glob("training_log_*.txt"))
    assert [re.findall(r"Epoch (\d)", log.read_text())[0] for log in logs] == ["0", str(KILLED_IN_EPOCH)]


def test_training_ends_with_validation_and_probabilities(project: Project, two_folds: Path) -> None:
    for fold in (0, 1):
        validation = two_folds / f"fold_{fold}" / "validation"
        (case,) = validation.glob("*.npz")
        probabilities = np.load(case)["probabilities"]
        assert probabilities.shape[0] == ORGANS + 1
        np.testing.assert_allclose(probabilities.astype(np.float32).sum(0), 1, atol=5e-3)
        assert json.loads((validation / "summary.json").read_text())["metric_per_case"]


def test_validation_can_be_repeated(project: Project, two_folds: Path) -> None:
    summary = two_folds / "fold_0" / "validation" / "summary.json"
    before = summary.read_text()
    summary.unlink()
    project.run("nnUNetv2_train", *train_arguments(0, "--val"))
    assert json.loads(summary.read_text())["mean"] == json.loads(before)["mean"]


def test_predicted_labels_have_the_geometry_of_the_image(project: Project, predictions: dict[str, Path]) -> None:
    (image_file,) = (project.raw / "imagesTs").glob("*.nii.gz")
    image = sitk.ReadImage(str(image_file))
    for prediction in predictions.values():
        labels = sitk.ReadImage(str(prediction))
        assert labels.GetSize() == image.GetSize()
        assert labels.GetSpacing() == pytest.approx(image.GetSpacing(), abs=1e-5)
        assert labels.GetOrigin() == pytest.approx(image.GetOrigin(), abs=1e-5)
        assert labels.GetDirection() == pytest.approx(image.GetDirection(), abs=1e-5)
        assert set(np.unique(sitk.GetArrayFromImage(labels))) <= set(range(ORGANS + 1))


def test_predictor_in_python_gives_what_the_command_gives(predictions: dict[str, Path]) -> None:
    np.testing.assert_array_equal(labels_of(predictions["from Python"]), labels_of(predictions["mirrored"]))


def test_model_goes_into_a_zip_and_predicts_the_same_on_a_machine_without_the_data(
    project: Project, predictions: dict[str, Path]
) -> None:
    archive = project.root / "model.zip"
    arguments = ["-d", DATASET_ID, "-o", str(archive), "-c", CONFIGURATION, "-f", "0", "1"]
    project.run("nnUNetv2_export_model_to_zip", *arguments, "-tr", "ShortFocusNetTrainer")
    elsewhere, output = folders_in(project.root / "another machine"), project.root / "predicted elsewhere"
    project.run("nnUNetv2_install_pretrained_model_from_zip", str(archive), **elsewhere)
    arguments = predict_arguments(project.raw / "imagesTs", output, "--disable_tta", "-npp", "0", "-nps", "0")
    project.run("nnUNetv2_predict", *arguments, **elsewhere)
    again = output / predictions["not mirrored"].name
    np.testing.assert_array_equal(labels_of(again), labels_of(predictions["not mirrored"]))


def test_best_configuration_is_found_against_the_stock_trainer(project: Project, two_folds: Path) -> None:
    trainers = ["ShortStockTrainer", "ShortFocusNetTrainer"]
    project.run("nnUNetv2_train", *train_arguments(0, "--npz", trainer="ShortStockTrainer"))
    arguments = [DATASET_ID, "-c", CONFIGURATION, "-f", "0", "-np", "1", "-tr", *trainers]
    project.run("nnUNetv2_find_best_configuration", *arguments)
    found = json.loads((project.results / "inference_information.json").read_text())
    for trainer in trainers:
        assert f"{trainer}__nnUNetPlans__{CONFIGURATION}" in found["all_results"]
    assert Path(found["best_model_or_ensemble"]["postprocessing_file"]).is_file()


def test_every_stage_is_timed_and_counted_beside_stock(project: Project, repository: Path, tmp_path: Path) -> None:
    script, table = repository / "benchmarks" / "step_time.py", tmp_path / "times.csv"
    with (
        mock.patch.dict(os.environ, project.settings),
        mock.patch.object(sys, "argv", [script.name, DATASET_ID, "-n", "1", "-o", str(table)]),
        mock.patch.object(sys, "path", [str(script.parent), *sys.path]),
    ):
        runpy.run_path(str(script), run_name="__main__")
    with table.open(newline="") as opened:
        rows = {row["what"]: row for row in csv.DictReader(opened)}
    for figure in ("seconds", "TFLOP", "moved_GB", "kernels"):
        assert rows["step, stock"][f"x {figure}"] == rows["tile, stock"][f"x {figure}"] == "1.00"
    assert {f"step, {what}" for what in ("S-Net", "SOL", "SOS", "joint", "plans' network", "zoom")} <= set(rows)
    saved = {what: float(rows[f"step, {what}"]["saved_GiB"]) for what in ("S-Net", "SOL", "SOS", "joint")}
    assert saved["joint"] > saved["S-Net"] > saved["SOL"]  # what is frozen keeps nothing
