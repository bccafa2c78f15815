"""nnU-Net's own commands on simulated heads, in a project of its own whose path has a space."""

import os
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path

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


class ShortFocusNetTrainer(FocusNetTrainer):
    def __init__(self, plans, configuration, fold, dataset_json, device=torch.device("cuda")):
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.num_epochs, self.num_iterations_per_epoch, self.num_val_iterations_per_epoch = 4, 2, 1


class ShortStockTrainer(nnUNetTrainer):
    def __init__(self, plans, configuration, fold, dataset_json, device=torch.device("cuda")):
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.num_epochs, self.num_iterations_per_epoch, self.num_val_iterations_per_epoch = 1, 2, 1
"""


class Project:
    """Folders of nnU-Net under ``root``, and commands that run in them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.raw = root / "nnUNet_raw" / DATASET
        self.preprocessed = root / "nnUNet_preprocessed" / DATASET
        self.results = root / "nnUNet_results" / DATASET
        trainers = root / "my trainers"
        trainers.mkdir(parents=True)
        (trainers / "short_trainers.py").write_text(USER_TRAINERS)
        folders = {name: str(root / name) for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")}
        for folder in folders.values():
            Path(folder).mkdir()
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("nnUNet_")},
            **folders,
            "nnUNet_extTrainer": str(trainers),
            "nnUNet_n_proc_DA": "1",
            "nnUNet_def_n_proc": "1",
            "nnUNet_compile": "f",
            "OMP_NUM_THREADS": "1",
            "MPLBACKEND": "Agg",
            "PYTHONUNBUFFERED": "1",
        }

    def model(self, trainer: str = "ShortFocusNetTrainer") -> Path:
        return self.results / f"{trainer}__nnUNetPlans__{CONFIGURATION}"

    def start(self, *command: str, **environment: str) -> "subprocess.Popen[str]":
        script = Path(sysconfig.get_path("scripts")) / command[0]
        return subprocess.Popen(
            [sys.executable, str(script), *command[1:]],
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *command: str, **environment: str) -> str:
        """Run a console script, or the script at an absolute path, to its end and return what it printed."""
        return self.finish(self.start(*command, **environment))

    @staticmethod
    def finish(process: "subprocess.Popen[str]") -> str:
        printed, _ = process.communicate()
        assert process.returncode == 0, f"{process.args}:\n{printed}"
        return printed

    def start_training(
        self, fold: int, *options: str, trainer: str = "ShortFocusNetTrainer"
    ) -> "subprocess.Popen[str]":
        arguments = [DATASET_ID, CONFIGURATION, str(fold), "-tr", trainer, "-device", "cpu", *options]
        # Augmentation in the same process: its workers would take longer to start than to work.
        return self.start("nnUNetv2_train", *arguments, nnUNet_n_proc_DA="0")

    def start_prediction(self, output: Path, *options: str, **environment: str) -> "subprocess.Popen[str]":
        arguments = ["-i", str(self.raw / "imagesTs"), "-o", str(output), "-d", DATASET_ID, "-c", CONFIGURATION]
        arguments += ["-tr", "ShortFocusNetTrainer", "-f", "0", "1", "-device", "cpu", "-npp", "1", "-nps", "1"]
        return self.start("nnUNetv2_predict", *arguments, *options, **environment)

    def kill_in_epoch(self, epoch: int, *options: str) -> None:
        """Train fold 0, and SIGKILL the command and its workers as soon as it says that it is in ``epoch``."""
        process = self.start_training(0, *options)
        assert process.stdout is not None
        printed = []
        for line in process.stdout:
            printed.append(line)
            if line.rstrip().endswith(f": Epoch {epoch}"):
                os.killpg(process.pid, signal.SIGKILL)
                break
        process.communicate()
        assert process.returncode == -signal.SIGKILL, "".join(printed)
