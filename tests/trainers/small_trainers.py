"""Trainers that take their batches from memory."""

from collections.abc import Iterator
from itertools import repeat
from typing import Any

import torch

from nnunetv2_focusnet.trainers.focusnet_trainer import FocusNetTrainer
from nnunetv2_focusnet.trainers.plans_network_trainer import FocusNetTrainerPlansNetwork
from nnunetv2_focusnet.trainers.snet_trainer import SNetTrainer
from nnunetv2_focusnet.trainers.zoom_trainer import FocusNetTrainerZoom

PATCH = (16, 32, 32)


class FewBatches:
    """Mixin: two iterations an epoch, always on the same batch, which holds every organ."""

    default_num_iterations_per_epoch, default_num_val_iterations_per_epoch = 2, 1
    keys = ("Head_000", "Head_001")
    draws_progress = False  # takes longer than all the rest of an epoch

    def on_train_start(self) -> None:
        super().on_train_start()  # type: ignore[misc]
        if not self.draws_progress:
            self.logger.plot_progress_png = lambda output_folder: None  # type: ignore[attr-defined]

    def on_train_epoch_start(self) -> None:
        torch.manual_seed(self.current_epoch)  # type: ignore[attr-defined]  # of how ROIs are moved, also when resumed
        super().on_train_epoch_start()  # type: ignore[misc]

    def get_dataloaders(self) -> tuple[Iterator[dict[str, Any]], Iterator[dict[str, Any]]]:
        self.configure_rotation_dummyDA_mirroring_and_inital_patch_size()  # type: ignore[attr-defined]
        batches = repeat(None)
        return (self.batch() for _ in batches), (self.batch() for _ in batches)

    def batch(self) -> dict[str, Any]:
        generator = torch.Generator().manual_seed(0)
        target = torch.zeros(2, 1, *self.configuration_manager.patch_size)  # type: ignore[attr-defined]
        for label in range(1, 10):
            target[:, :, 4:8, 3 * label : 3 * label + 3, 10:14] = label
        data = target + torch.randn(target.shape, generator=generator)
        scales = self._get_deep_supervision_scales()  # type: ignore[attr-defined]
        steps = [[round(1 / factor) for factor in scale] for scale in scales or ()]
        targets = [target[..., ::z, ::y, ::x] for z, y, x in steps]
        return {"data": data, "target": targets or target, "keys": list(self.keys), "flipped": [False, False]}


class SmallFocusNetTrainer(FewBatches, FocusNetTrainer):
    default_num_epochs = 8


class SmallPlansNetworkTrainer(FewBatches, FocusNetTrainerPlansNetwork):
    default_num_epochs = 3


class SmallSNetTrainer(FewBatches, SNetTrainer):
    default_num_epochs = 2


class SmallZoomTrainer(FewBatches, FocusNetTrainerZoom):
    default_num_epochs = 3
