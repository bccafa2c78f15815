"""S-Net alone on all organs."""

from collections.abc import Sequence

from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager

from nnunetv2_focusnet.architectures.config import FocusNetConfig
from nnunetv2_focusnet.organs.organ import SmallOrgan
from nnunetv2_focusnet.trainers.main_network_trainer import MainNetworkTrainer
from nnunetv2_focusnet.trainers.main_networks import snet_config


class SNetTrainer(MainNetworkTrainer):
    """Trains S-Net on all organs, small ones included."""

    stage_name = "S-Net"

    @classmethod
    def describe_network(
        cls, configuration: ConfigurationManager, small_organs: Sequence[SmallOrgan]
    ) -> FocusNetConfig:
        """S-Net in the plan's sizes."""
        return FocusNetConfig(main=snet_config(configuration))
