"""Stock nnU-Net at its best on paired organs; nnU-Net finds it with nnUNet_extTrainer=benchmarks/trainers."""

from pathlib import Path
from typing import Any

from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.training.nnUNetTrainer.variants.optimizer.nnUNetTrainerAdam import nnUNetTrainerAdam1en3
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from torch import nn

from nnunetv2_focusnet.laterality import find_left_right, load_properties
from nnunetv2_focusnet.trainers.networks_from_plans import lay_out_for_device
from nnunetv2_focusnet.trainers.snet_trainer import MAX_ROTATION_WITH_PAIRS


class StockTrainer(nnUNetTrainer):
    """nnUNetTrainer without what confuses left and right organs, and in the faster memory layout on a CPU.

    Neither training nor prediction mirrors along the left-right axis, and rotations stay within 30 degrees where there
    are pairs: all but the label-swapping flip that the package's own trainers have.
    """

    @staticmethod
    def build_network_architecture(plans_manager: PlansManager, *args: Any, **kwargs: Any) -> nn.Module:
        # nnU-Net tells today's signature from that of older trainers by the name of the first argument.
        return lay_out_for_device(nnUNetTrainer.build_network_architecture(plans_manager, *args, **kwargs))

    def configure_rotation_dummyDA_mirroring_and_inital_patch_size(self) -> tuple[Any, bool, Any, tuple[int, ...]]:  # noqa: N802
        rotation, dummy_2d, initial_patch_size, mirror_axes = (
            super().configure_rotation_dummyDA_mirroring_and_inital_patch_size()
        )
        left_right = find_left_right(
            load_properties(Path(self.preprocessed_dataset_folder)),
            self.dataset_json["labels"],
            self.plans_manager.transpose_forward,
        )
        if left_right.pairs:
            limit = min(rotation[1], MAX_ROTATION_WITH_PAIRS)
            rotation = (-limit, limit)
        mirror_axes = tuple(axis for axis in mirror_axes if axis not in left_right.unsafe_axes)
        self.inference_allowed_mirroring_axes = mirror_axes or None  # nnU-Net's predictor fails on an empty tuple
        return rotation, dummy_2d, initial_patch_size, mirror_axes


class StockTrainerAdamW(StockTrainer, nnUNetTrainerAdam1en3):
    """The same with the optimiser of nnU-Net's own variant: AdamW at 1e-3."""
