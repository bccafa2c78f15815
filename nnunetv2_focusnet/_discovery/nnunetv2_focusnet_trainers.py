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
    FocusNetTrainer_ROI2x,
    FocusNetTrainer_ROI5x,
    FocusNetTrainerPaper,
)
from nnunetv2_focusnet.trainers.paper_networks import (
    AnatomyNetTrainer,
    DeepLabV3PlusTrainer,
    FatUNetTrainer,
    SEResUNetTrainer,
    SEResUNetTrainer_1ds,
    SEResUNetTrainer_1ds_CE,
    SEResUNetTrainer_1ds_FL,
    SEResUNetTrainer_2ds_CE,
    SEResUNetTrainer_3ds_CE,
    SEResUNetTrainer_CE,
)
from nnunetv2_focusnet.trainers.plans_network_trainer import FocusNetTrainerPlansNetwork
from nnunetv2_focusnet.trainers.snet_trainer import SNetTrainer
from nnunetv2_focusnet.trainers.zoom_trainer import FocusNetTrainerZoom, FocusNetTrainerZoomSNet

__all__ = [
    "AnatomyNetTrainer",
    "DeepLabV3PlusTrainer",
    "FatUNetTrainer",
    "FocusNetDemoTrainer",
    "FocusNetTrainer",
    "FocusNetTrainerPaper",
    "FocusNetTrainerPlansNetwork",
    "FocusNetTrainerZoom",
    "FocusNetTrainerZoomSNet",
    "FocusNetTrainer_5epochs",
    "FocusNetTrainer_100epochs",
    "FocusNetTrainer_250epochs",
    "FocusNetTrainer_ROI2x",
    "FocusNetTrainer_ROI5x",
    "SEResUNetTrainer",
    "SEResUNetTrainer_1ds",
    "SEResUNetTrainer_1ds_CE",
    "SEResUNetTrainer_1ds_FL",
    "SEResUNetTrainer_2ds_CE",
    "SEResUNetTrainer_3ds_CE",
    "SEResUNetTrainer_CE",
    "SNetTrainer",
    "StockDemoTrainer",
]
