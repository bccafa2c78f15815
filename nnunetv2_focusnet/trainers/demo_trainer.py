"""FocusNet and stock nnU-Net in the few steps that the demo has time for: for its phantom, not for patients."""

from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_focusnet.trainers.focusnet_trainer import FocusNetTrainer
from nnunetv2_focusnet.trainers.host import ClassSettings

EPOCHS, STEPS_PER_EPOCH = 12, 40
STEPS = EPOCHS * STEPS_PER_EPOCH


class FewSteps(ClassSettings):
    """Mixin: a run of a few minutes on 2 CPU cores, the same number of steps for every trainer."""

    default_num_epochs = EPOCHS
    default_num_iterations_per_epoch = STEPS_PER_EPOCH
    default_num_val_iterations_per_epoch = 2


class FocusNetDemoTrainer(FewSteps, FocusNetTrainer):
    """FocusNet in the demo."""


class StockDemoTrainer(FewSteps, nnUNetTrainer):
    """Stock nnU-Net in the demo."""
