"""FocusNet and stock nnU-Net in the few steps that the demo has time for: for its phantom, not for patients."""

from __future__ import annotations

from typing import Any

import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from torch import nn

from nnunetv2_focusnet.trainers.host import ClassSettings
from nnunetv2_focusnet.trainers.networks import lay_out_for_device
from nnunetv2_focusnet.trainers.zoom_trainer import FocusNetTrainerZoom

EPOCHS, STEPS_PER_EPOCH = 6, 40
STEPS = EPOCHS * STEPS_PER_EPOCH


class FewSteps(ClassSettings):
    """Mixin: a run of a few minutes on a CPU core, the same number of steps for every trainer."""

    default_num_epochs = EPOCHS
    default_num_iterations_per_epoch = STEPS_PER_EPOCH
    default_num_val_iterations_per_epoch = 2

    def on_train_start(self) -> None:
        """On one CPU core, where nnU-Net would take all that there are: the demo trains two models side by side."""
        torch.set_num_threads(1)
        super().on_train_start()  # type: ignore[misc]

    def perform_actual_validation(self, save_probabilities: bool = False) -> None:
        """Left out: it would take most of the time of predicting the unseen heads, which say more."""
        self.print_to_log_file("The demo has no final validation: it predicts unseen heads instead.")  # type: ignore[attr-defined]


class FocusNetDemoTrainer(FewSteps, FocusNetTrainerZoom):
    """FocusNet in the demo: the trainer that is recommended."""


class StockDemoTrainer(FewSteps, nnUNetTrainer):  # type: ignore[misc]
    """Stock nnU-Net in the demo; its weights are laid out as ours, with which a CPU takes less time for the same."""

    @staticmethod
    def build_network_architecture(plans_manager: PlansManager, *args: Any, **kwargs: Any) -> nn.Module:
        """The plans' network."""
        return lay_out_for_device(nnUNetTrainer.build_network_architecture(plans_manager, *args, **kwargs))
