"""nnU-Net's trainer, less the augmentation that confuses left and right organs."""

import math
from functools import cached_property
from pathlib import Path
from typing import Any

from nnunetv2_focusnet.laterality import LeftRight, find_left_right, load_properties
from nnunetv2_focusnet.organs.dataset_json import DatasetJson
from nnunetv2_focusnet.system.json_files import read_object
from nnunetv2_focusnet.trainers.host import HostTrainer, dataset_json_file

MAX_ROTATION_WITH_SIDES = math.radians(30)


class LeftRightTrainer(HostTrainer):
    """With organs on a side, mirrors along no left-right axis, also at test time, and turns by 30 degrees at most."""

    dataset: DatasetJson

    def check_arguments(self, plans: dict[str, Any], configuration: str, dataset_json: dict[str, Any]) -> None:
        """Check dataset.json, which nnU-Net takes as it is.

        Raises:
            ValueError: it isn't as :class:`DatasetJson` needs it.
        """
        super().check_arguments(plans, configuration, dataset_json)
        file = dataset_json_file(plans["dataset_name"])
        if file is not None:
            read_object(file)  # nnU-Net has read it, but of a key that is there twice it knows the last one alone
        self.dataset = DatasetJson.check(dataset_json, file or "dataset.json")

    def initialize(self) -> None:
        """As nnU-Net does, and log what is flipped, and what isn't mirrored.

        Raises:
            ValueError: a subclass mirrors left and right.
        """
        super().initialize()
        if unsafe := sorted({*self.find_mirror_axes()} & {*self.left_right.unsafe_axes}):
            raise ValueError(
                f"{type(self).__name__} mirrors along axis {unsafe[0]}, which would make left organs right ones under"
                " their old names: one of its classes replaces nnU-Net's"
                " configure_rotation_dummyDA_mirroring_and_inital_patch_size, so leave it out"
            )
        self.print_to_log_file(self.left_right.message)

    def limit_augmentation(
        self, rotation: tuple[float, float], mirror_axes: tuple[int, ...]
    ) -> tuple[tuple[float, float], tuple[int, ...]]:
        """Leave out what would confuse left and right."""
        if self.left_right.unsafe_axes:
            # Turned by more than 90 degrees the left organs lie where the right ones belong.
            limit = min(rotation[1], MAX_ROTATION_WITH_SIDES)
            rotation = (-limit, limit)
        return rotation, tuple(axis for axis in mirror_axes if axis not in self.left_right.unsafe_axes)

    @cached_property
    def left_right(self) -> LeftRight:
        """Paired organs, and the axis along which a flip swaps them, in the preprocessed images."""
        return find_left_right(
            load_properties(Path(self.preprocessed_dataset_folder)),
            self.dataset.labels,
            self.plans_manager.transpose_forward,
            self.dataset.left_right_pairs,
        )
