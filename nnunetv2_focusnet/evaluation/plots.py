"""Plots: boxes per organ and model, and paired differences from the first model."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from nnunetv2_focusnet.evaluation.results import Results
from nnunetv2_focusnet.evaluation.statistics import METRICS, values_of

# After Okabe and Ito, so that colour-blind readers tell them apart; contours and boxes share them.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
DPI = 110


def model_colours(results: Results) -> dict[str, str]:
    """A colour for each model."""
    return {model: COLOURS[i % len(COLOURS)] for i, model in enumerate(results.models)}


def draw_boxes(results: Results, metric: str, picture: Path) -> None:
    """Boxes of a metric: an organ a row, a model a box; medians as lines, the small organs below a dashed line."""
    figure, ax = _organ_axes(results)
    width = 0.8 / len(results.models)
    for m, (model, colour) in enumerate(model_colours(results).items()):
        values = [_finite(values_of(results.rows, organ, model, metric).values()) for organ in results.organs]
        positions = [row + (m - (len(results.models) - 1) / 2) * width for row in range(len(results.organs))]
        boxes = ax.boxplot(
            values,
            positions=positions,
            widths=0.85 * width,
            orientation="horizontal",
            patch_artist=True,
            manage_ticks=False,
            flierprops={"markersize": 3, "markerfacecolor": colour, "markeredgecolor": colour},
            medianprops={"color": "black"},
        )
        for box in boxes["boxes"]:
            box.set(facecolor=colour, alpha=0.7)
    ax.set(xlabel=METRICS[metric])
    handles = [Patch(facecolor=colour, alpha=0.7, label=model) for model, colour in model_colours(results).items()]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), frameon=False)
    figure.savefig(picture, dpi=DPI)


def draw_differences(results: Results, model: str, metric: str, picture: Path) -> None:
    """Each case's difference from the first model as a dot, their mean with its 95 % interval as a bar."""
    figure, ax = _organ_axes(results)
    colour = model_colours(results)[model]
    for row, comparison in enumerate(results.comparisons[model, metric]):
        theirs, ours = (values_of(results.rows, comparison.organ, m, metric) for m in (results.models[0], model))
        differences = _finite(ours[case] - theirs[case] for case in ours.keys() & theirs.keys())
        ax.plot(differences, [row] * len(differences), "o", color=colour, alpha=0.4, markersize=4)
        ax.plot(comparison.interval, [row, row], color="black", linewidth=3)
        ax.plot([comparison.mean_difference], [row], "D", color="black", markersize=5)
    ax.axvline(0, color="0.4", linewidth=1)
    ax.set(xlabel=f"{METRICS[metric]}: {model} minus {results.models[0]}")
    figure.savefig(picture, dpi=DPI)


def _organ_axes(results: Results) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(9, 1.5 + 0.45 * len(results.organs)), layout="constrained", facecolor="white")
    ax = figure.subplots()
    ax.set_yticks(range(len(results.organs)), results.organs)
    ax.set_ylim(len(results.organs) - 0.5, -0.5)
    ax.grid(axis="x", color="0.9")
    ax.set_axisbelow(True)
    if results.large and results.small:
        ax.axhline(len(results.large) - 0.5, color="0.4", linestyle="--", linewidth=1)
    return figure, ax


def _finite(values: Iterable[float]) -> list[float]:
    return [value for value in values if math.isfinite(value)]
