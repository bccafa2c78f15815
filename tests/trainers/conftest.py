"""A preprocessed phantom with a small patch, and trainers that take their batches from memory."""

import json
import shutil
from collections.abc import Callable, Iterator
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest
import torch
from nnunetv2.experiment_planning.plan_and_preprocess_api import extract_fingerprints, plan_experiments, preprocess

from nnunetv2_focusnet.datasets.phantom import write_phantom_dataset
from nnunetv2_focusnet.organs import measure_organs
from nnunetv2_focusnet.trainers.focusnet_trainer import FocusNetTrainer
from nnunetv2_focusnet.trainers.snet_trainer import SNetTrainer

DATASET = "Dataset900_Phantom"
PATCH = (16, 32, 32)


@pytest.fixture(scope="session")
def preprocessed_phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with nnUNet_raw and nnUNet_preprocessed of five simulated heads, planned by nnU-Net, patch made small."""
    root = tmp_path_factory.mktemp("phantom project")  # a path with a space, as users have them
    write_phantom_dataset(root / "nnUNet_raw" / DATASET, num_training_cases=5, num_test_cases=0)
    with pytest.MonkeyPatch.context() as patch:
        set_folders(patch, root)
        extract_fingerprints([900], num_processes=2)
        plans_name = plan_experiments([900])
        preprocess([900], plans_name, configurations=["3d_fullres"], num_processes=[2])
    plans_file = root / "nnUNet_preprocessed" / DATASET / "nnUNetPlans.json"
    plans = json.loads(plans_file.read_text())
    configuration = plans["configurations"]["3d_fullres"]
    configuration["patch_size"] = list(PATCH)
    stages = configuration["architecture"]["arch_kwargs"]["n_stages"]
    configuration["architecture"]["arch_kwargs"]["features_per_stage"] = [4, 6] + [8] * (stages - 2)
    plans_file.write_text(json.dumps(plans))
    # Trainers find the measurements in the cache instead of starting processes of their own.
    measure_organs(plans_file.parent, plans, json.loads((plans_file.parent / "dataset.json").read_text()))
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


class FewBatches:
    """Mixin: two iterations an epoch, always on the same batch, which holds every organ."""

    keys = ("Head_000", "Head_001")
    draws_progress = False  # takes longer than all the rest of an epoch

    def on_train_start(self) -> None:
        super().on_train_start()  # type: ignore[misc]
        if not self.draws_progress:
            self.logger.plot_progress_png = lambda output_folder: None  # type: ignore[attr-defined]

    def get_dataloaders(self) -> tuple[Iterator[dict[str, Any]], Iterator[dict[str, Any]]]:
        super().get_dataloaders()[0]  # type: ignore[misc]
        batches = repeat(None)
        return (self.batch() for _ in batches), (self.batch() for _ in batches)

    def batch(self) -> dict[str, Any]:
        generator = torch.Generator().manual_seed(0)
        target = torch.zeros(2, 1, *PATCH)
        for label in range(1, 10):
            target[:, :, 4:8, 3 * label : 3 * label + 3, 10:14] = label
        data = target + torch.randn(target.shape, generator=generator)
        return {"data": data, "target": target, "keys": list(self.keys)}


class SmallFocusNetTrainer(FewBatches, FocusNetTrainer):
    def __init__(
        self,
        plans: dict[str, Any],
        configuration: str,
        fold: int,
        dataset_json: dict[str, Any],
        device: torch.device = torch.device("cpu"),  # noqa: B008
    ) -> None:
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.num_epochs, self.num_iterations_per_epoch, self.num_val_iterations_per_epoch = 8, 2, 1


class SmallSNetTrainer(FewBatches, SNetTrainer):
    def __init__(
        self,
        plans: dict[str, Any],
        configuration: str,
        fold: int,
        dataset_json: dict[str, Any],
        device: torch.device = torch.device("cpu"),  # noqa: B008
    ) -> None:
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.num_epochs, self.num_iterations_per_epoch, self.num_val_iterations_per_epoch = 2, 2, 1


MakeTrainer = Callable[..., Any]


@pytest.fixture
def make_trainer(project: Path) -> MakeTrainer:
    """A function that makes a trainer as nnUNetv2_train does, from the files in the preprocessed folder."""

    def make(trainer_class: type[SNetTrainer] = SmallFocusNetTrainer, configuration: str = "3d_fullres") -> SNetTrainer:
        torch.manual_seed(0)
        plans = json.loads((project / "nnUNetPlans.json").read_text()) | {"continue_training": False}
        dataset_json = json.loads((project / "dataset.json").read_text())
        return trainer_class(plans, configuration, 0, dataset_json, torch.device("cpu"))

    return make
