"""Plots: boxes per organ and model, and paired differences from the first model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from nnunetv2_focusnet.compare.measurements import finite
from nnunetv2_focusnet.compare.results import Results
from nnunetv2_focusnet.compare.statistics import HIGHER_IS_BETTER, METRICS, pair
from nnunetv2_focusnet.compare.style import label, model_colours, model_hatches, new_picture
from nnunetv2_focusnet.system.text import one_line

ROW_HEIGHT = 0.32  # inches
NOTE_HEIGHT = 0.14  # of a line of text beside the axes
LARGEST_LEGEND = 3  # columns


def draw_boxes(results: Results, metric: str, picture: Path) -> None:
    """Boxes of a metric: an organ a row, a model a box; medians as lines, the small organs below a dashed line.

    Cases in which a model has no such value, as it missed the organ or found one that isn't there, are counted beside
    its box.
    """
    width = 0.8 / len(results.models)
    colours, hatches = model_colours(results.models), model_hatches(results.models)
    with _organ_axes(results, picture, len(results.models)) as (figure, ax):
        for m, (model, colour) in enumerate(colours.items()):
            positions = [row + (m - (len(results.models) - 1) / 2) * width for row in range(len(results.organs))]
            boxes = ax.boxplot(
                [_finite(results, organ, model, metric) for organ in results.organs],
                positions=positions,
                widths=0.85 * width,
                orientation="horizontal",
                patch_artist=True,
                manage_ticks=False,
                flierprops={"markersize": 3, "markerfacecolor": colour, "markeredgecolor": colour},
                medianprops={"color": "black"},
            )
            for box in boxes["boxes"]:
                box.set(facecolor=colour, alpha=0.7, hatch=hatches[model])
            for organ, position in zip(results.organs, positions, strict=True):
                _write_beside(ax, position, _without_value(results, organ, model, metric), colour)
        better = "higher is better →" if HIGHER_IS_BETTER[metric] else "← lower is better"
        ax.set(xlabel=f"{METRICS[metric]}\n{better}")
        handles = [
            Patch(facecolor=colour, edgecolor="black", alpha=0.7, hatch=hatches[model], label=label(model))
            for model, colour in colours.items()
        ]
        columns = min(len(handles), LARGEST_LEGEND)
        figure.legend(handles=handles, loc="outside upper center", ncols=columns, frameon=False)


def draw_differences(results: Results, model: str, metric: str, picture: Path) -> None:
    """Each case's difference from the first model as a dot, their mean with its 95 % interval as a bar.

    Pairs of cases that are left out, as one of the two has no value there, are counted beside them.
    """
    baseline = results.models[0]
    colour = model_colours(results.models)[model]
    with _organ_axes(results, picture, 3) as (_, ax):
        pairs = pair(results.measurements, baseline, model, metric)["difference"].dropna()
        by_organ = dict(list(pairs.groupby(level="organ")))
        for row, comparison in enumerate(results.comparisons[model, metric]):
            differences = by_organ.get(comparison.organ, pairs.iloc[:0])
            ax.plot(differences, [row] * len(differences), "o", color=colour, alpha=0.4, markersize=4)
            ax.plot(comparison.interval, [row, row], color="black", linewidth=3)
            ax.plot([comparison.mean_difference], [row], "D", color="black", markersize=5)
            if comparison.left_out:
                reasons = comparison.reasons(label(baseline), label(model))
                _write_beside(ax, row, "\n".join([f"{comparison.left_out} left out:", *reasons]), "0.2")
        ax.axvline(0, color="0.4", linewidth=1)
        better = f"{label(model)} is better →" if HIGHER_IS_BETTER[metric] else f"← {label(model)} is better"
        ax.set(xlabel=f"{METRICS[metric]}: {one_line(model)} minus {one_line(baseline)}\n{better}")


@contextmanager
def _organ_axes(results: Results, picture: Path, lines: int) -> Iterator[tuple[Figure, Axes]]:
    """A picture with a row per organ, each with room for some lines of text."""
    height = 1.5 + max(ROW_HEIGHT, NOTE_HEIGHT * lines) * len(results.organs)
    with new_picture(picture, 9, height) as figure:
        ax = figure.subplots()
        ax.set_yticks(range(len(results.organs)), [label(organ) for organ in results.organs])
        ax.set_ylim(len(results.organs) - 0.5, -0.5)
        ax.grid(axis="x", color="0.9")
        ax.set_axisbelow(True)
        if results.large and results.small:
            ax.axhline(len(results.large) - 0.5, color="0.4", linestyle="--", linewidth=1)
        yield figure, ax


def _write_beside(ax: Axes, row: float, text: str, colour: str) -> None:
    ax.text(
        *(1.01, row, text),
        transform=ax.get_yaxis_transform(),
        color=colour,
        fontsize="x-small",
        verticalalignment="center",
    )


def _finite(results: Results, organ: str, model: str, metric: str) -> np.ndarray:
    return finite(results.of(organ, model)[metric]).dropna().to_numpy()


def _without_value(results: Results, organ: str, model: str, metric: str) -> str:
    ours = results.of(organ, model)
    drawn_not = ours[~np.isfinite(ours[metric])]
    missed, extra = drawn_not["missed"].sum(), drawn_not["false_positive"].sum()
    return ", ".join([f"{missed} missed"] * bool(missed) + [f"{extra} false positive"] * bool(extra))
