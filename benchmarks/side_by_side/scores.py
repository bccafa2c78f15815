"""What a benchmark found: figures of each trainer, DSC over training time, and whether goals are met."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from statistics import fmean, median
from typing import Any

from nnunetv2_focusnet.compare.results import Results

LEAST_LARGE_DSC = 0.70
LEAST_TARGET = 0.05
SMOOTHED_EPOCHS = 3
GROUPS = ("small", "large")


@dataclass(frozen=True)
class Curve:
    """Online validation of a trainer, a value per epoch; NaN where no patch held an organ of the group."""

    minutes: list[float]
    iterations: list[int]
    stages: list[str]
    dsc: dict[str, list[float]]  # by group


def read_curve(training: dict[str, Any], organs: Sequence[str], results: Results) -> Curve:
    """The curve of a training's record, whose DSCs are in the order of ``organs``."""
    members = {"small": results.small, "large": results.large}

    def mean_of(group: str, of_epoch: Sequence[float]) -> float:
        return finite_mean(dsc for organ, dsc in zip(organs, of_epoch, strict=True) if organ in members[group])

    return Curve(
        [seconds / 60 for seconds in accumulate(training["seconds"])],
        list(accumulate(training["iterations"])),
        training["stage"],
        {group: [mean_of(group, of_epoch) for of_epoch in training["dice"]] for group in GROUPS},
    )


def finite_mean(values: Iterable[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return fmean(finite) if finite else math.nan


def smooth(values: Sequence[float]) -> list[float]:
    """Mean of each epoch and the two before; the first two have none (NaN)."""
    windows = [values[max(0, i + 1 - SMOOTHED_EPOCHS) : i + 1] for i in range(len(values))]
    return [finite_mean(window) if len(window) == SMOOTHED_EPOCHS else math.nan for window in windows]


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


@dataclass(frozen=True)
class Figures:
    """One trainer's row."""

    trainer: str
    dsc_small: float
    dsc_large: float
    hd95_small_mm: float
    hd95_large_mm: float
    missed_small: int
    missed_large: int
    train_minutes: float
    cpu_minutes: float
    epochs: int
    iterations: int
    step_seconds: float  # mean over all, with data loading
    last_stage: str
    last_stage_step_seconds: float  # median
    parameters: int
    peak_mib: float
    inference_seconds: float  # mean over the cases, from the raw image to the label map
    network_seconds: float  # of these, spent in the network
    minutes_to_stock_dsc: float


def read_figures(
    trainer: str, training: dict[str, Any], predicting: dict[str, Any], curve: Curve, target: float, results: Results
) -> Figures:
    """Figures of one trainer; ``target`` is the online DSC over small organs that stock has at the end."""
    last = training["stage"][-1]
    steps = [s for s, stage in zip(training["step_seconds"], training["stage"], strict=True) if stage == last]

    def mean_of(group: str, metric: str) -> float:
        name = f"{group} organs"
        return results.group_summary(name, trainer, metric).mean if name in results.groups else math.nan

    def missed(organs: Sequence[str]) -> int:
        return sum(results.summaries[organ, trainer, "dsc"].missed for organ in organs)

    return Figures(
        trainer=trainer,
        dsc_small=mean_of("small", "dsc"),
        dsc_large=mean_of("large", "dsc"),
        hd95_small_mm=mean_of("small", "hd95_mm"),
        hd95_large_mm=mean_of("large", "hd95_mm"),
        missed_small=missed(results.small),
        missed_large=missed(results.large),
        train_minutes=sum(training["seconds"]) / 60,
        cpu_minutes=sum(training["cpu_seconds"]) / 60,
        epochs=len(training["seconds"]),
        iterations=sum(training["iterations"]),
        step_seconds=sum(training["train_seconds"]) / sum(training["iterations"]),
        last_stage=last,
        last_stage_step_seconds=median(steps),
        parameters=training["parameters"],
        peak_mib=max(training["peak_mib"]),
        inference_seconds=fmean(case["total"] for case in predicting.values()),
        network_seconds=fmean(case["network"] for case in predicting.values()),
        minutes_to_stock_dsc=minutes_to_reach(curve, target),
    )


@dataclass(frozen=True)
class Goal:
    """A goal, the figures of stock and of a trainer, and whether they meet it.

    Attributes:
        change: measured minus stock for a DSC, else measured divided by stock.
        verdict: met, missed, or not applicable where there are no organs of the group, or stock has found none of them.
    """

    figure: str
    goal: str
    stock: float
    measured: float
    change: float
    verdict: str


def judge(trainer: Figures, stock: Sequence[Figures], dsc_margin: float) -> list[Goal]:
    """The goals, each against the better of the stock rows in just this figure."""

    def dsc_goal(figure: str, text: str, name: str, margin: float) -> Goal:
        measured, theirs = getattr(trainer, name), max(finite(stock, name), default=math.nan)
        verdict = "not applicable" if math.isnan(measured) else _verdict(measured >= theirs + margin)
        return Goal(figure, text, theirs, measured, measured - theirs, verdict)

    def factor_goal(figure: str, text: str, name: str, factor: float) -> Goal:
        measured, theirs = getattr(trainer, name), min(finite(stock, name), default=math.nan)
        ratio = measured / theirs if theirs else math.nan
        verdict = "not applicable" if math.isnan(theirs) else _verdict(measured <= factor * theirs)
        return Goal(figure, text, theirs, measured, ratio, verdict)

    gain = f"stock + {dsc_margin:.2f} or better"
    reached = "minutes to stock's final online DSC of small organs"
    return [
        dsc_goal("mean DSC, small organs", gain, "dsc_small", dsc_margin),
        factor_goal("small organs missed", "half of stock's or less", "missed_small", 0.5),
        factor_goal("mean HD95 (mm), small organs", "half of stock's or less", "hd95_small_mm", 0.5),
        dsc_goal("mean DSC, large organs", "stock - 0.01 or better", "dsc_large", -0.01),
        factor_goal(reached, "a third of stock's or less", "minutes_to_stock_dsc", 1 / 3),
        factor_goal("seconds per step, last stage", "1.5 times stock's or less", "last_stage_step_seconds", 1.5),
        factor_goal("inference, seconds per case", "1.3 times stock's or less", "inference_seconds", 1.3),
    ]


def finite(rows: Sequence[Figures], name: str) -> list[float]:
    return [value for row in rows if math.isfinite(value := getattr(row, name))]


def _verdict(met: bool) -> str:
    return "met" if met else "missed"
