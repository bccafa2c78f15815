"""Stock nnU-Net at its best on paired organs; nnU-Net finds it with nnUNet_extTrainer=benchmarks/trainers."""

from typing import Any

from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.training.nnUNetTrainer.variants.optimizer.nnUNetTrainerAdam import nnUNetTrainerAdam1en3
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from torch import nn

from nnunetv2_focusnet.trainers.left_right_trainer import LeftRightTrainer
from nnunetv2_focusnet.trainers.networks import lay_out_for_device


class StockTrainer(LeftRightTrainer):
    """nnUNetTrainer without what confuses left and right organs, and in the faster memory layout on a CPU.

    It keeps left and right apart as the package's own trainers do, but for their flip that swaps labels.
    """

    @staticmethod
    def build_network_architecture(plans_manager: PlansManager, *args: Any, **kwargs: Any) -> nn.Module:
        # nnU-Net tells today's signature from that of older trainers by the name of the first argument.
        return lay_out_for_device(nnUNetTrainer.build_network_architecture(plans_manager, *args, **kwargs))


class StockTrainerAdamW(StockTrainer, nnUNetTrainerAdam1en3):
    """The same with the optimiser of nnU-Net's own variant: AdamW at 1e-3."""
