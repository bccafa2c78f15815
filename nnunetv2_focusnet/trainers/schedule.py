"""The stages of training and the learning rate within each."""

from collections.abc import Sequence
from dataclasses import dataclass

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
        """Poly schedule from ``initial_lr`` at the stage's first epoch towards 0 behind its last."""
        remaining = max(0.0, 1 - (epoch - self.start) / (self.end - self.start))
        return self.initial_lr * remaining**POLY_EXPONENT


# Name, parts, share of the epochs, factor on the initial learning rate. The paper (sec. 3) gives the order; the shares
# are those of the first author's later code (600, 300, 300, 600 epochs). Joint training is fine-tuning: a lower rate.
_FOCUSNET_STAGES = (
    ("S-Net", ("main",), 1 / 3, 1.0),
    ("SOL", ("sol",), 1 / 6, 1.0),
    ("SOS", ("sos",), 1 / 6, 1.0),
    ("joint", PARTS, 1 / 3, 1 / 3),
)


def focusnet_schedule(num_epochs: int, initial_lr: float) -> list[Stage]:
    """The paper's stages as shares of ``num_epochs``, an epoch each at least; below four epochs just the joint one."""
    if num_epochs < len(_FOCUSNET_STAGES):
        return [Stage("joint", PARTS, initial_lr, 0, num_epochs)]
    spare = num_epochs - len(_FOCUSNET_STAGES)
    stages: list[Stage] = []
    share_so_far, start = 0.0, 0
    for i, (name, parts, share, factor) in enumerate(_FOCUSNET_STAGES):
        share_so_far += share
        end = i + 1 + round(spare * share_so_far)
        stages.append(Stage(name, parts, initial_lr * factor, start, end))
        start = end
    return stages


def stage_at(schedule: Sequence[Stage], epoch: int) -> Stage:
    """The stage that ``epoch`` belongs to; behind the last epoch still the last stage."""
    return next((stage for stage in schedule if epoch < stage.end), schedule[-1])


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
