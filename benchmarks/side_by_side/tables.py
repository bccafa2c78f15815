"""Markdown, CSV files and the plot of a benchmark."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path

from matplotlib.figure import Figure

from nnunetv2_focusnet.compare.style import DPI, model_colours
from side_by_side.curves import GROUPS, Curve, smooth
from side_by_side.figures import Figures
from side_by_side.flatness import Flatness
from side_by_side.goals import Goal
from side_by_side.patients import Patients
from side_by_side.state import Settings

WITH_RATIO = (
    *("step_seconds", "last_stage_step_seconds", "parameters", "peak_mib"),
    *("inference_seconds", "network_seconds"),
)
DIGITS = {"dsc": 3, "nsd": 3, "hd95": 2, "minutes": 1, "seconds": 3, "peak": 0, "missed": 1, "far": 1, "iterations": 0}
METRICS = {"dsc": "DSC", "nsd": "NSD at 1 mm", "hd95_mm": "HD95 (mm), where found"}


def describe(settings: Settings) -> str:
    def listed(values: Iterable[float] | None) -> str:
        return "x".join(f"{value:g}" for value in values) if values else "planned"

    time = f"{settings.minutes:g} minutes a training"
    if settings.same_iterations:
        time = f"iterations of {settings.minutes:g} minutes of the first trainer"
    processes = f"threads: {settings.threads_each}"
    if settings.parallel > 1:
        processes = f"{settings.parallel} trainings side by side, threads of each: {settings.threads_each}"
    plan = f"spacing {listed(settings.spacing)} mm, patch {listed(settings.patch)}"
    if settings.coarse_spacing:
        plan += f" (coarse: {listed(settings.coarse_spacing)} mm, patch {listed(settings.coarse_patch)})"
    widths = "/".join(map(str, settings.features))
    return f"{time}, {settings.device}, {processes}, {plan}, batch {settings.batch}, widths {widths}"


def flatness_rows(flatness: Mapping[str, Flatness]) -> list[dict[str, object]]:
    return [{"trainer": row} | rounded(asdict(each)) | {"flat": each.is_flat} for row, each in flatness.items()]


def goal_rows(goals: Mapping[str, Sequence[Goal]]) -> list[dict[str, object]]:
    return [{"trainer": trainer} | rounded(asdict(g)) for trainer, of_trainer in goals.items() for g in of_trainer]


def goals_table(goals: Sequence[Goal]) -> str:
    cells = [["figure", "goal", "stock's best", "its figure", "measured", "change", "95 % interval", ""]]
    for g in goals:
        values = [_number(g.stock), _number(g.measured), _change(g), _interval(g.low, g.high)]
        cells.append([g.figure, g.goal, g.stock_row, *values, g.verdict])
    return markdown(cells)


def trainers_table(figures: Sequence[Figures]) -> str:
    """A column per trainer; after times and sizes their ratio to the first one's."""
    cells = [["", *(row.trainer for row in figures)]]
    for name in [field.name for field in fields(Figures)][1:]:
        values = [_text(name, getattr(row, name)) for row in figures]
        if name in WITH_RATIO:
            first = getattr(figures[0], name)
            values = [f"{v} ({getattr(row, name) / first:.2f})" for v, row in zip(values, figures, strict=True)]
        cells.append([name.replace("_", " "), *values])
    return markdown(cells)


def organ_rows(patients: Patients, rows: Sequence[str], groups: Mapping[str, Sequence[str]]) -> list[dict[str, object]]:
    """Means over the patients that have the organ, then over seeds; missed and far voxels per training."""
    return [
        {"organ": organ, "group": group, "trainer": row}
        | rounded({metric: patients.mean(row, [organ], metric) for metric in METRICS})
        | rounded({column: patients.total(row, [organ], column) for column in ("missed", "far_voxels")})
        for group in reversed(GROUPS)
        for organ in groups[group]
        for row in rows
    ]


def organ_table(rows: Sequence[Mapping[str, object]], metric: str) -> str:
    """A line per organ, a column per trainer."""
    trainers = list(dict.fromkeys(str(row["trainer"]) for row in rows))
    lines: dict[str, list[str]] = {}
    for row in rows:
        lines.setdefault(str(row["organ"]), []).append(_text(metric, row[metric]))
    return markdown([["organ", *trainers], *([organ, *values] for organ, values in lines.items())])


def curve_rows(curves: Mapping[str, Curve]) -> list[dict[str, object]]:
    return [
        rounded(
            {"trainer": trainer, "epoch": epoch, "stage": curve.stages[epoch], "minutes": minutes}
            | {"iterations": curve.iterations[epoch]}
            | {f"dsc_{group}": curve.dsc[group][epoch] for group in GROUPS}
        )
        for trainer, curve in curves.items()
        for epoch, minutes in enumerate(curve.minutes)
    ]


def draw_curves(curves: Mapping[str, Curve], picture: Path) -> None:
    """Online DSC over training time: each epoch's as dots, smoothed as a line."""
    figure = Figure(figsize=(13, 5), layout="constrained", facecolor="white")
    colours = model_colours(list(curves))
    for ax, group in zip(figure.subplots(1, 2, sharey=True), GROUPS, strict=True):
        for trainer, curve in curves.items():
            ax.plot(curve.minutes, curve.dsc[group], ".", color=colours[trainer], alpha=0.4)
            ax.plot(curve.minutes, smooth(curve.dsc[group]), color=colours[trainer], label=trainer)
        ax.set(title=f"{group} organs", xlabel="training time (min)", ylim=(0, 1))
        ax.grid(alpha=0.3)
    figure.axes[0].set_ylabel("DSC, online validation")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside right center", fontsize="small")
    figure.savefig(picture, dpi=DPI)


def warn_of_time(figures: Sequence[Figures], settings: Settings) -> list[str]:
    """Trainers whose time differs from the budget by more than a tenth."""
    if settings.same_iterations:
        return []
    off = [row for row in figures if abs(row.train_minutes / settings.minutes - 1) > 0.1]
    return [f"{row.trainer} trained for {row.train_minutes:.1f} of {settings.minutes:g} minutes." for row in off]


def markdown(cells: Sequence[Sequence[str]]) -> str:
    header, *body = cells
    return "\n".join(f"| {' | '.join(line)} |" for line in (header, ["---"] * len(header), *body))


def rounded(row: Mapping[str, object]) -> dict[str, object]:
    return {key: round(value, 4) if isinstance(value, float) else value for key, value in row.items()}


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3g}"


def _change(goal: Goal) -> str:
    if math.isnan(goal.change):
        return "-"
    return f"x {goal.change:.2f}" if goal.is_ratio else f"{goal.change:+.3g}"


def _interval(low: float, high: float) -> str:
    return "" if math.isnan(low) else f"{low:+.3g} to {high:+.3g}"


def _text(name: str, value: object) -> str:
    if not isinstance(value, float):
        return f"{value:,}" if isinstance(value, int) else str(value)
    digits = next((n for key, n in DIGITS.items() if key in name), 3)
    return f"{value:.{digits}f}" if math.isfinite(value) else "-"
