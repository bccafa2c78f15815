"""What is trained on a configuration, as a network and a loss on the meta device: to count what it costs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from nnunetv2.training.loss.compound_losses import DC_and_CE_loss
from nnunetv2.training.loss.deep_supervision import DeepSupervisionWrapper
from nnunetv2.training.loss.dice import MemoryEfficientSoftDiceLoss
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager
from torch import Tensor, nn

from nnunetv2_focusnet.organs.plans_entry import PlansEntry
from nnunetv2_focusnet.planning.counting import Loss, StepCost, count_memory, count_step, parameter_bytes
from nnunetv2_focusnet.trainers.base import BaseTrainer
from nnunetv2_focusnet.trainers.networks import build_loss, build_network

RoiSize = tuple[int, int, int]
SMALL_EDGE, LARGE_EDGE = 4, 12  # voxels, of the ROIs that are counted to know the memory of any


@dataclass(frozen=True)
class Training:
    """A network in its costliest stage, in which all its parts are trained.

    Attributes:
        network: on the meta device.
        loss: of its output and the target.
        shape: (B, C, Z, Y, X) of a batch of images.
    """

    network: nn.Module
    loss: Loss
    shape: tuple[int, ...]

    @classmethod
    def by(
        cls,
        trainer: type[BaseTrainer],
        entry: PlansEntry,
        configuration: ConfigurationManager,
        input_channels: int,
        num_classes: int,
    ) -> Training:
        """What a trainer of this package trains.

        Args:
            trainer: its class.
            entry: of the plans, made by that trainer.
            configuration: of the plans.
            input_channels: channels of the images.
            num_classes: background included.
        """
        with torch.device("meta"):
            supervised = bool(trainer.default_enable_deep_supervision)
            network = build_network(entry.network, configuration, input_channels, num_classes, supervised)
            loss = build_loss(entry, None, trainer.loss_factors)
        return cls(network, loss, _shape(configuration, input_channels))

    @classmethod
    def by_stock(cls, configuration: ConfigurationManager, input_channels: int, num_classes: int) -> Training:
        """What ``nnUNetTrainer`` trains.

        Args:
            configuration: of any plans.
            input_channels: channels of the images.
            num_classes: background included.
        """
        with torch.device("meta"):
            network = get_network_from_plans(
                configuration.network_arch_class_name,
                configuration.network_arch_init_kwargs,
                configuration.network_arch_init_kwargs_req_import,
                input_channels,
                num_classes,
                deep_supervision=True,
            )
        return cls(network, _stock_loss, _shape(configuration, input_channels))

    @cached_property
    def memory_bytes(self) -> int:
        """As :func:`count_memory`."""
        return count_memory(self.network, self.loss, self.shape)

    @cached_property
    def step(self) -> StepCost:
        """As :func:`count_step`."""
        return count_step(self.network, self.loss, self.shape)


@dataclass(frozen=True)
class MemoryNeed:
    """How the memory of a training step grows: by sample, with the voxels of its patch and with those of its ROIs.

    Every layer has outputs in proportion to the one or the other, so this is exact, but for what a sample has once.
    Counting a patch takes a second or so, and a planner asks for dozens.

    Attributes:
        fixed: bytes of parameters, gradients and AdamW's state.
        per_voxel: bytes per voxel of a patch.
        per_roi_voxel: bytes per voxel of an ROI.
    """

    fixed: int
    per_voxel: float
    per_roi_voxel: float

    @classmethod
    def count(cls, training_with: Callable[[Sequence[RoiSize]], Training], roi_sizes: Sequence[RoiSize]) -> MemoryNeed:
        """Count a training with small and with larger ROIs.

        Args:
            training_with: what is trained with ROIs of these sizes.
            roi_sizes: of the small organs, to know how many they are.
        """

        def count_with(edge: int) -> tuple[Training, float, int]:
            """A training, its bytes per sample, and the voxels of its ROIs, which are cut to the patch."""
            training = training_with([(edge, edge, edge) for _ in roi_sizes])
            batch, _, *patch = training.shape
            saved = (training.memory_bytes - parameter_bytes(training.network)) / batch
            return training, saved, len(roi_sizes) * math.prod(min(edge, size) for size in patch)

        training, bytes_with_small, small = count_with(SMALL_EDGE)
        per_roi_voxel = 0.0
        if roi_sizes:
            _, bytes_with_large, large = count_with(LARGE_EDGE)
            per_roi_voxel = (bytes_with_large - bytes_with_small) / (large - small)
        voxels = math.prod(training.shape[2:])
        fixed = parameter_bytes(training.network)
        return cls(fixed, (bytes_with_small - per_roi_voxel * small) / voxels, per_roi_voxel)

    def of(self, batch: int, patch_size: Sequence[int], roi_sizes: Sequence[RoiSize]) -> float:
        """Bytes for a batch of patches with these ROIs."""
        rois = sum(math.prod(size) for size in roi_sizes)
        return self.fixed + batch * (self.per_voxel * math.prod(patch_size) + self.per_roi_voxel * rois)


def _shape(configuration: ConfigurationManager, input_channels: int) -> tuple[int, ...]:
    return configuration.batch_size, input_channels, *configuration.patch_size


def _stock_loss(logits: Sequence[Tensor], targets: Sequence[Tensor]) -> Tensor:
    """Dice and cross-entropy of all resolutions but the coarsest, in single precision, as autocast computes them."""
    weights = [0.5**i for i in range(len(logits) - 1)] + [0.0]
    dice: dict[str, Any] = {"batch_dice": True, "smooth": 1e-5, "do_bg": False, "ddp": False}
    loss = DC_and_CE_loss(dice, {}, dice_class=MemoryEfficientSoftDiceLoss)
    return DeepSupervisionWrapper(loss, weights)([each.float() for each in logits], targets)
