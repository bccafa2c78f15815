"""AnatomyNet, the strongest rival in the paper's table 3."""

from collections.abc import Sequence

from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager

from nnunetv2_focusnet.architectures.config import AnatomyNetConfig
from nnunetv2_focusnet.organs.organ import SmallOrgan
from nnunetv2_focusnet.trainers.main_network_trainer import MainNetworkTrainer
from nnunetv2_focusnet.trainers.main_networks import anatomynet_config


class AnatomyNetTrainer(MainNetworkTrainer):
    """Trains AnatomyNet with its own loss: Dice, and half of a focal loss that has no weights.

    Others who wrote the loss from the paper have one half, too; its authors' script of AnatomyNet defines the focal
    loss and trains with Dice alone.
    """

    stage_name = "AnatomyNet"
    loss_factors = {"unweighted_focal": 0.5, "dice": 1.0}  # noqa: RUF012 (declared in the base class)

    @classmethod
    def describe_main_network(
        cls, configuration: ConfigurationManager, small_organs: Sequence[SmallOrgan]
    ) -> AnatomyNetConfig:
        """AnatomyNet in the plan's sizes."""
        return anatomynet_config(configuration)
