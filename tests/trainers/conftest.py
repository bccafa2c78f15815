"""A preprocessed phantom with a small patch, and a function that makes trainers for it."""

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from nnunet_in_process import extract_fingerprint, measure, phantom_of_few_voxels, threads_for_processes
from nnunetv2.experiment_planning.plan_and_preprocess_api import plan_experiments, preprocess
from small_trainers import PATCH, SmallFocusNetTrainer

from nnunetv2_focusnet.demo import phantom
from nnunetv2_focusnet.trainers.base import BaseTrainer

DATASET = "Dataset900_Phantom"


@pytest.fixture(scope="session")
def preprocessed_phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with nnUNet_raw and nnUNet_preprocessed of five simulated heads, planned by nnU-Net, patch made small."""
    root = tmp_path_factory.mktemp("phantom project")  # a path with a space, as users have them
    with pytest.MonkeyPatch.context() as patch:
        phantom_of_few_voxels(patch)
        phantom.write_phantom_dataset(root / "nnUNet_raw" / DATASET, num_training_cases=5, num_test_cases=0)
        set_folders(patch, root)
        extract_fingerprint(900)
        plans_name = plan_experiments([900])
        with threads_for_processes():
            preprocess([900], plans_name, configurations=["3d_fullres"], num_processes=[1])
    plans_file = root / "nnUNet_preprocessed" / DATASET / "nnUNetPlans.json"
    plans = json.loads(plans_file.read_text())
    configuration = plans["configurations"]["3d_fullres"]
    configuration["patch_size"] = list(PATCH)
    stages = configuration["architecture"]["arch_kwargs"]["n_stages"]
    configuration["architecture"]["arch_kwargs"]["features_per_stage"] = [4, 6] + [8] * (stages - 2)
    plans_file.write_text(json.dumps(plans))
    measure(plans_file.parent)
    return root


def set_folders(patch: pytest.MonkeyPatch, root: Path) -> None:
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        patch.setenv(name, str(root / name))
    patch.setenv("nnUNet_n_proc_DA", "1")


@pytest.fixture
def project(preprocessed_phantom: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The preprocessed folder of the phantom, in a copy of the project that the test may change."""
    root = tmp_path / "my project"
    shutil.copytree(preprocessed_phantom, root)
    set_folders(monkeypatch, root)
    monkeypatch.setenv("nnUNet_n_proc_DA", "0")  # augmentation in the test's own process
    return root / "nnUNet_preprocessed" / DATASET


MakeTrainer = Callable[..., Any]


def new_trainer(
    project: Path, trainer_class: type[BaseTrainer] = SmallFocusNetTrainer, configuration: str = "3d_fullres"
) -> Any:
    """A trainer as nnUNetv2_train makes it, from the files in the preprocessed folder."""
    torch.manual_seed(0)
    plans = json.loads((project / "nnUNetPlans.json").read_text()) | {"continue_training": False}
    dataset_json = json.loads((project / "dataset.json").read_text())
    return trainer_class(plans, configuration, 0, dataset_json, torch.device("cpu"))


@pytest.fixture
def make_trainer(project: Path) -> MakeTrainer:
    """A function that makes a trainer in the test's own project."""
    return partial(new_trainer, project)


@pytest.fixture(scope="session")
def recorded_run(preprocessed_phantom: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, list[Path]]:
    """A finished run through all stages, and its model folder as a kill at the start of each epoch would leave it.

    The last of these folders is that of the finished run. Tests look at them and change copies, see ``left_by_kill``.
    """
    root = tmp_path_factory.mktemp("recorded") / "project"
    shutil.copytree(preprocessed_phantom, root)
    folders: list[Path] = []
    with pytest.MonkeyPatch.context() as patch:
        set_folders(patch, root)
        patch.setenv("nnUNet_n_proc_DA", "0")
        trainer = new_trainer(root / "nnUNet_preprocessed" / DATASET)

        def record() -> None:
            folders.append(root / f"killed at {len(folders)}")
            shutil.copytree(trainer.output_folder_base, folders[-1])

        def on_epoch_start() -> None:
            record()
            type(trainer).on_epoch_start(trainer)

        trainer.on_epoch_start = on_epoch_start
        trainer.run_training()
        record()
    return trainer, folders


@pytest.fixture
def left_by_kill(project: Path, recorded_run: tuple[Any, list[Path]]) -> Callable[..., Path]:
    """A function that puts what a kill at the start of an epoch leaves into the test's project; 8: a finished run.

    It returns the fold's folder.
    """

    def place(epoch: int, trainer_class: type[BaseTrainer] = SmallFocusNetTrainer) -> Path:
        results = project.parents[1] / "nnUNet_results" / DATASET
        folder = results / f"{trainer_class.__name__}__nnUNetPlans__3d_fullres"
        shutil.copytree(recorded_run[1][epoch], folder)
        for path in (folder / "fold_0").glob("checkpoint_*.pth"):
            torch.save(torch.load(path, weights_only=False) | {"trainer_name": trainer_class.__name__}, path)
        return folder / "fold_0"

    return place
