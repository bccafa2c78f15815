"""nnU-Net's planner with FocusNet's memory: patch and batch for what a trainer of this package really trains."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from nnunetv2.configuration import default_num_processes
from nnunetv2.experiment_planning.experiment_planners.default_experiment_planner import ExperimentPlanner
from nnunetv2.paths import nnUNet_preprocessed
from nnunetv2.utilities.json_export import recursive_fix_for_json_export
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager

from nnunetv2_focusnet.architectures.config import DeepLabConfig, SNetConfig
from nnunetv2_focusnet.organs.dataset_json import DatasetJson, channels_of
from nnunetv2_focusnet.organs.measuring import measure_raw_organs
from nnunetv2_focusnet.organs.organ import Organ
from nnunetv2_focusnet.organs.plans_entry import KEY, PlansEntry
from nnunetv2_focusnet.planning.counting import GIB
from nnunetv2_focusnet.planning.meta_training import MemoryNeed, RoiSize, Training
from nnunetv2_focusnet.system.files import write_text
from nnunetv2_focusnet.system.json_files import read_object
from nnunetv2_focusnet.trainers.base import BaseTrainer
from nnunetv2_focusnet.trainers.focusnet_trainer import FocusNetTrainer

PLANS_NAME = "nnUNetFocusNetPlans"
# Voxels of a patch's longest axis: what is smaller shows no organ, unless it shows the whole image.
SHORTEST_PATCH = 16
FOR_LARGE_IMAGES = ("3d_lowres", "3d_cascade_fullres")  # configurations that nnU-Net doesn't always plan
BASES = ("inherits_from", "previous_stage")  # by which a configuration names another one
# Of what a patch would be along the other axes: less would cost all organs more context than the largest ROI gains.
SHARES_FOR_ROIS = (0.9, 0.8, 0.7, 0.6, 0.5)


def read_configurations(plans_file: Path) -> dict[str, dict[str, Any]]:
    """The configurations of a plans file, each as it is written there.

    Raises:
        ValueError: as :func:`read_object`, or it has none.
    """
    configurations = read_object(plans_file).get("configurations")
    if not isinstance(configurations, dict) or not all(isinstance(each, dict) for each in configurations.values()):
        raise ValueError(f'{plans_file} must hold "configurations", an object of objects: correct it')
    return configurations


class FocusNetPlanner(ExperimentPlanner):  # type: ignore[misc]
    """Plans as nnU-Net does, but for what a trainer of this package needs.

    - Patch and batch are the largest for which the last stage of training, in which all parts are trained, fits into
      ``gpu_memory_target_in_gb``. nnU-Net goes by the feature maps of a U-Net.
    - The patch holds the ROI of every small organ where the memory allows it.
    - Organs, ROIs, loss weights and the network are in the plans. Training adds what only preprocessed images tell: the
      flip that swaps sides, and which pairs share a SOS-Net, whose ROIs are then equally large. Memory is counted as if
      none did: with pairs, a step holds the ROIs of one side.

    Spacing, order of axes, normalisation and the stages of the U-Net are nnU-Net's own, hence its own trainers can use
    the plans, too. The 2D configuration is nnU-Net's.

    Args:
        dataset_name_or_id: as nnU-Net has it.
        gpu_memory_target_in_gb: memory (GiB) that a training step may hold.
        preprocessor_name: as nnU-Net has it.
        plans_name: of the plans file.
        overwrite_target_spacing: in mm, in the images' order of axes.
        suppress_transpose: as nnU-Net has it.
        trainer: what to plan for.
        num_processes: processes that read label files.

    Raises:
        ValueError: dataset.json isn't as :class:`DatasetJson` needs it.
    """

    def __init__(
        self,
        dataset_name_or_id: str | int,
        gpu_memory_target_in_gb: float = 8,
        preprocessor_name: str = "DefaultPreprocessor",
        plans_name: str = PLANS_NAME,
        overwrite_target_spacing: Sequence[float] | None = None,
        suppress_transpose: bool = False,
        *,
        trainer: type[BaseTrainer] = FocusNetTrainer,
        num_processes: int = default_num_processes,
    ) -> None:
        super().__init__(
            dataset_name_or_id,
            gpu_memory_target_in_gb,
            preprocessor_name,
            plans_name,
            overwrite_target_spacing,
            suppress_transpose,
        )
        self.checked_dataset = DatasetJson.check(self.dataset_json, Path(self.raw_dataset_folder, "dataset.json"))
        self.trainer = trainer
        self.num_processes = num_processes
        # The estimate is in bytes for a batch of two, and nnU-Net scales this with the memory that it is given.
        self.UNet_reference_val_3d = self.UNet_reference_val_corresp_GB * GIB
        self.measured: list[Organ] = []  # extents along the axes of the files
        self.organs: list[Organ] = []  # and of the network
        self._spacing: list[float] = []
        self._longest_side = 0  # voxels
        self._needs: dict[str, MemoryNeed] = {}

    def plan_experiment(self) -> dict[str, Any]:
        """Measure the organs in the label files of the raw dataset, then plan and save the plans.

        Raises:
            ValueError: as :func:`measure_raw_organs`; the images are 2D; not even the smallest patch fits.
        """
        self.measured = self.measured or measure_raw_organs(
            [Path(case["label"]) for case in self.dataset.values()],
            self.checked_dataset,
            reader=self.determine_reader_writer(),
            num_processes=self.num_processes,
        )
        (z, y, x), _ = self.determine_transpose()
        self.organs = [
            replace(organ, extent_mm=(organ.extent_mm[z], organ.extent_mm[y], organ.extent_mm[x]))
            for organ in self.measured
        ]
        return super().plan_experiment()

    def get_plans_for_configuration(
        self,
        spacing: Any,
        median_shape: Any,
        data_identifier: str,
        approximate_n_voxels_dataset: float,
        _cache: dict[str, Any],
    ) -> dict[str, Any]:
        """nnU-Net's plan of one configuration; in 3D with the organs, for their memory and with room for their ROIs."""
        if len(spacing) != 3:
            return super().get_plans_for_configuration(
                spacing, median_shape, data_identifier, approximate_n_voxels_dataset, _cache
            )
        self._spacing = [float(mm) for mm in spacing]
        arguments = spacing, data_identifier, approximate_n_voxels_dataset
        plan = self._plan_as_if(median_shape, *arguments)
        short = missing = self._too_short_for_rois(plan, median_shape)
        for share in SHARES_FOR_ROIS:
            if not missing.any() or short.all():
                break
            # nnU-Net shortens the axis that covers most of the image: as if the image were smaller along the others.
            # In whole voxels: of a fraction it would make a patch that the strides don't divide.
            smaller = np.round(np.array(median_shape) * share)
            other = self._plan_as_if(np.where(short, median_shape, smaller), *arguments)
            missing = self._too_short_for_rois(other, median_shape)
            short = short | missing
            plan = plan if missing.any() else other
        while plan["batch_size"] > self.UNet_min_batch_size and self.memory_of(plan) > self.UNet_vram_target_GB * GIB:
            plan["batch_size"] -= 1  # nnU-Net rounds to the nearest, which may be more than fits
        return plan | {"median_image_size_in_voxels": median_shape, KEY: self.entry_of(plan).to_json()}

    def static_estimate_VRAM_usage(  # type: ignore[override]  # noqa: N802 (nnU-Net's name; there no organ matters)
        self,
        patch_size: Sequence[int],
        input_channels: int,
        output_channels: int,
        arch_class_name: str,
        arch_kwargs: dict[str, Any],
        arch_kwargs_req_import: Sequence[str],
    ) -> float:
        """In 3D the bytes that training holds with a batch of two; in 2D nnU-Net's own measure.

        Raises:
            ValueError: the patch has become too small to be of use.
        """
        if len(patch_size) != 3:
            return super().static_estimate_VRAM_usage(
                patch_size, input_channels, output_channels, arch_class_name, arch_kwargs, arch_kwargs_req_import
            )
        if max(patch_size) < min(SHORTEST_PATCH, self._longest_side):
            raise ValueError(
                f"{self.dataset_name}: no patch for {self.trainer.__name__} fits into {self.UNet_vram_target_GB:g} GB:"
                " give a larger -gpu_memory_target"
            )
        architecture = {
            "network_class_name": arch_class_name,
            "arch_kwargs": arch_kwargs,
            "_kw_requires_import": arch_kwargs_req_import,
        }
        return self.memory_of(
            {"spacing": self._spacing, "patch_size": patch_size, "batch_size": 2, "architecture": architecture}
        )

    def save_plans(self, plans: dict[str, Any]) -> None:
        """Save the plans, with what was added by hand to older ones of that name.

        nnU-Net would keep whatever new ones lack, so also a 3d_lowres for another trainer or memory.

        Raises:
            ValueError: the images are 2D; the older plans can't be read, or what was added to them builds on a
                configuration that isn't planned any more.
            WriteError: the file can't be written.
        """
        if "3d_fullres" not in plans["configurations"]:
            raise ValueError(
                f"{self.dataset_name} has 2D images, and FocusNet is for volumes: plan with"
                " nnUNetv2_plan_and_preprocess, and train nnU-Net's own trainers"
            )
        recursive_fix_for_json_export(plans)
        file = Path(nnUNet_preprocessed, self.dataset_name, f"{self.plans_identifier}.json")
        older = read_configurations(file) if file.is_file() else {}
        planned = {*plans["configurations"], *FOR_LARGE_IMAGES}
        added = {name: older[name] for name in older if name not in planned}
        _check_bases(file, added, {*plans["configurations"], *added})
        plans["configurations"] |= added
        write_text(file, json.dumps(plans, indent=4))

    @property
    def num_channels(self) -> int:
        """Channels of the images."""
        return len(channels_of(self.dataset_json))

    @property
    def num_classes(self) -> int:
        """Channels of the logits, background included."""
        return len(self.checked_dataset.labels) + 1

    def entry_of(self, plan: dict[str, Any]) -> PlansEntry:
        """Organs at the spacing of a 3D configuration and in its patch, and the network, whatever entry it has."""
        # Neither JSON nor torch want the integers of NumPy that nnU-Net's planner has.
        sizes = {"spacing": list(map(float, plan["spacing"])), "patch_size": list(map(int, plan["patch_size"]))}
        return self.trainer.plan_entry(self.organs, self.checked_dataset, ConfigurationManager(plan | sizes))

    def training_of(self, plan: dict[str, Any], entry: PlansEntry | None = None) -> Training:
        """What the trainer trains on a 3D configuration.

        Args:
            plan: the configuration.
            entry: if it isn't the one that fits its patch.
        """
        return Training.by(
            self.trainer,
            entry or self.entry_of(plan),
            ConfigurationManager(plan),
            self.num_channels,
            self.num_classes,
        )

    def memory_of(self, plan: dict[str, Any]) -> float:
        """Bytes that training on a 3D configuration holds at its peak, at whatever patch and batch it has."""
        entry = self.entry_of(plan)
        network = entry.network

        def training_with(roi_sizes: Sequence[RoiSize]) -> Training:
            return self.training_of(plan, replace(entry, network=replace(network, roi_sizes=tuple(roi_sizes))))

        # The layers, whatever the patch: dilations follow it, and change no size.
        main = network.main
        if isinstance(main, SNetConfig | DeepLabConfig):
            main = replace(main, dilations=())
        layers = str([replace(network, main=main, roi_sizes=()), main or plan["architecture"]])
        if layers not in self._needs:
            self._needs[layers] = MemoryNeed.count(training_with, network.roi_sizes)
        return self._needs[layers].of(plan["batch_size"], plan["patch_size"], network.roi_sizes)

    def _plan_as_if(
        self, median_shape: Any, spacing: Any, data_identifier: str, approximate_n_voxels_dataset: float
    ) -> dict[str, Any]:
        """nnU-Net's plan for images of this median shape."""
        self._longest_side = max(median_shape)
        # nnU-Net's cache doesn't know that ROIs, and with them the memory, depend on the spacing.
        return super().get_plans_for_configuration(
            spacing, median_shape, data_identifier, approximate_n_voxels_dataset, {}
        )

    def _too_short_for_rois(self, plan: dict[str, Any], median_shape: Any) -> np.ndarray:
        """The axes (3, bool) along which an ROI is longer than the patch, although the image isn't shorter."""
        wanted = np.max(
            [(0, 0, 0), *(organ.wanted_roi_size for organ in self.entry_of(plan).organs_with_networks)], axis=0
        )
        patch = np.array(plan["patch_size"])
        return (wanted > patch) & (np.array(median_shape) > patch)


def _check_bases(plans_file: Path, added: dict[str, dict[str, Any]], there: set[str]) -> None:
    """What was added by hand must build on what is there: nnU-Net notices once everything is preprocessed."""
    lacking = [
        f"{name} on {base}"
        for name, configuration in added.items()
        for base in map(configuration.get, BASES)
        if base and base not in there
    ]
    if lacking:
        raise ValueError(
            f"{plans_file} has configurations that build on others which aren't planned any more"
            f" ({', '.join(lacking)}): take them out of that file, or plan under another name with"
            " -overwrite_plans_name"
        )
