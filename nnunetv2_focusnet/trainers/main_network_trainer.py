"""A main network alone on all organs: what S-Net and the networks that the paper compares with share."""

from typing import ClassVar

from nnunetv2_focusnet.trainers.base import BaseTrainer
from nnunetv2_focusnet.trainers.schedule import Stage, main_network_schedule


class MainNetworkTrainer(BaseTrainer):
    """Trains one network on all organs, small ones included, in one stage. A subclass says which network."""

    stage_name: ClassVar[str]

    def build_schedule(self) -> list[Stage]:
        """One stage."""
        return main_network_schedule(self.num_epochs, self.initial_lr, self.stage_name)
