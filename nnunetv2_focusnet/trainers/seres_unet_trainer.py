"""SERes U-Net with one to four downsamplings and the losses of the paper's table 2."""

from collections.abc import Sequence
from typing import ClassVar

from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager

from nnunetv2_focusnet.architectures.config import SEResUNetConfig
from nnunetv2_focusnet.organs.organ import SmallOrgan
from nnunetv2_focusnet.trainers.main_network_trainer import MainNetworkTrainer
from nnunetv2_focusnet.trainers.main_networks import seres_unet_config

CROSS_ENTROPY = {"cross_entropy": 1.0}
FOCAL = {"focal": 1.0}


class SEResUNetTrainer(MainNetworkTrainer):
    """Trains SERes U-Net with four downsamplings and focal + Dice loss (paper, table 1)."""

    stage_name = "SERes U-Net"
    num_downsamplings: ClassVar[int] = 4

    @classmethod
    def describe_main_network(
        cls, configuration: ConfigurationManager, small_organs: Sequence[SmallOrgan]
    ) -> SEResUNetConfig:
        """SERes U-Net in the plan's sizes."""
        return seres_unet_config(configuration, cls.num_downsamplings)


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
