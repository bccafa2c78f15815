"""FocusNet's parts for the small organs on the network that the plans name, instead of on S-Net."""

from collections.abc import Sequence
from dataclasses import replace

from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager

from nnunetv2_focusnet.architectures.config import FocusNetConfig
from nnunetv2_focusnet.architectures.focusnet import PARTS
from nnunetv2_focusnet.organs.organ import SmallOrgan
from nnunetv2_focusnet.organs.plans_entry import PlansEntry
from nnunetv2_focusnet.trainers.networks import focusnet_config_on_plans_network, share_sos_nets
from nnunetv2_focusnet.trainers.schedule import Stage
from nnunetv2_focusnet.trainers.small_organs_trainer import SmallOrgansTrainer


class FocusNetTrainerPlansNetwork(SmallOrgansTrainer):
    """Trains the plans' network with focal + Dice loss under deep supervision, and FocusNet's parts along with it.

    SOL-Net, of one block, reads the decoder's second finest layer, and SOS-Nets of half the width correct what the
    main network says of their organs: on usual patches a step costs a tenth to a third more than a stock one. A
    left-right pair shares its SOS-Net, the right ROI mirrored. All parts train together from the start, and the main
    network follows mostly its own loss.
    """

    default_enable_deep_supervision = True
    relaxes_weights = True
    # Peaks of optic nerves were 4 to 5 mm off: three times a nerve's length is room for nothing but time and memory.
    largest_roi_margin_mm = 12.0

    @classmethod
    def describe_network(
        cls, configuration: ConfigurationManager, small_organs: Sequence[SmallOrgan]
    ) -> FocusNetConfig:
        """Lean parts for the small organs on the plans' network."""
        return focusnet_config_on_plans_network(configuration, small_organs)

    def complete(self, entry: PlansEntry) -> PlansEntry:
        """One SOS-Net for each pair that a flip may swap."""
        entry = super().complete(entry)
        return replace(entry, network=share_sos_nets(entry.network, entry.swap_flip))

    def build_schedule(self) -> list[Stage]:
        """One stage: the main network needs no head start, as little of the small organs' gradient reaches it."""
        return [Stage("joint", PARTS, self.initial_lr, 0, self.num_epochs)]
