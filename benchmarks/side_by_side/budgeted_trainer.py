"""Any nnU-Net trainer, with a number of epochs that fits into a time, and a record of what each epoch took."""

import gc
import os
import random
import resource
import time
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any, ClassVar
from unittest import mock

import numpy as np
import torch
from batchgenerators.dataloading.nondet_multi_threaded_augmenter import NonDetMultiThreadedAugmenter
from batchgenerators.utilities.file_and_folder_operations import load_json
from cpu_plans import CONFIGURATION
from nnunetv2.training.nnUNetTrainer import nnUNetTrainer as trainer_module
from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name
from peak_memory import peak_rss_mib

from nnunetv2_focusnet.trainers.host import curves
from nnunetv2_focusnet.trainers.resumable_trainer import ResumableTrainer
from side_by_side.budget import Pace
from side_by_side.jobs import BenchmarkError
from side_by_side.runs import Run
from side_by_side.state import State

VALIDATION_ITERATIONS = 15
EPOCHS_APART, PROCESSES_APART = 1000, 100  # between the random numbers of two seeds, and of two epochs


class Budgeted:
    """Mixin in front of a trainer.

    What it records goes into nnU-Net's log, and so into the checkpoint: a run that is killed and resumed has spent the
    time of the epochs that its checkpoint holds.
    """

    recorded: ClassVar[tuple[str, ...]] = (
        "budget_stage",
        "budget_iterations",
        "budget_seconds",  # with all that belongs to an epoch
        "budget_train_seconds",
        "budget_step_seconds",  # median
        "budget_cpu_seconds",  # of this process, without data loaders
        "budget_peak_mib",
    )
    pace: Pace | None = None
    seed = 0
    _mark: float | None = None

    def initialize(self) -> None:
        seed_all(self.seed)
        super().initialize()
        self.log_lists.update({key: [] for key in self.recorded})

    @property
    def log_lists(self) -> dict[str, list[Any]]:
        """One value per epoch and key."""
        return curves(self.logger.local_logger)

    def stage_names(self) -> list[str]:
        """The stage of each epoch; trainers without stages have one."""
        if not hasattr(self, "build_schedule"):
            return ["all"] * self.num_epochs
        return [stage.name for stage in self.build_schedule() for _ in range(stage.start, stage.end)]

    def get_dataloaders(self) -> tuple[Any, Any]:
        """Data loaders of this seed; a resumed run doesn't draw once more what it began with."""
        seed = EPOCHS_APART * self.seed + self.current_epoch
        seed_all(seed)

        def seeded(*args: Any, num_processes: int, **kwargs: Any) -> NonDetMultiThreadedAugmenter:
            seeds = [PROCESSES_APART * seed + i for i in range(num_processes)]
            return NonDetMultiThreadedAugmenter(*args, num_processes=num_processes, **(kwargs | {"seeds": seeds}))

        with mock.patch.object(trainer_module, "NonDetMultiThreadedAugmenter", seeded):
            return super().get_dataloaders()

    def on_epoch_start(self) -> None:
        gc.collect()  # progress.png's figures, hundreds of MB that would count as the network's
        now = time.perf_counter()
        if self._mark is None:
            self._mark, self._cpu_mark = now, time.process_time()
        if self.pace is not None:
            log = self.log_lists
            self.num_iterations_per_epoch = self.pace.next_iterations(
                self.stage_names(), log["budget_iterations"], log["budget_seconds"], now - self._mark
            )
        super().on_epoch_start()

    def on_train_epoch_start(self) -> None:
        super().on_train_epoch_start()
        self._step_ends = [time.perf_counter()]

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        result = super().train_step(batch)
        self._step_ends.append(time.perf_counter())
        return result

    def on_epoch_end(self) -> None:
        # Before the checkpoint is written, as it shall hold this epoch's record; what follows counts to the next epoch.
        now, cpu = time.perf_counter(), time.process_time()
        ends = self._step_ends
        values = (
            self.stage_names()[self.current_epoch],
            len(ends) - 1,
            now - self._mark,
            ends[-1] - ends[0],
            median(b - a for a, b in pairwise(ends)),
            cpu - self._cpu_mark,
            peak_mib(self.device),
        )
        for key, value in zip(self.recorded, values, strict=True):
            self.logger.log(key, value, self.current_epoch)
        self._mark, self._cpu_mark = now, cpu
        super().on_epoch_end()

    def save_checkpoint(self, filename: str) -> None:
        if isinstance(self, ResumableTrainer):  # does as much, and what else depends on the file's name
            super().save_checkpoint(filename)
            return
        partial = f"{filename}.partial"
        super().save_checkpoint(partial)
        os.replace(partial, filename)  # killed while writing, the checkpoint before stays


def seed_all(seed: int) -> None:
    """Random numbers of this process."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def make_trainer(state: State, run: Run) -> Any:
    """The trainer of a run, wherever nnU-Net finds it, which takes part in the benchmark; not initialised.

    Raises:
        BenchmarkError: it isn't installed.
    """
    name = run.recipe.trainer
    trainer_class = find_trainer(name)
    plans = load_json(str(state.preprocessed / f"{run.recipe.plans}.json")) | {"continue_training": False}
    dataset = load_json(str(state.preprocessed / "dataset.json"))
    # The name stays, as nnU-Net names the model's folder by it and looks for it when it predicts.
    budgeted_class = type(name, (Budgeted, trainer_class), {"__module__": trainer_class.__module__})
    trainer = budgeted_class(plans, CONFIGURATION, run.fold, dataset, torch.device(state.settings.device))
    trainer.seed = run.seed
    trainer.num_val_iterations_per_epoch = VALIDATION_ITERATIONS
    trainer.save_every = 1
    return trainer


def find_trainer(name: str) -> Any:
    """A trainer's class.

    Raises:
        BenchmarkError: nnU-Net doesn't find it.
    """
    try:
        return recursive_find_trainer_class_by_name(name)
    except RuntimeError:
        raise BenchmarkError(f"nnU-Net finds no trainer {name}: install it, or leave it out of -tr") from None


def load_latest_checkpoint(trainer: Any) -> None:
    """Go on where an earlier run was stopped; nothing happens where there is none."""
    for name in ("checkpoint_final.pth", "checkpoint_latest.pth"):
        file = Path(trainer.output_folder) / name
        if file.is_file():
            trainer.load_checkpoint(str(file))
            return


def peak_mib(device: torch.device) -> float:
    """Largest memory so far: of the GPU where there is one, else of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device) / 2**20
    return peak_rss_mib(resource.RUSAGE_SELF)
