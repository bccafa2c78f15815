"""A main network alone on all organs: what S-Net and the networks that the paper compares with share."""

from collections.abc import Sequence
from typing import ClassVar

from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager

from nnunetv2_focusnet.architectures.config import FocusNetConfig, MainConfig
from nnunetv2_focusnet.organs.organ import SmallOrgan
from nnunetv2_focusnet.trainers.base import BaseTrainer
from nnunetv2_focusnet.trainers.schedule import Stage, main_network_schedule


class MainNetworkTrainer(BaseTrainer):
    """Trains one network on all organs, small ones included, in one stage. A subclass says which network."""

    stage_name: ClassVar[str]

    @staticmethod
    def main_config(configuration: ConfigurationManager) -> MainConfig:
        """Hook: the network in the plan's sizes; where more decides, :meth:`describe_network` is overridden instead."""
        raise NotImplementedError

    @classmethod
    def describe_network(
        cls, configuration: ConfigurationManager, small_organs: Sequence[SmallOrgan]
    ) -> FocusNetConfig:
        """The main network, and nothing for the small organs."""
        return FocusNetConfig(main=cls.main_config(configuration))

    def build_schedule(self) -> list[Stage]:
        """One stage."""
        return main_network_schedule(self.num_epochs, self.initial_lr, self.stage_name)
