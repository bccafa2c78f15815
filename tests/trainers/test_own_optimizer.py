"""Optimisers and learning rates: the package's own, and those of subclasses and of stock nnU-Net's mix-ins."""

from typing import Any

import pytest
import torch
from nnunetv2.training.lr_scheduler.polylr import PolyLRScheduler
from nnunetv2.training.nnUNetTrainer.variants.optimizer.nnUNetTrainerAdam import nnUNetTrainerAdam
from small_trainers import SmallFocusNetTrainer, SmallSNetTrainer

from nnunetv2_focusnet.trainers.schedule import StagedPolyLR


def test_the_optimiser_is_that_of_the_docs(make_trainer: Any) -> None:
    trainer = make_trainer(SmallSNetTrainer)
    trainer.initialize()
    (group,) = trainer.optimizer.param_groups
    assert type(trainer.optimizer) is torch.optim.AdamW
    assert (group["lr"], group["weight_decay"]) == (3e-3, 1e-2)
    assert type(trainer.lr_scheduler) is StagedPolyLR


class StockAdam(nnUNetTrainerAdam, SmallFocusNetTrainer):
    """Its configure_optimizers doesn't call that of the next class."""


def started(trainer: Any, epoch: int) -> Any:
    """The trainer at the beginning of an epoch, with that epoch's rate."""
    trainer.on_train_start()
    trainer.current_epoch = epoch
    trainer.on_train_epoch_start()
    return trainer


def test_a_stock_mix_in_has_its_own_optimiser_and_rate_and_the_stages_stay(make_trainer: Any) -> None:
    trainer = started(make_trainer(StockAdam), 4)
    assert trainer.stage.name == "SOS"
    (group,) = trainer.optimizer.param_groups
    assert group["amsgrad"]
    assert group["lr"] == pytest.approx(3e-3 * 0.5**0.9)  # nnU-Net's, after half of 8 epochs


class OwnRate(SmallFocusNetTrainer):
    def configure_optimizers(self) -> tuple[torch.optim.Optimizer, Any]:
        optimizer, _ = super().configure_optimizers()
        return optimizer, PolyLRScheduler(optimizer, 0.5, 8, exponent=1)


def test_a_rate_of_one_s_own_stays(make_trainer: Any) -> None:
    trainer = started(make_trainer(OwnRate), 6)
    assert trainer.stage.name == "joint"
    assert trainer.optimizer.param_groups[0]["lr"] == 0.5 * 2 / 8
