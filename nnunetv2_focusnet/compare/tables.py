"""Tables: CSV for programs, Markdown and LaTeX in the layout of the FocusNet paper (tables 1, 3 and 5)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from statistics import fmean

import pandas as pd

from nnunetv2_focusnet.compare.markup import Cell
from nnunetv2_focusnet.compare.published import published_means
from nnunetv2_focusnet.compare.results import Results
from nnunetv2_focusnet.compare.statistics import HIGHER_IS_BETTER, METRICS, WITHOUT_MISSED, GroupSummary, Summary
from nnunetv2_focusnet.compare.templates import render
from nnunetv2_focusnet.system.files import write_text

DIGITS = {"dsc": 3, "hd95_mm": 2, "nsd": 3, "volume_error_ml": 2, "centroid_distance_mm": 2}
PUBLISHED_MARK = " (published, not measured)"


def write_csv_files(results: Results, folder: Path) -> None:
    """metrics.csv, summary.csv and, with two models or more, paired.csv."""
    _write_csv(folder / "metrics.csv", results.measurements)
    _write_csv(
        folder / "summary.csv",
        pd.DataFrame(
            {"organ": organ, "group": _group(results, organ), "model": model, "metric": metric} | asdict(summary)
            for (organ, model, metric), summary in results.summaries.items()
        ),
    )
    if results.comparisons:
        _write_csv(
            folder / "paired.csv",
            pd.DataFrame(
                {"model": model, "baseline": results.models[0], "metric": metric}
                | {name: value for name, value in asdict(comparison).items() if name != "interval"}
                | {"interval_low": comparison.interval[0], "interval_high": comparison.interval[1]}
                for (model, metric), comparisons in results.comparisons.items()
                for comparison in comparisons
            ),
        )


def summary_table(results: Results, metric: str, published: bool) -> list[list[Cell]]:
    """A summary: a header, the large organs, the small ones, means over each group.

    Args:
        results: what was found.
        metric: key of ``METRICS``.
        published: add the columns of published methods.
    """
    others = published_means(results.organs, metric) if published else {}
    table = [_plain("organ", *results.models, *(f"{method}{PUBLISHED_MARK}" for method in others))]
    for organ in results.organs:
        published_cells = (format_number(values.get(organ, math.nan), metric) for values in others.values())
        table.append([Cell(organ), *_organ_cells(results, organ, metric), *_plain(*published_cells)])
    for group, organs in results.groups.items():
        published_cells = (_published_mean(values, organs, metric) for values in others.values())
        table.append([Cell(f"mean, {group}"), *_group_cells(results, group, metric), *_plain(*published_cells)])
    return table


def details_table(results: Results, metric: str) -> list[list[Cell]]:
    """All that was found of a metric of ``SUMMARISED``: a header, then a row per organ and model."""
    table = [_plain("organ", "model", "cases", "mean", "sd", "median", "quartiles", "missed", "false positive")]
    for organ in results.organs:
        for model in results.models:
            s = results.summaries[organ, model, metric]
            mean, sd, median, q1, q3 = (format_number(value, metric) for value in (s.mean, s.sd, s.median, s.q1, s.q3))
            counts = (str(s.missed), str(s.false_positives))
            table.append(_plain(organ, model, str(s.n), mean, sd, median, f"{q1} to {q3}", *counts))
    return table


def paired_table(results: Results, model: str, metric: str) -> list[list[Cell]]:
    """A paired comparison with the first model, organ by organ; pairs that are left out only where there are such."""
    comparisons = results.comparisons[model, metric]
    with_left_out = any(c.left_out for c in comparisons)
    left_out = ["left out"] * with_left_out
    statistics = ("mean difference", "95 % interval", "p (Holm)", "effect size", "win / tie / loss")
    table = [_plain("organ", "cases", *left_out, *statistics)]
    for c in comparisons:
        low, high = (_signed(value, metric) for value in c.interval)
        reasons = ", ".join(c.reasons(results.models[0], model))
        left_out = [f"{c.left_out} ({reasons})" if c.left_out else "0"] * with_left_out
        table.append(
            _plain(
                *(c.organ, str(c.n), *left_out, _signed(c.mean_difference, metric), f"{low} to {high}"),
                *(_p_value(c.p_holm), _signed(c.effect_size, "dsc"), f"{c.wins} / {c.ties} / {c.losses}"),
            )
        )
    return table


def write_markdown(results: Results, path: Path, published: bool) -> None:
    """All tables as Markdown."""
    tables = [(title, summary_table(results, metric, published)) for metric, title in METRICS.items()]
    tables += [(paired_title(results, *key), paired_table(results, *key)) for key in results.comparisons]
    write_text(path, render("summary.md", caption=caption(results), tables=tables))


def write_latex(results: Results, path: Path, published: bool) -> None:
    """The summaries as LaTeX tables (booktabs), with a rule between large and small organs."""
    rules = {1, 1 + len(results.large), 1 + len(results.organs)}  # above these rows
    tables = [(title, summary_table(results, metric, published), rules) for metric, title in METRICS.items()]
    write_text(path, render("summary.tex", caption=caption(results), tables=tables))


def paired_title(results: Results, model: str, metric: str) -> str:
    """Which models a paired comparison is of."""
    return f"{model} minus {results.models[0]}: {METRICS[metric]}"


def caption(results: Results) -> str:
    """What the figures are, in a few sentences."""
    cases = len(results.cases)
    counted = "1 case" if cases == 1 else f"{cases} cases"
    several = len(results.models) > 1
    parts = [f"Mean and standard deviation over those of {counted} that have the organ or a prediction of it."]
    if several:
        parts.append(
            "The best model is in bold; of HD95, the best among those that missed the fewest, and none where the means"
            " of these are over different cases."
        )
    parts.append(
        "Missed organs and false positives, in brackets, count as a DSC and NSD of 0 and are not in the mean of HD95."
    )
    if several:
        parts.append("Where the models' means are over different cases, n is their number.")
    parts.append(f"NSD within {results.tolerances}.")
    return " ".join(parts)


def _organ_cells(results: Results, organ: str, metric: str) -> list[Cell]:
    summaries = [results.summaries[organ, model, metric] for model in results.models]
    best = _best(results, [organ], summaries, metric)
    same = results.over_same_cases(organ, metric)
    return [
        Cell(
            _mean_sd(s.mean, s.sd, metric) + _notes(s.missed, s.false_positives, None if same else f"n={s.n}"),
            i in best,
        )
        for i, s in enumerate(summaries)
    ]


def _group_cells(results: Results, group: str, metric: str) -> list[Cell]:
    summaries = [results.group_summary(group, model, metric) for model in results.models]
    best = _best(results, results.groups[group], summaries, metric)
    total = len(results.groups[group])
    same = len({s.organs for s in summaries}) == 1
    return [
        Cell(
            format_number(s.mean, metric)
            + _notes(s.missed, s.false_positives, None if same else f"{len(s.organs)} of {total} organs"),
            i in best,
        )
        for i, s in enumerate(summaries)
    ]


def _write_csv(path: Path, table: pd.DataFrame) -> None:
    write_text(path, table.to_csv(index=False, na_rep="nan", lineterminator="\r\n"))


def _group(results: Results, organ: str) -> str:
    return "small" if organ in results.small else "large"


def _best(
    results: Results, organs: Sequence[str], summaries: Sequence[Summary | GroupSummary], metric: str
) -> set[int]:
    """Positions of the best mean as it is printed; nobody is best alone, or where nothing was measured.

    Where missed organs aren't in the mean, only the models that missed the fewest can be the best, and none of them if
    they missed different cases: otherwise a model would win by missing the difficult ones. Where they are, a model
    without a mean is right that there is no such organ, and the false positives of the others are not the best.
    """
    candidates = {i: round(s.mean, DIGITS[metric]) for i, s in enumerate(summaries) if math.isfinite(s.mean)}
    if metric in WITHOUT_MISSED:
        fewest = min(s.missed for s in summaries)
        of_fewest = [i for i, s in enumerate(summaries) if s.missed == fewest]
        theirs = replace(results, models=tuple(results.models[i] for i in of_fewest))
        if not all(theirs.over_same_cases(organ, metric) for organ in organs):
            return set()
        candidates = {i: mean for i, mean in candidates.items() if i in of_fewest}
    elif len(candidates) < len(summaries):
        return set()
    if len(summaries) < 2 or not candidates:
        return set()
    best = max(candidates.values()) if HIGHER_IS_BETTER[metric] else min(candidates.values())
    return {i for i, mean in candidates.items() if mean == best}


def format_number(value: float, metric: str) -> str:
    """A metric's value with its digits; a dash if there is none."""
    return f"{value:.{DIGITS[metric]}f}" if math.isfinite(value) else "-"


def _signed(value: float, metric: str) -> str:
    return f"{value:+.{DIGITS[metric]}f}" if math.isfinite(value) else "-"


def _published_mean(values: Mapping[str, float], organs: Sequence[str], metric: str) -> str:
    """Mean over a group of organs; nothing if one of them wasn't published, as the mean would be of other organs."""
    return format_number(fmean(values[o] for o in organs), metric) if values.keys() >= set(organs) else ""


def _p_value(p: float) -> str:
    if math.isnan(p):
        return "-"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _mean_sd(mean: float, sd: float, metric: str) -> str:
    return f"{format_number(mean, metric)} ± {format_number(sd, metric)}"


def _notes(missed: int, false_positives: int, number: str | None) -> str:
    notes = [f"{missed} missed"] * bool(missed) + [f"{false_positives} false positive"] * bool(false_positives)
    notes += [number] if number is not None else []
    return f" ({', '.join(notes)})" if notes else ""


def _plain(*texts: str) -> list[Cell]:
    return [Cell(text) for text in texts]
