"""The folder in which a benchmark keeps everything, and the processes that work in it."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cpu_plans import CONFIGURATION, NAME

from nnunetv2_focusnet._startup import EXT_TRAINER, discovery_folder
from nnunetv2_focusnet.demo.commands import CommandError
from nnunetv2_focusnet.system.files import is_unused, make_folder, write_text
from nnunetv2_focusnet.system.processes import process_group

BENCHMARKS = Path(__file__).resolve().parents[1]
FOLDERS = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")


class BenchmarkError(CommandError):
    """Something that the user has to know in one line."""


@dataclass(frozen=True)
class Settings:
    """What all trainers of a benchmark share; a folder is for one such set.

    Attributes:
        dataset: name of the dataset.
        spacing: target spacing (z, y, x) in mm; None: the plan's own.
        patch: in voxels (z, y, x).
        minutes: of training for each trainer.
        same_iterations: all trainers do as many iterations as the first does in that time.
        unseen: number of cases that nobody trains on.
        small_organs: written into dataset.json; None: leave that file as it is.
    """

    dataset: str
    spacing: list[float] | None
    patch: list[int]
    batch: int
    features: list[int]
    minutes: float
    same_iterations: bool
    unseen: int
    small_organs: list[str] | None
    threads: int
    device: str


@dataclass(frozen=True)
class State:
    """Where things are in the benchmark's folder, by name of the trainer."""

    folder: Path
    settings: Settings

    @classmethod
    def open(cls, folder: Path, settings: Settings) -> "State":
        """A new folder, or one of an earlier run with the same settings.

        Raises:
            BenchmarkError: it holds something else.
        """
        file = folder / "settings.json"
        if not file.is_file():
            if not is_unused(folder):
                raise BenchmarkError(f"{folder} holds other files: name a new or empty folder with -o")
            write_json(file, asdict(settings))
        earlier = read_json(file)
        if changed := [f"{key} {earlier.get(key)}" for key, value in asdict(settings).items() if earlier[key] != value]:
            raise BenchmarkError(f"{folder} was begun with {', '.join(changed)}: name another folder with -o")
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

    @property
    def unseen_cases(self) -> list[str]:
        return read_json(self.preprocessed / "splits_final.json")[0]["val"]

    @property
    def schedule(self) -> Path:
        """Epochs of every trainer, and iterations per epoch of the first."""
        return self.folder / "schedule.json"

    def speed(self, trainer: str) -> Path:
        """Seconds per step of each stage and per epoch for all else, measured before training."""
        return self.folder / "speed" / f"{trainer}.json"

    def training(self, trainer: str) -> Path:
        """What a finished training recorded, epoch by epoch."""
        return self.folder / "training" / f"{trainer}.json"

    def predictions(self, trainer: str) -> Path:
        return self.folder / "predictions" / trainer

    def prediction_seconds(self, trainer: str) -> Path:
        """Seconds of each case that is predicted."""
        return self.predictions(trainer) / "seconds.json"

    def model(self, trainer: str) -> Path:
        return self.folder / "nnUNet_results" / self.settings.dataset / f"{trainer}__{NAME}__{CONFIGURATION}"

    @property
    def results(self) -> Path:
        return self.folder / "results"

    def environment(self) -> dict[str, str]:
        """The caller's variables, less nnU-Net's; trainers of the benchmark, the caller and the package are found."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("nnUNet_")}
        trainers = [str(BENCHMARKS / "trainers"), os.environ.get(EXT_TRAINER, ""), discovery_folder()]
        threads = str(self.settings.threads)
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

    def run(self, log_name: str, command: Sequence[str], **variables: str) -> None:
        """Run a command to its end, with whatever it has started; its output goes to a log.

        Raises:
            BenchmarkError: it ended with an error; names its last words and the log.
        """
        log = self.folder / "logs" / f"{log_name}.log"
        log.parent.mkdir(exist_ok=True)
        with (
            log.open("a", encoding="utf-8") as output,
            process_group(
                command,
                env=self.environment() | variables,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            ) as process,
        ):
            status = process.wait()
        if status != 0:
            last_words = [line for line in log.read_text(errors="replace").splitlines() if line.strip()][-1:]
            raise BenchmarkError(
                f"{log_name} ended with status {status} ({''.join(last_words)[:200]}); its log is {log}"
            )

    def work(self, task: str, trainer: str, **variables: str) -> None:
        """Let the worker do something for a trainer in a process of its own.

        Raises:
            BenchmarkError: it ended with an error.
        """
        worker = [sys.executable, "-m", "side_by_side.worker", task, str(self.folder), trainer]
        self.run(f"{task}_{trainer}", worker, **variables)


def read_json(file: Path) -> Any:
    return json.loads(file.read_text())


def write_json(file: Path, content: Any) -> None:
    """Write in one piece; the folder is made."""
    make_folder(file.parent)
    write_text(file, json.dumps(content, indent=1))
