"""The folder in which a benchmark keeps everything, and the processes that work in it."""

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cpu_plans import CONFIGURATION

from nnunetv2_focusnet._startup import EXT_TRAINER, discovery_folder
from nnunetv2_focusnet.demo.commands import FOLDERS
from nnunetv2_focusnet.system.files import is_unused, make_folder, write_text
from side_by_side.jobs import BenchmarkError, Job, run_jobs
from side_by_side.runs import Recipe, Row, Run

BENCHMARKS = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Settings:
    """What all trainers of a benchmark share; a folder is for one such set.

    Attributes:
        dataset: name of the dataset.
        source: its folder.
        spacing: target spacing (z, y, x) in mm; None: the plan's own.
        patch: in voxels (z, y, x).
        coarse_spacing: of a second plan, on which stock trains as well; None: there is none.
        coarse_patch: of that plan.
        minutes: of training for each trainer.
        same_iterations: all trainers do as many iterations as the first does in that time.
        unseen: number of cases that nobody trains on; None: those of each of nnU-Net's five folds in turn.
        small_organs: written into dataset.json; None: leave that file as it is.
        threads: of all processes together.
        parallel: processes side by side, which share the threads.
    """

    dataset: str
    source: str
    spacing: list[float] | None
    patch: list[int]
    coarse_spacing: list[float] | None
    coarse_patch: list[int]
    batch: int
    features: list[int]
    minutes: float
    same_iterations: bool
    unseen: int | None
    small_organs: list[str] | None
    threads: int
    parallel: int
    device: str

    @property
    def threads_each(self) -> int:
        """Of each training."""
        return self.threads_of(self.parallel)

    @property
    def predicted_at_once(self) -> int:
        """Processes that predict side by side: on a CPU each has cores of its own, but they would share a GPU."""
        return self.parallel if self.device == "cpu" else 1

    def threads_of(self, processes: int) -> int:
        """Of each of so many processes side by side."""
        return max(1, self.threads // processes)

    def loaders_of(self, threads: int) -> int:
        """Processes that load the data of a training with so many threads."""
        if threads == 1:
            return 0  # it loads in its own thread: a process more would take time of its neighbour
        return 1 if self.device == "cpu" else threads  # beside a GPU threads have nothing else to do


@dataclass(frozen=True)
class State:
    """Where things are in the benchmark's folder."""

    folder: Path
    settings: Settings

    @classmethod
    def open(cls, folder: Path, settings: Settings) -> "State":
        """A new folder, or one of an earlier run with the same settings.

        Raises:
            BenchmarkError: it holds something else.
        """
        claim(folder, asdict(settings))
        return cls(folder, settings)

    @classmethod
    def load(cls, folder: Path) -> "State":
        return cls(folder, Settings(**read_json(folder / "settings.json")))

    @property
    def raw(self) -> Path:
        return self.folder / "nnUNet_raw" / self.settings.dataset

    @property
    def preprocessed(self) -> Path:
        return self.folder / "nnUNet_preprocessed" / self.settings.dataset

    def unseen_cases(self, fold: int) -> list[str]:
        """Cases that no training of a fold has to do with, not even its validation."""
        return read_json(self.unseen_file)[fold]

    @property
    def unseen_file(self) -> Path:
        """The unseen cases of each fold."""
        return self.folder / "unseen.json"

    @property
    def schedule(self) -> Path:
        """Epochs of every trainer, and iterations per epoch of the first."""
        return self.folder / "schedule.json"

    def speed(self, recipe: Recipe) -> Path:
        """Seconds per step of each stage and per epoch for all else, measured before training."""
        return self.folder / "speed" / f"{recipe.name}.json"

    def training(self, run: Run) -> Path:
        """What a finished training recorded, epoch by epoch."""
        return self.folder / "training" / f"{run.name}.json"

    def predictions(self, row: Row, seed: int) -> Path:
        """Label maps of all folds."""
        return self.folder / "predictions" / row.model(seed)

    def prediction_seconds(self, row: Row, seed: int, fold: int) -> Path:
        """Seconds of each case that is predicted."""
        return self.predictions(row, seed) / f"seconds_fold{fold}.json"

    def is_predicted(self, row: Row, seed: int, fold: int) -> bool:
        seconds = self.prediction_seconds(row, seed, fold)
        return seconds.is_file() and len(read_json(seconds)) == len(self.unseen_cases(fold))

    def trained_models(self, seed: int) -> Path:
        """nnUNet_results of a seed's trainings."""
        return self.folder / "nnUNet_results" / f"seed{seed}"

    def model(self, run: Run) -> Path:
        name = f"{run.recipe.trainer}__{run.recipe.plans}__{CONFIGURATION}"
        return self.trained_models(run.seed) / self.settings.dataset / name

    @property
    def references(self) -> Path:
        return self.folder / "references"

    def environment(self) -> dict[str, str]:
        """The caller's variables, less nnU-Net's; trainers of the benchmark, the caller and the package are found."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("nnUNet_")}
        trainers = [str(BENCHMARKS / "trainers"), os.environ.get(EXT_TRAINER, ""), discovery_folder()]
        threads = str(self.settings.threads_each)
        return (
            kept
            | {name: str(self.folder / name) for name in FOLDERS}
            | {
                EXT_TRAINER: os.pathsep.join(filter(None, trainers)),
                "nnUNet_n_proc_DA": "1",
                "nnUNet_def_n_proc": threads,
                "nnUNet_compile": "f",
                "OMP_NUM_THREADS": threads,
                "PYTHONPATH": os.pathsep.join(filter(None, (str(BENCHMARKS), os.environ.get("PYTHONPATH")))),
                "MPLBACKEND": "Agg",
                "PYTHONUNBUFFERED": "1",
            }
        )

    def job(self, name: str, command: Sequence[str], **variables: str) -> Job:
        """A command that works in this folder."""
        return Job(name, command, self.environment() | variables, self.folder / "logs" / f"{name}.log")

    def work(self, task: str, runs: Iterable[Run], models: Path | None = None) -> None:
        """Let the worker do something for each training, in processes of their own, some side by side.

        Args:
            task: of the worker.
            runs: the trainings.
            models: nnUNet_results; None: that of each one's seed.

        Raises:
            BenchmarkError: some ended with an error.
        """
        at_once = self.settings.predicted_at_once if task == "predict" else self.settings.parallel
        threads = self.settings.threads_of(at_once)
        worker = [sys.executable, "-m", "side_by_side.worker", task, str(self.folder)]
        jobs = [
            self.job(
                f"{task}_{run.name}",
                [*worker, *run.arguments],
                nnUNet_results=str(models or self.trained_models(run.seed)),
                nnUNet_n_proc_DA=str(self.settings.loaders_of(threads)),
                nnUNet_def_n_proc=str(threads),
                OMP_NUM_THREADS=str(threads),
            )
            for run in runs
        ]
        run_jobs(jobs, at_once)


def claim(folder: Path, settings: Mapping[str, Any]) -> None:
    """Make sure that a folder is unused, or was begun with the same settings.

    Raises:
        BenchmarkError: it holds something else.
    """
    file = folder / "settings.json"
    if not file.is_file():
        if not is_unused(folder):
            raise BenchmarkError(f"{folder} holds other files: name a new or empty folder with -o")
        write_json(file, dict(settings))
    earlier = read_json(file)
    if earlier.keys() != settings.keys():
        raise BenchmarkError(f"{folder} was begun by another version of this script: name another folder with -o")
    if changed := [f"{key} {earlier[key]}" for key, value in settings.items() if earlier[key] != value]:
        raise BenchmarkError(f"{folder} was begun with {', '.join(changed)}: name another folder with -o")


def read_json(file: Path) -> Any:
    return json.loads(file.read_text())


def write_json(file: Path, content: Any) -> None:
    """Write in one piece; the folder is made."""
    make_folder(file.parent)
    write_text(file, json.dumps(content, indent=1))
