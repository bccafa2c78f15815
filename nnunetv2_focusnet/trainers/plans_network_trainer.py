"""FocusNet's parts for the small organs on the network that the plans name, instead of on S-Net."""

from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager
from torch import nn

from nnunetv2_focusnet.architectures.focusnet import PARTS
from nnunetv2_focusnet.trainers.focusnet_trainer import FocusNetTrainer
from nnunetv2_focusnet.trainers.networks_from_plans import (
    build_focusnet_on_plans_network,
    lay_out_for_device,
    small_organs_of,
)
from nnunetv2_focusnet.trainers.schedule import Stage
from nnunetv2_focusnet.trainers.trained_with import keep_record


class FocusNetTrainerPlansNetwork(FocusNetTrainer):
    """Trains the plans' network with focal + Dice loss under deep supervision, and FocusNet's parts along with it.

    SOL-Net, of one block, reads the decoder's second finest layer, and SOS-Nets of half the width read what the main
    network says of their organs, besides: a step costs a quarter to a half more than a stock one. All parts train
    together from the start, and the main network follows mostly its own loss.
    """

    has_deep_supervision = True
    # Peaks of optic nerves were 4 to 5 mm off: three times a nerve's length is room for nothing but time and memory.
    largest_roi_margin_mm = 12.0

    @staticmethod
    def build_network_architecture(
        plans_manager: PlansManager,
        configuration_manager: ConfigurationManager,
        num_input_channels: int,
        num_output_channels: int,
        enable_deep_supervision: bool = True,
    ) -> nn.Module:
        """The plans' network with FocusNet's parts; nnU-Net calls this in training and inference."""
        network = build_focusnet_on_plans_network(
            configuration_manager, num_input_channels, num_output_channels, enable_deep_supervision
        )
        keep_record(network, plans_manager, configuration_manager, small_organs_of(configuration_manager))
        return lay_out_for_device(network)

    # nnU-Net's own again, which S-Net's trainer has no use for: the plans' networks have deep supervision.
    set_deep_supervision_enabled = nnUNetTrainer.set_deep_supervision_enabled

    def build_schedule(self) -> list[Stage]:
        """One stage: the main network needs no head start, as little of the small organs' gradient reaches it."""
        return [Stage("joint", PARTS, self.initial_lr, 0, self.num_epochs)]
