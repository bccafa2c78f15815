"""What nnU-Net finds when it searches this folder for a trainer.

nnU-Net imports this file as a top-level module and forgets it afterwards. Absolute re-exports make the class it finds
the one of the package, which pickles and reaches spawned workers.
"""

from nnunetv2_focusnet.trainers.demo_trainer import FocusNetDemoTrainer, StockDemoTrainer
from nnunetv2_focusnet.trainers.focusnet_trainer import (
    FocusNetTrainer,
    FocusNetTrainer_5epochs,
    FocusNetTrainer_100epochs,
    FocusNetTrainer_250epochs,
    FocusNetTrainerPaper,
)
from nnunetv2_focusnet.trainers.plans_network_trainer import FocusNetTrainerPlansNetwork
from nnunetv2_focusnet.trainers.snet_trainer import SNetTrainer
from nnunetv2_focusnet.trainers.zoom_trainer import FocusNetTrainerZoom

__all__ = [
    "FocusNetDemoTrainer",
    "FocusNetTrainer",
    "FocusNetTrainerPaper",
    "FocusNetTrainerPlansNetwork",
    "FocusNetTrainerZoom",
    "FocusNetTrainer_5epochs",
    "FocusNetTrainer_100epochs",
    "FocusNetTrainer_250epochs",
    "SNetTrainer",
    "StockDemoTrainer",
]
