"""S-Net alone on all organs."""

from collections.abc import Sequence

from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager

from nnunetv2_focusnet.architectures.config import FocusNetConfig
from nnunetv2_focusnet.organs.organ import SmallOrgan
from nnunetv2_focusnet.trainers.base import BaseTrainer
from nnunetv2_focusnet.trainers.networks import snet_config
from nnunetv2_focusnet.trainers.schedule import Stage, snet_schedule


class SNetTrainer(BaseTrainer):
    """Trains S-Net on all organs, small ones included."""

    @classmethod
    def describe_network(
        cls, configuration: ConfigurationManager, small_organs: Sequence[SmallOrgan]
    ) -> FocusNetConfig:
        """S-Net in the plan's sizes."""
        return FocusNetConfig(main=snet_config(configuration))

    def build_schedule(self) -> list[Stage]:
        """One stage."""
        return snet_schedule(self.num_epochs, self.initial_lr)
