"""A main network alone on all organs: what S-Net and the networks that the paper compares with share."""

from collections.abc import Sequence
from typing import ClassVar

from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager

from nnunetv2_focusnet.architectures.config import FocusNetConfig, MainConfig
from nnunetv2_focusnet.organs.organ import SmallOrgan
from nnunetv2_focusnet.trainers.base import BaseTrainer
from nnunetv2_focusnet.trainers.schedule import Stage, main_network_schedule


class MainNetworkTrainer(BaseTrainer):
    """Trains one network on all organs, small ones included, in one stage. A subclass says which network.

    Attributes:
        stage_name: the network's name.
        describe_main_network: the network in a plan's sizes; one that takes more than the plan overrides
            :meth:`describe_network` instead.
    """

    stage_name: ClassVar[str]
    describe_main_network: ClassVar["staticmethod[[ConfigurationManager], MainConfig]"]

    @classmethod
    def describe_network(
        cls, configuration: ConfigurationManager, small_organs: Sequence[SmallOrgan]
    ) -> FocusNetConfig:
        """The main network, and nothing for the small organs."""
        return FocusNetConfig(main=cls.describe_main_network(configuration))

    def build_schedule(self) -> list[Stage]:
        """One stage."""
        return main_network_schedule(self.num_epochs, self.initial_lr, self.stage_name)
