"""FocusNetTrainerPlansNetwork with one thing changed; nnU-Net finds them with nnUNet_extTrainer=benchmarks/trainers."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager

from nnunetv2_focusnet.architectures.config import FocusNetConfig
from nnunetv2_focusnet.organs.organ import SmallOrgan
from nnunetv2_focusnet.organs.plans_entry import PlansEntry
from nnunetv2_focusnet.trainers.base import BaseTrainer
from nnunetv2_focusnet.trainers.plans_network_trainer import FocusNetTrainerPlansNetwork
from nnunetv2_focusnet.trainers.small_organs_trainer import SmallOrgansTrainer
from nnunetv2_focusnet.trainers.zoom_trainer import FocusNetTrainerZoom


class _Changed(FocusNetTrainerPlansNetwork):
    """Numbers of the network that are others than the trainer's."""

    changes: ClassVar[dict[str, Any]] = {}

    @classmethod
    def describe_network(
        cls, configuration: ConfigurationManager, small_organs: Sequence[SmallOrgan]
    ) -> FocusNetConfig:
        """The trainer's network with the changes."""
        return replace(super().describe_network(configuration, small_organs), **cls.changes)


class NarrowSOSNets(_Changed):
    """SOS-Nets with four channels and one block, half of today's smallest."""

    changes: ClassVar[dict[str, Any]] = {"sos_features": 4, "sos_blocks": 1}


class SOSNetsFromNothing(_Changed):
    """SOS-Nets that say by themselves where the organ is, instead of correcting the main network."""

    changes: ClassVar[dict[str, Any]] = {"sos_corrects_main": False}


class SOSNetForEachOrgan(FocusNetTrainerPlansNetwork):
    """A left-right pair has two SOS-Nets, which are both trained in each step."""

    def complete(self, entry: PlansEntry) -> PlansEntry:
        """Without shared networks."""
        return BaseTrainer.complete(self, entry)


class _BothSides(SmallOrgansTrainer):
    """In each step a SOS-Net that is shared by a pair is trained with both of its organs."""

    def initialize(self) -> None:
        """With the ROIs of all organs."""
        super().initialize()
        network = self.bare_network
        network.organs_of_step = lambda: range(len(network.config.small_organs))


class BothSides(_BothSides, FocusNetTrainerPlansNetwork):
    """Both organs of a pair in each step."""


class ZoomBothSides(_BothSides, FocusNetTrainerZoom):
    """Zoom with both organs of a pair in each step."""


class WeightsByFusedDSC(FocusNetTrainerPlansNetwork):
    """Focal weights go to 1 as organs are learned by all parts together, not by the main network."""

    def dsc_for_weights(self) -> np.ndarray:
        """That of the fused label map."""
        return BaseTrainer.dsc_for_weights(self)


class ROIsAtPeaks(FocusNetTrainerPlansNetwork):
    """In training, too, ROIs are where SOL-Net finds the organs, right or wrong."""

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """A step without the labels as a further channel."""
        return BaseTrainer.train_step(self, batch)


class WeightsStay(FocusNetTrainerPlansNetwork):
    """Focal weights by inverse size until the end, as in the paper."""

    relaxes_weights = False


class EqualWeights(FocusNetTrainerPlansNetwork):
    """No focal weights from the start."""

    loss_factors: ClassVar[dict[str, float]] = {"unweighted_focal": 1.0, "dice": 1.0}


class DiceAndCrossEntropy(FocusNetTrainerPlansNetwork):
    """The main network is trained with Dice and cross-entropy."""

    loss_factors: ClassVar[dict[str, float]] = {"cross_entropy": 1.0, "dice": 1.0}


class NoSwapFlip(FocusNetTrainerPlansNetwork):
    """Training images are not flipped left-right with swapped labels."""

    def first_transforms(self) -> list[BasicTransform]:
        """None."""
        return []
