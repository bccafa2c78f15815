"""FocusNet in the few steps that the demo has time for."""

import torch

from nnunetv2_focusnet.trainers.focusnet_trainer import FocusNetTrainer

EPOCHS = 12


class FocusNetDemoTrainer(FocusNetTrainer):
    """FocusNet in a few minutes on 2 CPU cores: for the demo's phantom, not for patients."""

    def __init__(
        self,
        plans: dict,
        configuration: str,
        fold: int,
        dataset_json: dict,
        device: torch.device = torch.device("cuda"),  # noqa: B008 (the host's signature)
    ) -> None:
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.num_epochs = EPOCHS
        self.num_iterations_per_epoch = 45
        self.num_val_iterations_per_epoch = 2
