"""Networks in plain torch; nothing here knows of trainers, planning or files."""

from nnunetv2_focusnet.architectures.config import FocusNetConfig, SNetConfig
from nnunetv2_focusnet.architectures.focusnet import FocusNet
from nnunetv2_focusnet.architectures.snet import SNet

__all__ = ["FocusNet", "FocusNetConfig", "SNet", "SNetConfig"]
