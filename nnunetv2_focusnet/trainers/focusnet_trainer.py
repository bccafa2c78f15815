"""FocusNet in the paper's stages: S-Net, SOL-Net, SOS-Nets, all of them together."""

from collections.abc import Sequence

from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager

from nnunetv2_focusnet.architectures.config import FocusNetConfig
from nnunetv2_focusnet.organs.organ import SmallOrgan
from nnunetv2_focusnet.trainers.networks import focusnet_config, paper_config
from nnunetv2_focusnet.trainers.schedule import Stage, focusnet_schedule, main_network_schedule
from nnunetv2_focusnet.trainers.small_organs_trainer import SmallOrgansTrainer


class FocusNetTrainer(SmallOrgansTrainer):
    """Trains FocusNet; with no small organ in the dataset, S-Net. The stages are shares of ``num_epochs``."""

    @classmethod
    def describe_network(
        cls, configuration: ConfigurationManager, small_organs: Sequence[SmallOrgan]
    ) -> FocusNetConfig:
        """FocusNet in the plan's sizes."""
        return focusnet_config(configuration, small_organs)

    def build_schedule(self) -> list[Stage]:
        """The paper's stages; with no small organ just the first."""
        stages = focusnet_schedule if self.small_organs else main_network_schedule
        return stages(self.num_epochs, self.initial_lr)


class FocusNetTrainerPaper(FocusNetTrainer):
    """Trains FocusNet without what makes :class:`FocusNetTrainer` cheaper, in 1.4 to 1.7 times the memory.

    Heat maps are at full resolution, and S-Net's one downsampling is the plan's first, on ordinary CTs (1, 2, 2).
    """

    @classmethod
    def describe_network(
        cls, configuration: ConfigurationManager, small_organs: Sequence[SmallOrgan]
    ) -> FocusNetConfig:
        """As the paper has it."""
        return paper_config(configuration, small_organs)


class FocusNetTrainer_ROI2x(FocusNetTrainer):  # noqa: N801 (the host's way to name variants)
    """FocusNet with ROIs twice as long as their organs, whatever dataset.json says (paper, table 2)."""

    roi_scale = 2.0


class FocusNetTrainer_ROI5x(FocusNetTrainer):  # noqa: N801
    """FocusNet with ROIs five times as long as their organs, whatever dataset.json says (paper, table 2)."""

    roi_scale = 5.0


class FocusNetTrainer_5epochs(FocusNetTrainer):  # noqa: N801
    """FocusNet in 5 epochs, for a look at whether everything runs."""

    default_num_epochs = 5


class FocusNetTrainer_100epochs(FocusNetTrainer):  # noqa: N801
    """FocusNet in 100 epochs."""

    default_num_epochs = 100


class FocusNetTrainer_250epochs(FocusNetTrainer):  # noqa: N801
    """FocusNet in 250 epochs."""

    default_num_epochs = 250
