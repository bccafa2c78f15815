"""The project that the end-to-end tests share."""

import json
import os
from unittest import mock

import pytest
from nnunet_in_process import extract_fingerprint, phantom_of_few_voxels
from nnunet_project import CONFIGURATION, DATASET_ID, Project

from nnunetv2_focusnet.demo import phantom

COARSE = ("-overwrite_target_spacing", "5", "4.5", "4.5")  # two tiles to predict, of 125 in the spacing of the images


@pytest.fixture(scope="package")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Five simulated heads to train on and one to predict, planned and preprocessed; patch and widths made small."""
    project = Project(tmp_path_factory.mktemp("head project") / "in here")
    with pytest.MonkeyPatch.context() as patch:
        phantom_of_few_voxels(patch)
        phantom.write_phantom_dataset(project.raw, num_training_cases=5, num_test_cases=1)
    with mock.patch.dict(os.environ, project.settings):
        extract_fingerprint(int(DATASET_ID))
    project.run("nnUNetv2_plan_experiment", "-d", DATASET_ID, *COARSE)
    project.run("nnUNetv2_preprocess", "-d", DATASET_ID, "-c", CONFIGURATION, "-np", "1")
    plans_file = project.preprocessed / "nnUNetPlans.json"
    plans = json.loads(plans_file.read_text())
    configuration = plans["configurations"][CONFIGURATION]
    configuration["patch_size"], configuration["batch_size"] = [16, 32, 32], 2
    stages = configuration["architecture"]["arch_kwargs"]["n_stages"]
    configuration["architecture"]["arch_kwargs"]["features_per_stage"] = [4] * stages
    plans_file.write_text(json.dumps(plans))
    dataset_file = project.preprocessed / "dataset.json"
    small_organs = {"small_organs": ["Lens_L", "Lens_R"]}  # small ROIs are fast ones
    dataset_file.write_text(json.dumps(json.loads(dataset_file.read_text()) | {"focusnet": small_organs}))
    return project
