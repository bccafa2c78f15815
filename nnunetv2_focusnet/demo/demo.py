"""The demo: from images to a report with nnU-Net's own commands, step by step."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import torch

from nnunetv2_focusnet import __version__
from nnunetv2_focusnet.demo.commands import Command, run_commands
from nnunetv2_focusnet.demo.plans import CONFIGURATION, shrink_plans
from nnunetv2_focusnet.demo.progress import EpochProgress
from nnunetv2_focusnet.system.files import is_unused, make_folder, write_text
from nnunetv2_focusnet.trainers.demo_trainer import EPOCHS, STEPS

DATASET_ID = "901"
DATASET = f"Dataset{DATASET_ID}_HeadPhantom"
TRAINERS = {"stock": "StockDemoTrainer", "focusnet": "FocusNetDemoTrainer"}
NAMES = {"stock": "stock nnU-Net", "focusnet": "FocusNet"}
PREDICT = {"stock": "nnUNetv2_predict", "focusnet": "nnUNetv2_focusnet_predict"}
TRAINING_CASES, TEST_CASES = 10, 3
STATE_FILE = "demo.json"


class Demo:
    """The demo in one folder.

    What is finished is noted in the folder, so that an interrupted demo goes on where it stopped.

    Args:
        folder: new, empty, or of an earlier demo.

    Raises:
        ValueError: the folder holds something else, or a demo of another version of this package.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.started = time.monotonic()
        self.device = _device()
        self.finished = self._read_finished()
        self.raw = self.folder / "nnUNet_raw" / DATASET
        self.preprocessed = self.folder / "nnUNet_preprocessed" / DATASET
        self.predictions = self.folder / "predictions"
        self.report = self.folder / "report"

    def run(self) -> None:
        """All steps that are not finished yet.

        Raises:
            CommandError: a step ended with an error.
        """
        steps: list[tuple[str, str, Callable[[Path], None]]] = [
            ("simulate", f"simulate {TRAINING_CASES} heads to train on and {TEST_CASES} to test on", self.simulate),
            ("preprocess", "plan and preprocess, as for any dataset", self.preprocess),
            (
                "edit_plans",
                "edit the plans: a smaller patch and a smaller network, for 2 CPU cores",
                self.edit_plans,
            ),
            ("train", f"train FocusNet and stock nnU-Net side by side, {STEPS} steps each", self.train),
            ("predict", f"predict the {TEST_CASES} unseen heads with both", self.predict),
            ("compare", "compare both in a report with pictures", self.compare),
        ]
        make_folder(self.folder)
        self._write_finished()
        make_folder(self.folder / "logs")
        for number, (name, title, action) in enumerate(steps, start=1):
            heading = f"[{self._elapsed()}] {number}/{len(steps)} {title}"
            if name in self.finished:
                print(f"{heading}: done earlier", flush=True)
                continue
            print(heading, flush=True)
            action(self.folder / "logs" / f"{number}_{name}.log")
            self.finished.append(name)
            self._write_finished()
        table = (self.report / "summary.md").read_text(encoding="utf-8").split("## ")[1].strip()
        print(f"[{self._elapsed()}] done\n\n{table}\n")
        print(f"Simulated heads and {STEPS} steps each show that everything works, not how good either method is.\n")
        print(f"Report, with pictures of the small organs: {self.report / 'report.html'}", flush=True)

    def simulate(self, log: Path) -> None:
        """Write the phantom dataset."""
        # Of a run that was killed before it could note that it was done; the command would not write over it.
        shutil.rmtree(self.raw, ignore_errors=True)
        arguments = ["-d", DATASET_ID, "-n", str(TRAINING_CASES), "--test", str(TEST_CASES)]
        self._command(log, "nnUNetv2_focusnet_phantom", *arguments)

    def preprocess(self, log: Path) -> None:
        """Let nnU-Net plan and preprocess."""
        # nnU-Net would take over what a killed run has written half.
        shutil.rmtree(self.preprocessed, ignore_errors=True)
        arguments = ["-d", DATASET_ID, "-c", CONFIGURATION, "-npfp", "2", "-np", "2", "--verify_dataset_integrity"]
        self._command(log, "nnUNetv2_plan_and_preprocess", *arguments)

    def edit_plans(self, log: Path) -> None:
        """Make the planned network one for 2 CPU cores."""
        plans_file = self.preprocessed / "nnUNetPlans.json"
        changed = shrink_plans(plans_file)
        write_text(log, f"{plans_file}: {changed}\n")
        print(f"       {changed}")

    def train(self, log: Path) -> None:
        """Train fold 0 of both models, or go on with them."""
        commands = []
        for model, trainer in TRAINERS.items():
            own_log = _log_of(log, model)
            # "--c" only after an interrupted run: the first run reads as a user's own would.
            resume = ["--c"] if own_log.exists() else []
            line = ["nnUNetv2_train", DATASET_ID, CONFIGURATION, "0", "-tr", trainer, "-device", self.device, *resume]
            commands.append(Command(line, own_log, EpochProgress(NAMES[model], EPOCHS, self._elapsed)))
        run_commands(commands, self.folder)

    def predict(self, log: Path) -> None:
        """Predict the unseen cases with both models, each with its own command."""
        commands = []
        for model, trainer in TRAINERS.items():
            line = [PREDICT[model], "-i", str(self.raw / "imagesTs"), "-o", str(self.predictions / model)]
            line += ["-d", DATASET_ID, "-c", CONFIGURATION, "-tr", trainer, "-f", "0", "-device", self.device]
            commands.append(Command(line, _log_of(log, model)))
        run_commands(commands, self.folder)

    def compare(self, log: Path) -> None:
        """Compare both models' predictions with the references."""
        predictions = [f"{model}={self.predictions / model}" for model in TRAINERS]
        arguments = ["-ref", str(self.raw / "labelsTs"), "-pred", *predictions, "-o", str(self.report)]
        arguments += ["--images", str(self.raw / "imagesTs"), "-np", "2"]
        self._command(log, "nnUNetv2_focusnet_compare", *arguments)

    def _command(self, log: Path, *line: str) -> None:
        run_commands([Command(line, log)], self.folder)

    def _elapsed(self) -> str:
        minutes, seconds = divmod(int(time.monotonic() - self.started), 60)
        return f"{minutes:2d}:{seconds:02d}"

    def _read_finished(self) -> list[str]:
        if is_unused(self.folder):
            return []
        state_file = self.folder / STATE_FILE
        if not state_file.exists():
            raise ValueError(f"{self.folder} holds other files: name a new or empty folder with -o")
        remedy = "delete the folder or name another with -o"
        try:
            state = json.loads(state_file.read_text(encoding="utf-8"))
            version, finished = state["version"], [str(step) for step in state["finished"]]
        except (ValueError, TypeError, KeyError):
            raise ValueError(f"{state_file} doesn't say what the demo has done: {remedy}") from None
        if version != __version__:
            raise ValueError(f"{self.folder} holds the demo of version {version}, this is {__version__}: {remedy}")
        return finished

    def _write_finished(self) -> None:
        write_text(self.folder / STATE_FILE, json.dumps({"version": __version__, "finished": self.finished}))


def _log_of(log: Path, model: str) -> Path:
    return log.with_stem(f"{log.stem}_{model}")


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"
