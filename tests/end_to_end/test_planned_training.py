"""Planned and preprocessed by this package, trained by nnU-Net, predicted by this package."""

import json
import os
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from nnunet_project import CONFIGURATION, DATASET_ID, Project
from nnunetv2.experiment_planning.dataset_fingerprint.fingerprint_extractor import DatasetFingerprintExtractor
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

from nnunetv2_focusnet.demo import phantom
from nnunetv2_focusnet.inspection.case import inspect_case

PLANS, TRAINER = "nnUNetFocusNetPlans", "OneStepTrainer"
GIGABYTES = "0.15"  # the whole image would take 0.2
SMALL_ORGANS = {"Lens_L", "Lens_R", "OpticNerve_L", "OpticNerve_R"}
ONE_STEP_TRAINER = """
from nnunetv2_focusnet.trainers.plans_network_trainer import FocusNetTrainerPlansNetwork


class OneStepTrainer(FocusNetTrainerPlansNetwork):
    default_num_epochs = default_num_iterations_per_epoch = default_num_val_iterations_per_epoch = 1

    def on_train_start(self):
        super().on_train_start()
        self.logger.plot_progress_png = lambda output_folder: None  # takes longer than all the rest
"""


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Two simulated heads to train and validate on and one to predict, planned after the images have changed."""
    project = Project(tmp_path_factory.mktemp("planned"))
    (project.root / "my trainers" / "one_step_trainer.py").write_text(ONE_STEP_TRAINER)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(phantom, "SHAPE_ZYX", (24, 48, 48))
        patch.setattr(phantom, "SPACING_MM_ZYX", (5.0, 3.0, 3.0))
        phantom.write_phantom_dataset(project.raw, num_training_cases=2, num_test_cases=1)
        split = [{"train": ["Head_000"], "val": ["Head_001"]}]
        (project.raw / "splits_final.json").write_text(json.dumps(split))
        write_outdated_fingerprint(project.preprocessed)
        extract_from_few_voxels(patch)
        options = ["-d", DATASET_ID, "-tr", TRAINER, "-gpu_memory_target", GIGABYTES, "--clean"]
        project.run("nnUNetv2_focusnet_plan_and_preprocess", *options, "-np", "1", "-npfp", "1")
    return project


def write_outdated_fingerprint(preprocessed: Path) -> None:
    """Of thicker slices."""
    intensities = {"mean": 0.0, "std": 1.0, "percentile_00_5": -1.0, "percentile_99_5": 1.0}
    fingerprint = {
        "spacings": [[9.0, 3.0, 3.0]] * 2,
        "shapes_after_crop": [[14, 48, 48]] * 2,
        "foreground_intensity_properties_per_channel": {"0": intensities},
        "median_relative_size_after_cropping": 1.0,
    }
    preprocessed.mkdir(parents=True)
    (preprocessed / "dataset_fingerprint.json").write_text(json.dumps(fingerprint))


def extract_from_few_voxels(patch: pytest.MonkeyPatch) -> None:
    """nnU-Net's hundred million take longer than all the rest of planning."""
    constructor = DatasetFingerprintExtractor.__init__

    def construct(self: DatasetFingerprintExtractor, *args: object, **options: object) -> None:
        constructor(self, *args, **options)
        self.num_foreground_voxels_for_intensitystats = 10_000

    patch.setattr(DatasetFingerprintExtractor, "__init__", construct)


@pytest.fixture(scope="module")
def trained(planned: Project) -> Path:
    """The model's folder."""
    options = ["-tr", TRAINER, "-p", PLANS, "-device", "cpu"]
    planned.run("nnUNetv2_train", DATASET_ID, CONFIGURATION, "0", *options)
    return planned.results / f"{TRAINER}__{PLANS}__{CONFIGURATION}"


@pytest.fixture(scope="module")
def predicted(planned: Project, trained: Path) -> Path:
    """The unseen head's prediction, without test-time mirroring; by the command's own processes, which export it."""
    output = planned.root / "predicted"
    options = ["-d", DATASET_ID, "-c", CONFIGURATION, "-f", "0", "-tr", TRAINER, "-p", PLANS, "-device", "cpu"]
    options += ["-i", str(planned.raw / "imagesTs"), "-o", str(output), "-npp", "1", "-nps", "1", "--disable_tta"]
    planned.finish(planned.start("nnUNetv2_focusnet_predict", *options))
    return output


def test_plans_are_for_the_images_as_they_are_now_and_for_the_memory(planned: Project) -> None:
    plan = json.loads((planned.preprocessed / f"{PLANS}.json").read_text())["configurations"][CONFIGURATION]
    assert plan["spacing"] == [5.0, 3.0, 3.0]
    assert plan["batch_size"] == 2
    assert np.prod(plan["patch_size"]) < 24 * 48 * 48
    assert {organ["name"] for organ in plan["focusnet"]["small_organs"]} == SMALL_ORGANS


def test_the_model_is_trained_as_planned_and_validated_on_the_given_fold(planned: Project, trained: Path) -> None:
    plans = (json.loads(file.read_text()) for file in (planned.preprocessed / f"{PLANS}.json", trained / "plans.json"))
    before, after = (content["configurations"][CONFIGURATION] for content in plans)
    assert after["patch_size"] == before["patch_size"]
    for part in ("organs", "small_organs", "focal_weights"):
        assert after["focusnet"][part] == before["focusnet"][part]
    (log,) = (trained / "fold_0").glob("training_log_*.txt")
    assert "plan again" not in log.read_text()
    validated = json.loads((trained / "fold_0" / "validation" / "summary.json").read_text())["metric_per_case"]
    assert [Path(case["prediction_file"]).name for case in validated] == ["Head_001.nii.gz"]


def test_an_unseen_head_is_predicted(predicted: Path) -> None:
    labels = sitk.ReadImage(str(predicted / "Head_002.nii.gz"))
    assert labels.GetSize() == (48, 48, 24)
    assert labels.GetSpacing() == pytest.approx((3.0, 3.0, 5.0))
    assert places_in(predicted).keys() == SMALL_ORGANS


def test_a_picture_shows_the_places_of_the_prediction(planned: Project, trained: Path, predicted: Path) -> None:
    predictor = nnUNetPredictor(use_mirroring=False, device=torch.device("cpu"), allow_tqdm=False)
    with mock.patch.dict(os.environ, planned.settings):
        predictor.initialize_from_trained_model_folder(str(trained), (0,))
    case = inspect_case(predictor, [planned.raw / "imagesTs" / "Head_002_0000.nii.gz"])
    # Neither cropped nor resampled, it has the file's voxels, in the order z, y, x.
    shown = {o.name: (round(o.peak, 3), np.round(o.centre).astype(int)[::-1].tolist()) for o in case.organs}
    assert shown == places_in(predicted)
    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(predicted / "Head_002.nii.gz")))
    np.testing.assert_array_equal(case.fused, labels)


def places_in(predicted: Path) -> dict[str, tuple[float, list[int]]]:
    """Of each small organ the peak and its voxel (x, y, z), as they are beside the prediction."""
    organs = json.loads((predicted / "Head_002_locations.json").read_text())["organs"]
    peaks = {name: organ["peak"] for name, organ in organs.items() if "peak" in organ}
    return {name: (peak["probability"], peak["voxel"]) for name, peak in peaks.items()}
