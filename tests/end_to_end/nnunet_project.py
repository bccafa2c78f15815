"""nnU-Net's own commands on simulated heads, in a project of its own whose path has a space."""

import os
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path

from nnunet_in_process import command

DATASET_ID = "905"
DATASET = "Dataset905_HeadPhantom"
CONFIGURATION = "3d_fullres"

# What a user puts into a folder of nnUNet_extTrainer: shortened runs. On one thread: nnU-Net's commands have just taken
# all cores, whatever OMP_NUM_THREADS says, and commands that run side by side would wait for each other at every layer.
USER_TRAINERS = """
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2_focusnet.trainers.focusnet_trainer import FocusNetTrainer

torch.set_num_threads(1)


class Short:
    def on_train_start(self):
        super().on_train_start()
        draw = self.logger.plot_progress_png  # takes longer than all the rest of an epoch

        def draw_once(output_folder):
            if self.current_epoch == self.num_epochs - 1:  # into a zip of the model goes the last one
                draw(output_folder)

        self.logger.plot_progress_png = draw_once


class ShortFocusNetTrainer(Short, FocusNetTrainer):
    def __init__(self, plans, configuration, fold, dataset_json, device=torch.device("cuda")):
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.num_epochs, self.num_iterations_per_epoch, self.num_val_iterations_per_epoch = 4, 2, 1


class ShortStockTrainer(Short, nnUNetTrainer):
    def __init__(self, plans, configuration, fold, dataset_json, device=torch.device("cuda")):
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.num_epochs, self.num_iterations_per_epoch, self.num_val_iterations_per_epoch = 1, 2, 1
"""


class Project:
    """Folders of nnU-Net under ``root``, and commands that work in them, in this process or in one of their own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.raw = root / "nnUNet_raw" / DATASET
        self.preprocessed = root / "nnUNet_preprocessed" / DATASET
        self.results = root / "nnUNet_results" / DATASET
        trainers = root / "my trainers"
        trainers.mkdir(parents=True)
        (trainers / "users_trainers.py").write_text(USER_TRAINERS)
        self.settings = folders_in(root) | {
            "nnUNet_extTrainer": str(trainers),
            # Augmentation in the same process: its workers would take longer to start than to work.
            "nnUNet_n_proc_DA": "0",
            "nnUNet_def_n_proc": "1",
            "nnUNet_compile": "f",
            "OMP_NUM_THREADS": "1",
            "MPLBACKEND": "Agg",
            "PYTHONUNBUFFERED": "1",
        }

    def model(self, trainer: str = "ShortFocusNetTrainer") -> Path:
        return self.results / f"{trainer}__nnUNetPlans__{CONFIGURATION}"

    def run(self, name: str, *arguments: str, **settings: str) -> None:
        """A console script in this process."""
        command(name, *arguments, **self.settings | settings)

    def start(self, name: str, *arguments: str) -> "subprocess.Popen[str]":
        """A console script in a process of its own."""
        script = Path(sysconfig.get_path("scripts")) / name
        others = {name: value for name, value in os.environ.items() if not name.startswith("nnUNet_")}
        return subprocess.Popen(
            [sys.executable, str(script), *arguments],
            env=others | self.settings,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    @staticmethod
    def finish(process: "subprocess.Popen[str]") -> None:
        printed, _ = process.communicate()
        assert process.returncode == 0, f"{process.args}:\n{printed}"

    def kill_in_epoch(self, epoch: int) -> None:
        """Train fold 0, and SIGKILL the command and its workers as soon as it says that it is in ``epoch``."""
        process = self.start("nnUNetv2_train", *train_arguments(0))
        assert process.stdout is not None
        printed = []
        for line in process.stdout:
            printed.append(line)
            if line.rstrip().endswith(f": Epoch {epoch}"):
                os.killpg(process.pid, signal.SIGKILL)
                break
        process.communicate()
        assert process.returncode == -signal.SIGKILL, "".join(printed)


def folders_in(root: Path) -> dict[str, str]:
    """Make nnU-Net's folders; their environment variables."""
    folders = {name: root / name for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")}
    for folder in folders.values():
        folder.mkdir(parents=True)
    return {name: str(folder) for name, folder in folders.items()}


def train_arguments(fold: int, *options: str, trainer: str = "ShortFocusNetTrainer") -> list[str]:
    """Of ``nnUNetv2_train``."""
    return [DATASET_ID, CONFIGURATION, str(fold), "-tr", trainer, "-device", "cpu", *options]


def predict_arguments(images: Path, output: Path, *options: str) -> list[str]:
    """Of ``nnUNetv2_predict``, with folds 0 and 1."""
    arguments = ["-i", str(images), "-o", str(output), "-d", DATASET_ID, "-c", CONFIGURATION]
    return [*arguments, "-tr", "ShortFocusNetTrainer", "-f", "0", "1", "-device", "cpu", *options]
