"""FocusNet and stock nnU-Net in the few steps that the demo has time for: for its phantom, not for patients."""

from typing import Any

import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_focusnet.trainers.focusnet_trainer import FocusNetTrainer

EPOCHS, STEPS_PER_EPOCH = 12, 40
STEPS = EPOCHS * STEPS_PER_EPOCH


class FewSteps:
    """Mixin: a run of a few minutes on 2 CPU cores, the same number of steps for every trainer."""

    def __init__(
        self,
        plans: dict[str, Any],
        configuration: str,
        fold: int,
        dataset_json: dict[str, Any],
        device: torch.device = torch.device("cuda"),  # noqa: B008 (the host's signature)
    ) -> None:
        super().__init__(plans, configuration, fold, dataset_json, device)  # type: ignore[call-arg]
        self.num_epochs = EPOCHS
        self.num_iterations_per_epoch = STEPS_PER_EPOCH
        self.num_val_iterations_per_epoch = 2


class FocusNetDemoTrainer(FewSteps, FocusNetTrainer):
    """FocusNet in the demo."""


class StockDemoTrainer(FewSteps, nnUNetTrainer):
    """Stock nnU-Net in the demo."""
