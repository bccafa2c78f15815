"""nnU-Net's trainer, less the augmentation that confuses left and right organs."""

import math
from pathlib import Path
from typing import Any

import torch
from nnunetv2.paths import nnUNet_preprocessed
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_focusnet.laterality import LeftRight, find_left_right, load_properties
from nnunetv2_focusnet.organs.dataset_json import DatasetJson
from nnunetv2_focusnet.system.json_files import read_object

MAX_ROTATION_WITH_SIDES = math.radians(30)


class LeftRightTrainer(nnUNetTrainer):
    """With organs on a side, mirrors along no left-right axis, also at test time, and turns by 30 degrees at most."""

    dataset: DatasetJson
    left_right: LeftRight

    def __init__(
        self,
        plans: dict[str, Any],
        configuration: str,
        fold: int,
        dataset_json: dict[str, Any],
        device: torch.device = torch.device("cuda"),  # noqa: B008 (the host's signature)
    ) -> None:
        # Before nnU-Net's constructor, which makes the results folder and takes dataset.json as it is.
        self.dataset = _check(dataset_json, plans["dataset_name"])
        super().__init__(plans, configuration, fold, dataset_json, device)

    def configure_rotation_dummyDA_mirroring_and_inital_patch_size(self) -> tuple[Any, bool, Any, tuple[int, ...]]:  # noqa: N802
        """nnU-Net's augmentation, less what would confuse left and right."""
        rotation, dummy_2d, initial_patch_size, mirror_axes = (
            super().configure_rotation_dummyDA_mirroring_and_inital_patch_size()
        )
        self.left_right = find_left_right(
            load_properties(Path(self.preprocessed_dataset_folder)),
            self.dataset.labels,
            self.plans_manager.transpose_forward,
            self.dataset.left_right_pairs,
        )
        self.print_to_log_file(self.left_right.message)
        if self.left_right.unsafe_axes:
            # Turned by more than 90 degrees the left organs lie where the right ones belong.
            limit = min(rotation[1], MAX_ROTATION_WITH_SIDES)
            rotation = (-limit, limit)
        mirror_axes = tuple(axis for axis in mirror_axes if axis not in self.left_right.unsafe_axes)
        self.inference_allowed_mirroring_axes = mirror_axes or None  # nnU-Net's predictor fails on an empty tuple
        return rotation, dummy_2d, initial_patch_size, mirror_axes


def _check(dataset_json: dict[str, Any], dataset_name: str) -> DatasetJson:
    file = Path(nnUNet_preprocessed, dataset_name, "dataset.json") if nnUNet_preprocessed.is_set() else None
    if file is not None and file.is_file():
        read_object(file)  # nnU-Net has read it, but of a key that is there twice it knows the last one alone
    return DatasetJson.check(dataset_json, file or "dataset.json")
