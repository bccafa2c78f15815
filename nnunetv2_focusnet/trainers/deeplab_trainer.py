"""DeepLab v3+ in 3D, a rival in the paper's table 1."""

from collections.abc import Sequence

from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager

from nnunetv2_focusnet.architectures.config import DeepLabConfig
from nnunetv2_focusnet.organs.organ import SmallOrgan
from nnunetv2_focusnet.trainers.main_network_trainer import MainNetworkTrainer
from nnunetv2_focusnet.trainers.main_networks import deeplab_config


class DeepLabV3PlusTrainer(MainNetworkTrainer):
    """Trains DeepLab v3+ with the loss of all networks of table 1, focal + Dice."""

    stage_name = "DeepLab v3+"

    @classmethod
    def describe_main_network(
        cls, configuration: ConfigurationManager, small_organs: Sequence[SmallOrgan]
    ) -> DeepLabConfig:
        """DeepLab v3+ in the plan's sizes."""
        return deeplab_config(configuration)
