"""Runs that 2 CPU cores finish within the hour; nnU-Net finds them with nnUNet_extTrainer=benchmarks/trainers."""

from typing import Any

import numpy as np
import torch

from nnunetv2_focusnet.trainers.focusnet_trainer import FocusNetTrainer
from nnunetv2_focusnet.trainers.snet_trainer import SNetTrainer


class FocusNetTrainerShort(FocusNetTrainer):
    """3000 steps: 900 of S-Net, 600 of SOL, 600 of SOS, 900 of joint training."""

    default_num_epochs = 20
    default_num_iterations_per_epoch = 150
    default_num_val_iterations_per_epoch = 10


class SNetTrainerShort(SNetTrainer):
    """1500 steps of S-Net on one thread, from seeded weights; with nnUNet_n_proc_DA=0 on seeded patches, too.

    A resumed run goes on with the weights of its checkpoint, and with other patches than it began with.
    """

    default_num_epochs = 10
    default_num_iterations_per_epoch = 150
    default_num_val_iterations_per_epoch = 10

    def initialize(self) -> None:
        seed_all(0)
        # nnUNetv2_train has just taken all cores, whatever OMP_NUM_THREADS says; runs side by side wait for each other.
        torch.set_num_threads(1)
        super().initialize()

    def get_dataloaders(self) -> tuple[Any, Any]:
        seed_all(self.current_epoch)
        return super().get_dataloaders()


def seed_all(seed: int) -> None:
    """Random numbers of weights, patches and augmentation."""
    torch.manual_seed(seed)
    np.random.seed(seed)
