"""S-Net alone on all organs."""

from nnunetv2_focusnet.trainers.main_network_trainer import MainNetworkTrainer
from nnunetv2_focusnet.trainers.main_networks import snet_config


class SNetTrainer(MainNetworkTrainer):
    """Trains S-Net on all organs, small ones included."""

    stage_name = "S-Net"
    main_config = staticmethod(snet_config)
