"""The networks that the paper compares S-Net and FocusNet with, each alone on all organs."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager

from nnunetv2_focusnet.architectures.config import FocusNetConfig
from nnunetv2_focusnet.organs.organ import SmallOrgan
from nnunetv2_focusnet.trainers.main_network_trainer import MainNetworkTrainer
from nnunetv2_focusnet.trainers.main_networks import (
    anatomynet_config,
    count_parameters,
    deeplab_config,
    seres_unet_config,
    snet_config,
    widened,
)
from nnunetv2_focusnet.trainers.networks import build_network, focusnet_config

CROSS_ENTROPY = {"cross_entropy": 1.0}
FOCAL = {"focal": 1.0}


class SEResUNetTrainer(MainNetworkTrainer):
    """Trains SERes U-Net with four downsamplings and focal + Dice loss (paper, table 1)."""

    stage_name = "SERes U-Net"
    num_downsamplings: ClassVar[int] = 4

    @classmethod
    def describe_network(
        cls, configuration: ConfigurationManager, small_organs: Sequence[SmallOrgan]
    ) -> FocusNetConfig:
        """SERes U-Net in the plan's sizes."""
        return FocusNetConfig(main=seres_unet_config(configuration, cls.num_downsamplings))


class SEResUNetTrainer_CE(SEResUNetTrainer):  # noqa: N801 (the host's way to name variants)
    """Four downsamplings, cross-entropy: the baseline of table 2."""

    loss_factors = CROSS_ENTROPY


class SEResUNetTrainer_1ds_CE(SEResUNetTrainer_CE):  # noqa: N801
    """One downsampling, cross-entropy."""

    num_downsamplings = 1


class SEResUNetTrainer_2ds_CE(SEResUNetTrainer_CE):  # noqa: N801
    """Two downsamplings, cross-entropy."""

    num_downsamplings = 2


class SEResUNetTrainer_3ds_CE(SEResUNetTrainer_CE):  # noqa: N801
    """Three downsamplings, cross-entropy."""

    num_downsamplings = 3


class SEResUNetTrainer_1ds(SEResUNetTrainer):  # noqa: N801
    """One downsampling, focal + Dice loss: S-Net without DenseASPP."""

    num_downsamplings = 1


class SEResUNetTrainer_1ds_FL(SEResUNetTrainer_1ds):  # noqa: N801
    """One downsampling, focal loss alone."""

    loss_factors = FOCAL


class DeepLabV3PlusTrainer(MainNetworkTrainer):
    """Trains DeepLab v3+ in 3D with the loss of all networks of table 1, focal + Dice."""

    stage_name = "DeepLab v3+"
    main_config = staticmethod(deeplab_config)


class FatUNetTrainer(MainNetworkTrainer):
    """Trains Fat U-Net: S-Net, wider by one ratio, with as many parameters as ``FocusNetTrainer`` (paper, table 2)."""

    stage_name = "Fat U-Net"

    @classmethod
    def describe_network(
        cls, configuration: ConfigurationManager, small_organs: Sequence[SmallOrgan]
    ) -> FocusNetConfig:
        """S-Net as wide as FocusNet with these small organs has parameters."""
        config = focusnet_config(configuration, small_organs)
        with torch.device("meta"):
            focusnet = build_network(config, configuration, 1, 2, deep_supervision=False)
        return FocusNetConfig(main=widened(snet_config(configuration), count_parameters(focusnet)))


class AnatomyNetTrainer(MainNetworkTrainer):
    """Trains AnatomyNet, the strongest rival in table 3, with its own loss: Dice, and half of an unweighted focal loss.

    Others who wrote the loss from the paper have one half, too; its authors' script of AnatomyNet defines the focal
    loss and trains with Dice alone.
    """

    stage_name = "AnatomyNet"
    loss_factors = {"unweighted_focal": 0.5, "dice": 1.0}  # noqa: RUF012 (declared in the base class)
    main_config = staticmethod(anatomynet_config)
