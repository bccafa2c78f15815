"""What overflows, with a gradient scaler, which PyTorch has for the CPU as well, and without one."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from small_trainers import SmallPlansNetworkTrainer, SmallSNetTrainer
from test_focusnet_trainer import log_of, run

from nnunetv2_focusnet.trainers.skipped_steps import SkippedSteps


@pytest.fixture
def scaled(make_trainer: Any) -> Any:
    """A trainer with nnU-Net's steps for half precision; 8 steps an epoch."""
    trainer = make_trainer(SmallSNetTrainer)
    trainer.grad_scaler = torch.amp.GradScaler("cpu")
    trainer.num_epochs = 1
    trainer.num_iterations_per_epoch = 8
    return trainer


def overflow_in(trainer: Any, steps: set[int], value: float = math.inf, training: bool = True) -> None:
    """Make the loss of these training (or validation) steps overflow."""
    original, count = type(trainer.loss).add_up, iter(range(1000))

    def add_up(terms: dict[str, torch.Tensor]) -> torch.Tensor:
        if torch.is_grad_enabled() == training and next(count) in steps:
            terms = {name: term * value for name, term in terms.items()}
        return original(trainer.loss, terms)

    trainer.loss.add_up = add_up


def weights_of(trainer: Any) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in trainer.network.parameters()]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_single_overflows_are_left_out_and_counted(scaled: Any, value: float) -> None:
    scaled.initialize()
    overflow_in(scaled, {0, 3, 4, 7}, value)
    run(scaled)
    assert all(parameter.isfinite().all() for parameter in scaled.network.parameters())
    log = log_of(scaled)
    assert math.isfinite(log["train_losses"][0])
    terms = [values[0] for key, values in log.items() if key.startswith("loss/")]
    assert log["train_losses"][0] == pytest.approx(sum(terms), rel=1e-4)
    line = "4 of 8 training steps left out: not finite in half precision, on Head_000, Head_001"
    assert line in Path(scaled.log_file).read_text()


def test_a_step_that_overflows_changes_no_weight(scaled: Any) -> None:
    scaled.on_train_start()
    scaled.on_train_epoch_start()
    overflow_in(scaled, {0})
    before = weights_of(scaled)
    scaled.train_step(scaled.batch())
    assert all(torch.equal(old, new) for old, new in zip(before, weights_of(scaled), strict=True))
    scaled.train_step(scaled.batch())
    assert not all(torch.equal(old, new) for old, new in zip(before, weights_of(scaled), strict=True))


def test_sixteen_overflows_in_a_row_end_the_run(scaled: Any) -> None:
    scaled.initialize()
    overflow_in(scaled, set(range(16)))
    scaled.num_epochs, scaled.num_iterations_per_epoch = 2, 10
    with pytest.raises(RuntimeError, match="became NaN or infinite") as error:
        run(scaled)
    message = str(error.value)
    assert "\n" not in message
    assert "in 16 training steps in a row, with half precision, in epoch 1" in message
    assert "Head_000" in message


def test_other_optimisers_are_watched_as_well(make_trainer: Any) -> None:
    class WithSGD(SmallSNetTrainer):
        def configure_optimizers(self) -> Any:
            _, scheduler = super().configure_optimizers()
            scheduler.optimizer = torch.optim.SGD(self.network.parameters(), 1e-3)  # the scaler doesn't call its step
            return scheduler.optimizer, scheduler

    trainer = make_trainer(WithSGD)
    trainer.grad_scaler = torch.amp.GradScaler("cpu")
    trainer.num_iterations_per_epoch = 18  # else more than 16 would seem to be left out
    trainer.initialize()
    overflow_in(trainer, {3, 4})
    run(trainer)
    assert "2 of 18 training steps left out" in Path(trainer.log_file).read_text()


def test_an_image_that_is_broken_ends_the_run_in_half_precision_too(scaled: Any) -> None:
    original = scaled.batch

    def batch() -> dict[str, Any]:
        made = original()
        made["data"][1, 0, 0, 0, 0] = math.nan
        return made

    scaled.batch = batch
    with pytest.raises(RuntimeError, match="on the images of Head_001: which hold NaN or infinity") as error:
        run(scaled)
    assert "Head_000" not in str(error.value)
    assert all(parameter.isfinite().all() for parameter in scaled.network.parameters())


def test_a_finite_step_ends_the_row() -> None:
    steps = SkippedSteps()
    assert not any(steps.count(skipped, ["a"]) for skipped in [*[True] * 15, False, *[True] * 15])
    assert steps.count(True, ["b"])
    assert steps.reset() == (31, ["a", "b"])
    assert steps.reset() == (0, [])


def test_a_gradient_that_overflows_counts_though_its_loss_is_finite(scaled: Any) -> None:
    scaled.initialize()
    weight = next(scaled.network.parameters())
    weight.register_hook(lambda gradient: gradient * math.inf)
    scaled.num_epochs = 3
    with pytest.raises(
        RuntimeError, match="The gradient became NaN or infinite in 16 training steps in a row"
    ) as error:
        run(scaled)
    assert "\n" not in str(error.value)


def test_validation_leaves_out_what_overflows(scaled: Any) -> None:
    scaled.num_val_iterations_per_epoch = 4
    scaled.initialize()
    overflow_in(scaled, {1}, math.nan, training=False)
    run(scaled)
    assert math.isfinite(log_of(scaled)["val_losses"][0])
    assert "1 of 4 validation steps left out" in Path(scaled.log_file).read_text()


@pytest.mark.parametrize("overflowing", [0, 1])
def test_validation_of_small_organs_leaves_out_what_overflows(make_trainer: Any, overflowing: int) -> None:
    """Such a step says nothing of heat maps and shares, which the others do."""
    trainer = make_trainer(SmallPlansNetworkTrainer)
    trainer.grad_scaler = torch.amp.GradScaler("cpu")
    trainer.num_epochs = 1
    trainer.num_val_iterations_per_epoch = 3
    trainer.initialize()
    overflow_in(trainer, {overflowing}, math.nan, training=False)
    run(trainer)
    log = log_of(trainer)
    assert math.isfinite(log["val_losses"][0])
    assert log["voxels_by_share"][0] is not None
    assert "1 of 3 validation steps left out" in Path(trainer.log_file).read_text()


def test_in_single_precision_a_broken_loss_ends_the_run_before_it_reaches_the_weights(make_trainer: Any) -> None:
    trainer = make_trainer()
    trainer.on_train_start()
    trainer.on_train_epoch_start()
    overflow_in(trainer, {0}, math.nan)
    before = weights_of(trainer)
    with pytest.raises(RuntimeError, match="Loss term focal, dice became NaN or infinite in epoch 0"):
        trainer.train_step(trainer.batch())
    assert all(torch.equal(old, new) for old, new in zip(before, weights_of(trainer), strict=True))


@pytest.mark.parametrize("factor", [math.nan, math.inf])
def test_in_single_precision_a_broken_gradient_ends_the_run_before_it_reaches_the_weights(
    make_trainer: Any, factor: float
) -> None:
    trainer = make_trainer()
    trainer.on_train_start()
    trainer.on_train_epoch_start()
    next(trainer.network.main.parameters()).register_hook(lambda gradient: gradient * factor)
    before = weights_of(trainer)
    with pytest.raises(RuntimeError, match="The gradient became NaN or infinite in epoch 0, stage S-Net") as error:
        trainer.train_step(trainer.batch())
    assert "\n" not in str(error.value)
    assert all(torch.equal(old, new) for old, new in zip(before, weights_of(trainer), strict=True))


def test_a_resumed_run_checks_its_gradients_too(make_trainer: Any, left_by_kill: Any) -> None:
    folder = left_by_kill(1)
    trainer = make_trainer()
    trainer.load_checkpoint(str(folder / "checkpoint_latest.pth"))
    next(trainer.network.main.parameters()).register_hook(lambda gradient: gradient * math.nan)
    with pytest.raises(RuntimeError, match="The gradient became NaN"):
        run(trainer)


def test_bfloat16_has_the_losses_of_single_precision_within_one_percent(make_trainer: Any) -> None:
    losses: dict[bool, list[float]] = {}
    for half in (False, True):
        trainer = make_trainer(SmallSNetTrainer)
        trainer.on_train_start()
        trainer.on_train_epoch_start()
        batch = trainer.batch()
        for name in ("data", "target"):  # a corner with four of the organs: CPUs emulate bfloat16
            batch[name] = batch[name][:, :, :8, :16, 4:20]
        losses[half] = []
        for _ in range(50):
            # Anew in each step, as nnU-Net has it: autocast keeps the weights it has converted until it ends.
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                losses[half].append(float(trainer.train_step(batch)["loss"]))
    assert losses[False][-1] < losses[False][0]
    assert sum(losses[True]) == pytest.approx(sum(losses[False]), rel=0.01)
