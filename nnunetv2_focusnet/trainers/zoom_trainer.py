"""FocusNet with zoom: the plans' network on a coarser grid, small organs on the images' own voxels."""

from collections.abc import Sequence
from copy import deepcopy

from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager

from nnunetv2_focusnet.architectures.config import FocusNetConfig, SNetConfig
from nnunetv2_focusnet.organs.organ import SmallOrgan
from nnunetv2_focusnet.organs.plans_entry import PlansEntry
from nnunetv2_focusnet.trainers.networks import zoom_config, zoomed_patch, zoomed_snet_config, zoomed_spacing
from nnunetv2_focusnet.trainers.plans_network_trainer import FocusNetTrainerPlansNetwork
from nnunetv2_focusnet.trainers.trained_folds import TrainedFold

# Within slices, on the main network's grid: eyes lost 0.03 DSC at 3 mm, and 0.00 to 0.01 in four trainings at 2 mm.
COARSEST_MM = 2.5


class FocusNetTrainerZoom(FocusNetTrainerPlansNetwork):
    """Trains the plans' network on voxels as large as the plan's first stride, and SOS-Nets on the images' own.

    A patch covers as much more of the head, up to the whole image.
    """

    trains_patch_of_plans = False
    # Peaks are about 4 mm off, and an ROI needs no more context than the main network's features give it.
    largest_roi_margin_mm = 8.0

    def initialize(self) -> None:
        """As on the plans' grid; warns of voxels that are too coarse for large organs."""
        super().initialize()
        seen_mm = zoomed_spacing(self.configuration_manager)
        if round(sorted(seen_mm)[1], 2) > COARSEST_MM:  # slices may be thicker
            voxels = " x ".join(f"{mm:g}" for mm in seen_mm)
            self.print_to_log_file(
                f"WARNING: large organs are segmented on voxels of {voxels} mm, which may be too coarse for them:"
                " train FocusNetTrainerPlansNetwork, or plan finer voxels if the images have them."
            )

    def _add_organs_to_plans(self, trained: TrainedFold | None) -> PlansEntry:
        plans = deepcopy(self.plans_manager.plans)
        plans["configurations"][self.configuration_name]["patch_size"] = zoomed_patch(self.configuration_manager)
        self.use_plans(plans)
        return super()._add_organs_to_plans(trained)

    @classmethod
    def describe_network(
        cls, configuration: ConfigurationManager, small_organs: Sequence[SmallOrgan]
    ) -> FocusNetConfig:
        """SOS-Nets on the images' grid."""
        return zoom_config(configuration, small_organs, cls.describe_main_network(configuration))

    @classmethod
    def describe_main_network(cls, configuration: ConfigurationManager) -> SNetConfig | None:
        """The network on the coarser grid; None: the plans' own."""
        return None


class FocusNetTrainerZoomSNet(FocusNetTrainerZoom):
    """The same with S-Net on the coarser grid."""

    default_enable_deep_supervision = False

    @classmethod
    def describe_main_network(cls, configuration: ConfigurationManager) -> SNetConfig:
        """S-Net in the plan's sizes."""
        return zoomed_snet_config(configuration)
