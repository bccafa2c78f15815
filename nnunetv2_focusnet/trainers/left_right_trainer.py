"""nnU-Net's trainer, less the augmentation that confuses left and right organs."""

import math
from pathlib import Path
from typing import Any

from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_focusnet.laterality import LeftRight, find_left_right, load_properties

MAX_ROTATION_WITH_PAIRS = math.radians(30)


class LeftRightTrainer(nnUNetTrainer):
    """With paired organs, mirrors along no left-right axis, also at test time, and turns by 30 degrees at most."""

    left_right: LeftRight

    def configure_rotation_dummyDA_mirroring_and_inital_patch_size(self) -> tuple[Any, bool, Any, tuple[int, ...]]:  # noqa: N802
        """nnU-Net's augmentation, less what would confuse left and right."""
        rotation, dummy_2d, initial_patch_size, mirror_axes = (
            super().configure_rotation_dummyDA_mirroring_and_inital_patch_size()
        )
        self.left_right = find_left_right(
            load_properties(Path(self.preprocessed_dataset_folder)),
            self.dataset_json["labels"],
            self.plans_manager.transpose_forward,
        )
        if self.left_right.pairs:
            # Turned by more than 90 degrees the left organs lie where the right ones belong.
            limit = min(rotation[1], MAX_ROTATION_WITH_PAIRS)
            rotation = (-limit, limit)
        mirror_axes = tuple(axis for axis in mirror_axes if axis not in self.left_right.unsafe_axes)
        self.inference_allowed_mirroring_axes = mirror_axes or None  # nnU-Net's predictor fails on an empty tuple
        return rotation, dummy_2d, initial_patch_size, mirror_axes
