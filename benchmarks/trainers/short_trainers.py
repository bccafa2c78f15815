"""Runs that 2 CPU cores finish within the hour; nnU-Net finds them with nnUNet_extTrainer=benchmarks/trainers."""

import torch

from nnunetv2_focusnet.trainers.focusnet_trainer import FocusNetTrainer


class FocusNetTrainerShort(FocusNetTrainer):
    """3000 steps: 900 of S-Net, 600 of SOL, 600 of SOS, 900 of joint training."""

    default_num_epochs = 20

    def __init__(
        self,
        plans: dict,
        configuration: str,
        fold: int,
        dataset_json: dict,
        device: torch.device = torch.device("cuda"),  # noqa: B008 (the host's signature)
    ) -> None:
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.num_iterations_per_epoch, self.num_val_iterations_per_epoch = 150, 10
