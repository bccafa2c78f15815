"""Tables: CSV for programs, Markdown and LaTeX in the layout of the FocusNet paper (tables 1, 3 and 5)."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from nnunetv2_focusnet.evaluation.published import published_means
from nnunetv2_focusnet.evaluation.results import Results
from nnunetv2_focusnet.evaluation.statistics import HIGHER_IS_BETTER, METRICS

DIGITS = {"dsc": 3, "hd95_mm": 2, "nsd": 3}
PUBLISHED_MARK = " (published, not measured)"


def write_csv_files(results: Results, folder: Path) -> None:
    """metrics.csv, summary.csv and, with two models or more, paired.csv."""
    _write_csv(folder / "metrics.csv", (_metrics_row(row) for row in results.rows))
    _write_csv(
        folder / "summary.csv",
        (
            {"organ": organ, "group": _group(results, organ), "model": model, "metric": metric}
            | {name: value for name, value in asdict(summary).items() if name != "quartiles"}
            | {"q1": summary.quartiles[0], "q3": summary.quartiles[1]}
            for (organ, model, metric), summary in results.summaries.items()
        ),
    )
    if results.comparisons:
        _write_csv(
            folder / "paired.csv",
            (
                {"model": model, "baseline": results.models[0], "metric": metric}
                | {name: value for name, value in asdict(comparison).items() if name != "interval"}
                | {"interval_low": comparison.interval[0], "interval_high": comparison.interval[1]}
                for (model, metric), comparisons in results.comparisons.items()
                for comparison in comparisons
            ),
        )


def summary_table(results: Results, metric: str, bold: Callable[[str], str], published: bool) -> list[list[str]]:
    """Cells of a summary: a header, the large organs, the small ones, means over each group.

    Args:
        results: what was found.
        metric: key of ``METRICS``.
        bold: marks the best model of a row.
        published: add the columns of published methods, for DSC and HD95.
    """
    others = published_means(metric, results.organs) if published else {}
    table = [["organ", *results.models, *(f"{method}{PUBLISHED_MARK}" for method in others)]]
    for organ in results.organs:
        summaries = [results.summaries[organ, model, metric] for model in results.models]
        cells = [_mean_sd(s.mean, s.sd, metric) + _flags(s.missed, s.false_positives) for s in summaries]
        best = _best([summary.mean for summary in summaries], metric)
        cells = [bold(cell) if i in best else cell for i, cell in enumerate(cells)]
        table.append([organ, *cells, *(_number(values.get(organ, math.nan), metric) for values in others.values())])
    for group in results.groups:
        means = [results.group_mean(group, model, metric) for model in results.models]
        best = _best(means, metric)
        cells = [bold(_number(mean, metric)) if i in best else _number(mean, metric) for i, mean in enumerate(means)]
        table.append([f"mean, {group}", *cells, *("" for _ in others)])
    return table


def paired_table(results: Results, model: str, metric: str) -> list[list[str]]:
    """Cells of a paired comparison with the first model, organ by organ."""
    table = [["organ", "cases", "mean difference", "95 % interval", "p (Holm)", "effect size", "win / tie / loss"]]
    for c in results.comparisons[model, metric]:
        low, high = (_signed(value, metric) for value in c.interval)
        table.append(
            [
                *(c.organ, str(c.n), _signed(c.mean_difference, metric), f"{low} to {high}"),
                *(_p_value(c.p_holm), _signed(c.effect_size, "dsc"), f"{c.wins} / {c.ties} / {c.losses}"),
            ]
        )
    return table


def write_markdown(results: Results, path: Path, published: bool) -> None:
    """All tables as Markdown."""
    parts = ["# Comparison", caption(results)]
    for metric, title in METRICS.items():
        parts += [f"## {title}", _markdown(summary_table(results, metric, lambda cell: f"**{cell}**", published))]
    for model, metric in results.comparisons:
        parts += [f"## {model} minus {results.models[0]}: {METRICS[metric]}"]
        parts += [_markdown(paired_table(results, model, metric))]
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def write_latex(results: Results, path: Path, published: bool) -> None:
    """The summaries as LaTeX tables (booktabs), with a rule between large and small organs."""
    parts = []
    for metric, title in METRICS.items():
        header, *body = summary_table(results, metric, lambda cell: rf"\textbf{{{cell}}}", published)
        rules = {len(results.large), len(results.organs)} - {0}
        lines = [rf"\begin{{tabular}}{{l{'c' * (len(header) - 1)}}}", r"\toprule", _latex_row(header), r"\midrule"]
        for i, row in enumerate(body):
            lines += [r"\midrule"] if i in rules else []
            lines.append(_latex_row(row))
        parts.append("\n".join([rf"% {title}: {caption(results)}", *lines, r"\bottomrule", r"\end{tabular}"]))
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def caption(results: Results) -> str:
    """What the figures are, in a sentence or two."""
    cases = len({row.case for row in results.rows})
    return (
        f"Mean and standard deviation over {cases} cases, best model in bold; missed organs and false positives in "
        f"brackets, and HD95 over the cases in which it is finite. NSD within {results.tolerances}."
    )


def _metrics_row(row: object) -> dict[str, object]:
    flat = asdict(row)  # type: ignore[call-overload]
    metrics = flat.pop("metrics")
    of_row = row.metrics  # type: ignore[attr-defined]
    derived = {name: getattr(of_row, name) for name in ("volume_error_ml", "missed", "false_positive")}
    return flat | metrics | derived


def _write_csv(path: Path, rows: Iterable[dict[str, object]]) -> None:
    rows = list(rows)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _group(results: Results, organ: str) -> str:
    return "small" if organ in results.small else "large"


def _best(means: Sequence[float], metric: str) -> set[int]:
    """Positions of the best value as it is printed; nobody is best alone, or where nothing was measured."""
    rounded = [round(mean, DIGITS[metric]) for mean in means if math.isfinite(mean)]
    if len(means) < 2 or not rounded:
        return set()
    best = max(rounded) if HIGHER_IS_BETTER[metric] else min(rounded)
    return {i for i, mean in enumerate(means) if math.isfinite(mean) and round(mean, DIGITS[metric]) == best}


def _number(value: float, metric: str) -> str:
    return f"{value:.{DIGITS[metric]}f}" if math.isfinite(value) else "-"


def _signed(value: float, metric: str) -> str:
    return f"{value:+.{DIGITS[metric]}f}" if math.isfinite(value) else "-"


def _p_value(p: float) -> str:
    if math.isnan(p):
        return "-"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _mean_sd(mean: float, sd: float, metric: str) -> str:
    return f"{_number(mean, metric)} ± {_number(sd, metric)}"


def _flags(missed: int, false_positives: int) -> str:
    found = [f"{missed} missed"] * bool(missed) + [f"{false_positives} false positive"] * bool(false_positives)
    return f" ({', '.join(found)})" if found else ""


def _markdown(table: list[list[str]]) -> str:
    header, *body = table
    lines = [header, ["---"] * len(header), *body]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def _latex_row(cells: Sequence[str]) -> str:
    return " & ".join(cell.replace("_", r"\_").replace("%", r"\%").replace("±", r"$\pm$") for cell in cells) + r" \\"
