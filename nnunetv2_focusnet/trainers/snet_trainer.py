"""S-Net alone on all organs, as it is and widened."""

from collections.abc import Sequence

import torch
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager

from nnunetv2_focusnet.architectures.config import SNetConfig
from nnunetv2_focusnet.organs.organ import SmallOrgan
from nnunetv2_focusnet.trainers.main_network_trainer import MainNetworkTrainer
from nnunetv2_focusnet.trainers.main_networks import count_parameters, snet_config, widened
from nnunetv2_focusnet.trainers.networks import build_network, focusnet_config


class SNetTrainer(MainNetworkTrainer):
    """Trains S-Net on all organs, small ones included."""

    stage_name = "S-Net"

    @classmethod
    def describe_main_network(
        cls, configuration: ConfigurationManager, small_organs: Sequence[SmallOrgan]
    ) -> SNetConfig:
        """S-Net in the plan's sizes."""
        return snet_config(configuration)


class FatUNetTrainer(MainNetworkTrainer):
    """Trains Fat U-Net: S-Net, wider by one ratio, with as many parameters as ``FocusNetTrainer`` (paper, table 2)."""

    stage_name = "Fat U-Net"

    @classmethod
    def describe_main_network(
        cls, configuration: ConfigurationManager, small_organs: Sequence[SmallOrgan]
    ) -> SNetConfig:
        """S-Net as wide as FocusNet with these small organs has parameters."""
        config = focusnet_config(configuration, small_organs)
        with torch.device("meta"):
            focusnet = build_network(config, configuration, 1, 2, deep_supervision=False)
        return widened(snet_config(configuration), count_parameters(focusnet))
