"""Markdown, CSV files and the plot of a benchmark."""

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path

from matplotlib.figure import Figure

from nnunetv2_focusnet.compare.pictures import DPI, model_colours
from nnunetv2_focusnet.compare.results import Results
from nnunetv2_focusnet.compare.statistics import METRICS
from nnunetv2_focusnet.compare.tables import summary_table
from nnunetv2_focusnet.compare.templates import markdown_table
from side_by_side.scores import GROUPS, LEAST_LARGE_DSC, Curve, Figures, Goal, smooth
from side_by_side.state import Settings

WITH_RATIO = (
    *("step_seconds", "last_stage_step_seconds", "parameters", "peak_mib"),
    *("inference_seconds", "network_seconds"),
)
DIGITS = {"dsc": 3, "hd95": 2, "minutes": 1, "seconds": 3, "peak": 0}


def write_tables(
    folder: Path,
    settings: Settings,
    results: Results,
    figures: Sequence[Figures],
    goals: Mapping[str, Sequence[Goal]],
    curves: Mapping[str, Curve],
    warnings: Sequence[str],
) -> Path:
    """Write everything; returns the Markdown file."""
    write_csv(folder / "trainers.csv", [_rounded(asdict(row)) for row in figures])
    if goals:
        write_csv(folder / "goals.csv", goal_rows(goals))
    write_csv(folder / "organs.csv", organ_rows(results))
    write_csv(folder / "curves.csv", curve_rows(curves))
    draw_curves(curves, model_colours(results.models), folder / "curves.png")
    parts = [f"# {settings.dataset}: {describe(settings)}", *(f"**{warning}**" for warning in warnings)]
    for trainer, of_trainer in goals.items():
        parts += [f"## Goals of {trainer}, against the better stock row in each figure", goals_table(of_trainer)]
    parts += ["## Trainers", trainers_table(figures)]
    for metric in ("dsc", "hd95_mm"):
        parts += [f"## {METRICS[metric]}", markdown_table(summary_table(results, metric, False))]
    file = folder / "results.md"
    file.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return file


def describe(settings: Settings) -> str:
    def listed(values: Iterable[float] | None) -> str:
        return "x".join(f"{value:g}" for value in values) if values else "planned"

    time = f"{settings.minutes:g} minutes a trainer"
    if settings.same_iterations:
        time = f"iterations of {settings.minutes:g} minutes of the first trainer"
    return (
        f"{time}, {settings.device}, threads: {settings.threads}, spacing {listed(settings.spacing)} mm, patch "
        f"{listed(settings.patch)}, batch {settings.batch}, widths {'/'.join(map(str, settings.features))}"
    )


def goal_rows(goals: Mapping[str, Sequence[Goal]]) -> list[dict[str, object]]:
    return [{"trainer": trainer} | _rounded(asdict(g)) for trainer, of_trainer in goals.items() for g in of_trainer]


def goals_table(goals: Sequence[Goal]) -> str:
    cells = [["figure", "goal", "stock", "measured", "change", ""]]
    for g in goals:
        change = f"{g.change:+.3f}" if "DSC," in g.figure else f"x {g.change:.2f}"
        cells.append([g.figure, g.goal, f"{g.stock:.3g}", f"{g.measured:.3g}", change, g.verdict])
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


def organ_rows(results: Results) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for organ in results.organs:
        for model in results.models:
            dsc, hd95 = (results.summaries[organ, model, metric] for metric in ("dsc", "hd95_mm"))
            group = "small" if organ in results.small else "large"
            row = {"organ": organ, "group": group, "trainer": model, "cases": dsc.n, "dsc": dsc.mean}
            rows.append(_rounded(row | {"hd95_mm": hd95.mean, "hd95_cases": hd95.n, "missed": dsc.missed}))
    return rows


def curve_rows(curves: Mapping[str, Curve]) -> list[dict[str, object]]:
    return [
        _rounded(
            {"trainer": trainer, "epoch": epoch, "stage": curve.stages[epoch], "minutes": minutes}
            | {"iterations": curve.iterations[epoch]}
            | {f"dsc_{group}": curve.dsc[group][epoch] for group in GROUPS}
        )
        for trainer, curve in curves.items()
        for epoch, minutes in enumerate(curve.minutes)
    ]


def draw_curves(curves: Mapping[str, Curve], colours: Mapping[str, str], picture: Path) -> None:
    """Online DSC over training time: each epoch's as dots, smoothed as a line."""
    figure = Figure(figsize=(11, 4.5), layout="constrained", facecolor="white")
    for ax, group in zip(figure.subplots(1, 2, sharey=True), GROUPS, strict=True):
        for trainer, curve in curves.items():
            ax.plot(curve.minutes, curve.dsc[group], ".", color=colours[trainer], alpha=0.4)
            ax.plot(curve.minutes, smooth(curve.dsc[group]), color=colours[trainer], label=trainer)
        ax.set(title=f"{group} organs", xlabel="training time (min)", ylim=(0, 1))
        ax.grid(alpha=0.3)
    figure.axes[0].set_ylabel("DSC, online validation")
    figure.axes[1].legend()
    figure.savefig(picture, dpi=DPI)


def warn_of_stock(stock: Sequence[Figures]) -> list[str]:
    """What has to be said where stock hasn't begun to learn."""
    large = max(row.dsc_large for row in stock)
    if math.isnan(large):
        return ["There are no large organs: nothing shows whether stock has begun to learn."]
    if large >= LEAST_LARGE_DSC:
        return []
    return [
        f"Stock's mean DSC over large organs is {large:.2f}, below {LEAST_LARGE_DSC:.2f}: the budget is too short, and "
        "a win over it is no win."
    ]


def warn_of_time(figures: Sequence[Figures], settings: Settings) -> list[str]:
    """Trainers whose time differs from the budget by more than a tenth."""
    if settings.same_iterations:
        return []
    off = [row for row in figures if abs(row.train_minutes / settings.minutes - 1) > 0.1]
    return [f"{row.trainer} trained for {row.train_minutes:.1f} of {settings.minutes:g} minutes." for row in off]


def markdown(cells: Sequence[Sequence[str]]) -> str:
    header, *body = cells
    return "\n".join(f"| {' | '.join(line)} |" for line in (header, ["---"] * len(header), *body))


def write_csv(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _text(name: str, value: object) -> str:
    if not isinstance(value, float):
        return f"{value:,}" if isinstance(value, int) else str(value)
    digits = next((n for key, n in DIGITS.items() if key in name), 3)
    return f"{value:.{digits}f}" if math.isfinite(value) else "-"


def _rounded(row: Mapping[str, object]) -> dict[str, object]:
    return {key: round(value, 4) if isinstance(value, float) else value for key, value in row.items()}
