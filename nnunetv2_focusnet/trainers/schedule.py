"""The stages of training and the learning rate within each."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from nnunetv2_focusnet.architectures.focusnet import PARTS

POLY_EXPONENT = 0.9  # as the host


@dataclass(frozen=True)
class Stage:
    """Epochs ``start`` to ``end`` (exclusive), in which ``parts`` of FocusNet are trained and the others frozen."""

    name: str
    parts: tuple[str, ...]
    initial_lr: float
    start: int
    end: int

    def learning_rate(self, epoch: int) -> float:
        """Poly schedule from ``initial_lr`` at the stage's first epoch towards 0 after its last."""
        remaining = max(0.0, 1 - (epoch - self.start) / (self.end - self.start))
        return self.initial_lr * remaining**POLY_EXPONENT

    def __str__(self) -> str:
        return f"{self.name} (epochs {self.start} to {self.end - 1})"


# Name, parts, share of the epochs, factor on the initial learning rate. The paper (sec. 3) gives the order; the first
# three shares are in proportion as in the first author's later code (600, 300, 300 epochs), which has no stage of all
# parts, but trains S-Net and SOL-Net together for 600 epochs. Joint training is fine-tuning: a lower rate.
_FOCUSNET_STAGES = (
    ("S-Net", ("main",), 1 / 3, 1.0),
    ("SOL", ("sol",), 1 / 6, 1.0),
    ("SOS", ("sos",), 1 / 6, 1.0),
    ("joint", PARTS, 1 / 3, 1 / 3),
)


def main_network_schedule(num_epochs: int, initial_lr: float, name: str = "S-Net") -> list[Stage]:
    """The main network alone, in one stage of that name."""
    return [Stage(name, ("main",), initial_lr, 0, num_epochs)]


def focusnet_schedule(num_epochs: int, initial_lr: float) -> list[Stage]:
    """The paper's stages as shares of ``num_epochs``, an epoch each at least; below four epochs just the joint one."""
    if num_epochs < len(_FOCUSNET_STAGES):
        return [Stage("joint", PARTS, initial_lr, 0, num_epochs)]
    ends = _divide(0, num_epochs, [share for _, _, share, _ in _FOCUSNET_STAGES])
    return [
        Stage(name, parts, initial_lr * factor, start, end)
        for (name, parts, _, factor), start, end in zip(_FOCUSNET_STAGES, [0, *ends[:-1]], ends, strict=True)
    ]


def resume_schedule(saved: Sequence[Stage], planned: Sequence[Stage], epoch: int) -> list[Stage]:
    """The stages of a run that goes on: no stage comes again, however long the trainer wants to train by now.

    Stages begin and end as in ``saved``. If there are more epochs now, the last stage gets them. If there are fewer,
    the stages that aren't over share what is left as they would have shared the rest of ``saved``; where that isn't an
    epoch each, the last stage gets it all, as in a very short run. With no epoch left nothing changes.

    Args:
        saved: stages that the run had.
        planned: those it would have if it began now. They give the number of epochs, and the learning rates: a stage
            whose name is in both has the rate of today.
        epoch: number of epochs that are done.
    """
    num_epochs = planned[-1].end
    today = {stage.name: stage for stage in planned}
    stages = [replace(today.get(stage.name, stage), start=stage.start, end=stage.end) for stage in saved]
    if num_epochs >= stages[-1].end:
        return [*stages[:-1], replace(stages[-1], end=num_epochs)]
    if num_epochs > epoch:
        return _shorten(stages, epoch, num_epochs)
    return stages


def _shorten(stages: Sequence[Stage], epoch: int, num_epochs: int) -> list[Stage]:
    over = [stage for stage in stages if stage.end <= epoch]
    ahead = [stage for stage in stages if stage.end > epoch]
    if num_epochs - epoch < len(ahead):
        begun = [replace(stage, end=epoch) for stage in ahead if stage.start < epoch]
        return [*over, *begun, replace(stages[-1], start=epoch, end=num_epochs)]
    ends = _divide(epoch, num_epochs, [stage.end - max(stage.start, epoch) for stage in ahead])
    starts = [ahead[0].start, *ends[:-1]]
    return [*over, *(replace(s, start=start, end=end) for s, start, end in zip(ahead, starts, ends, strict=True))]


def _divide(start: int, end: int, shares: Sequence[float]) -> list[int]:
    """Where stages end that have these shares of the epochs from ``start`` to ``end``, an epoch each at least."""
    spare = end - start - len(shares)
    return [start + i + round(spare * sum(shares[:i]) / sum(shares)) for i in range(1, len(shares) + 1)]


def stage_at(schedule: Sequence[Stage], epoch: int) -> Stage:
    """The stage that ``epoch`` belongs to; after the last epoch still the last stage."""
    return next((stage for stage in schedule if epoch < stage.end), schedule[-1])


def listed(schedule: Sequence[Stage]) -> str:
    """The stages and their epochs, for a line of the log."""
    return ", ".join(map(str, schedule))


class StagedPolyLR:
    """Learning rate of each stage's own poly schedule, with the call that nnU-Net makes: ``step(epoch)``.

    Args:
        optimizer: gets the rate in all its parameter groups.
        schedule: stages that follow each other.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, schedule: Sequence[Stage]) -> None:
        self.optimizer = optimizer
        self.schedule = schedule

    def step(self, epoch: int) -> None:
        """Set the rate for ``epoch``."""
        rate = stage_at(self.schedule, epoch).learning_rate(epoch)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
