"""DSC of online validation over training time."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from nnunetv2_focusnet.trainers.skipped_steps import mean_of_finite

LEAST_TARGET = 0.05
SMOOTHED_EPOCHS = 3
GROUPS = ("small", "large")


@dataclass(frozen=True)
class Curve:
    """Online validation of a training, a value per epoch; NaN where no patch held an organ of the group."""

    minutes: list[float]
    iterations: list[float]
    stages: list[str]
    dsc: dict[str, list[float]]  # by group


def read_curve(training: dict[str, Any], organs: Sequence[str], groups: Mapping[str, Sequence[str]]) -> Curve:
    """The curve of a training's record, whose DSCs are in the order of ``organs``."""

    def mean_of(group: str, of_epoch: Sequence[float]) -> float:
        return mean_of_finite([dsc for organ, dsc in zip(organs, of_epoch, strict=True) if organ in groups[group]])

    return Curve(
        [seconds / 60 for seconds in accumulate(training["seconds"])],
        list(accumulate(training["iterations"])),
        training["stage"],
        {group: [mean_of(group, of_epoch) for of_epoch in training["dice"]] for group in GROUPS},
    )


def mean_curve(curves: Sequence[Curve]) -> Curve:
    """The mean over trainings of one trainer, epoch by epoch."""

    def mean(values: Iterable[Sequence[float]]) -> list[float]:
        return [mean_of_finite(of_epoch) for of_epoch in zip(*values, strict=True)]

    return Curve(
        mean(curve.minutes for curve in curves),
        mean(curve.iterations for curve in curves),
        curves[0].stages,
        {group: mean(curve.dsc[group] for curve in curves) for group in GROUPS},
    )


def smooth(values: Sequence[float]) -> list[float]:
    """Mean of each epoch and the two before; the first two have none (NaN)."""
    windows = [values[max(0, i + 1 - SMOOTHED_EPOCHS) : i + 1] for i in range(len(values))]
    return [mean_of_finite(window) if len(window) == SMOOTHED_EPOCHS else math.nan for window in windows]


def minutes_to_reach(curve: Curve, dsc: float) -> float:
    """Time at which the smoothed DSC over small organs first is as high as this; infinite if never.

    NaN below ``LEAST_TARGET``: every curve is there from the start.
    """
    if dsc < LEAST_TARGET:
        return math.nan
    reached = (
        minutes for minutes, value in zip(curve.minutes, smooth(curve.dsc["small"]), strict=True) if value >= dsc
    )
    return next(reached, math.inf)


def minutes_to_best(curves: Mapping[str, Curve], others: Sequence[str]) -> dict[str, float]:
    """Time at which each row's curve is where the best of ``others`` ends, see :func:`minutes_to_reach`.

    Args:
        curves: each row's mean over its trainings; a single one may never reach the others' end.
        others: rows of which the best sets the target.
    """
    target = max(smooth(curves[row].dsc["small"])[-1] for row in others)
    return {row: minutes_to_reach(curve, target) for row, curve in curves.items()}
