"""Tables of single cases for the report: which were worst, and what was found in each."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import pandas as pd

from nnunetv2_focusnet.compare.markup import Cell
from nnunetv2_focusnet.compare.results import Results
from nnunetv2_focusnet.compare.statistics import HIGHER_IS_BETTER, SUMMARISED
from nnunetv2_focusnet.compare.tables import format_number

SHOWN = ("dsc", "hd95_mm", "volume_error_ml")  # of each model, in the details


class Details(NamedTuple):
    """A table that is unfolded on demand.

    Attributes:
        name: of the case or the organ.
        summary: how good the worst of it is.
        rows: the table, its first column being of organs or cases, worst first.
    """

    name: str
    summary: str
    rows: list[list[Cell]]


def worst_cases(results: Results) -> pd.DataFrame:
    """Cases by the last model's mean DSC, worst first, as in the overlays.

    It is over the organs that a case has, or that the model predicts there; without any a case comes last.

    Returns:
        Index: case. Columns: ``dsc``, that mean; ``organs``, over how many; ``missed`` and ``false_positive``, how many
        of them; ``worst``, the organ with the lowest DSC; ``worst_dsc``; ``hd95_mm``, the largest finite one.
    """
    ours = _judged(results)
    by_case = ours.groupby("case")
    worst = ours.sort_values(["dsc", "hd95_mm"], ascending=[True, False], kind="stable").groupby("case").first()
    hd95 = ours["hd95_mm"].where(ours["hd95_mm"] < math.inf).groupby(ours["case"]).max()
    table = by_case.agg(
        dsc=("dsc", "mean"),
        organs=("organ", "size"),
        missed=("missed", "sum"),
        false_positive=("false_positive", "sum"),
    ).assign(worst=worst["organ"], worst_dsc=worst["dsc"], hd95_mm=hd95)
    counts = {"organs": 0, "missed": 0, "false_positive": 0}
    table = table.reindex(results.cases).fillna(counts | {"worst": "-"}).astype(dict.fromkeys(counts, int))
    return table.sort_values(["dsc", "hd95_mm"], ascending=[True, False], kind="stable")


def cases_table(results: Results) -> list[list[Cell]]:
    """A header, and a row for each case, worst first."""
    model = results.models[-1]
    means = results.measurements.groupby(["case", "model"])["dsc"].mean().unstack()
    means = means.reindex(index=results.cases, columns=results.models)
    header = ["case", *(f"mean DSC ↑, {name}" for name in results.models)]
    header += [f"{what}, {model}" for what in ("worst organ", "its DSC ↑", "largest HD95 ↓ (mm)", "missed", "false +")]
    table = [[Cell(text) for text in header]]
    for case, row in worst_cases(results).iterrows():
        texts = [str(case), *(format_number(means.at[case, name], "dsc") for name in results.models)]
        texts += [str(row["worst"]), format_number(row["worst_dsc"], "dsc"), format_number(row["hd95_mm"], "hd95_mm")]
        table.append([Cell(text) for text in (*texts, str(row["missed"]), str(row["false_positive"]))])
    return table


def case_details(results: Results) -> Iterator[Details]:
    """All organs of each case, in the order of :func:`worst_cases`."""
    tables = dict(list(results.measurements.groupby("case")))
    for case, row in worst_cases(results).iterrows():
        summary = f"mean DSC {row['dsc']:.3f} of {row['organs']} organs, worst {row['worst']} ({row['worst_dsc']:.3f})"
        if row["organs"] == 0:
            summary = f"no organ there, and none predicted by {results.models[-1]}"
        yield Details(str(case), summary, _side_by_side(results, tables[case], "organ"))


def organ_details(results: Results) -> Iterator[Details]:
    """All cases of each organ, in the order of the tables."""
    tables = dict(list(results.measurements.groupby("organ")))
    for organ in results.organs:
        table = _side_by_side(results, tables[organ], "case")
        dsc = results.of(organ, results.models[-1])["dsc"]
        lowest = f", lowest DSC {dsc.min():.3f} ({dsc.idxmin()})" if len(dsc) else ""
        yield Details(organ, f"{len(table) - 1} cases{lowest}", table)


def _judged(results: Results) -> pd.DataFrame:
    return results.measurements[results.measurements["model"] == results.models[-1]]


def _side_by_side(results: Results, measurements: pd.DataFrame, rows: str) -> list[list[Cell]]:
    """A row per organ or case, the models beside each other; worst of the last model first."""
    arrows = {metric: " ↑" if higher else " ↓" for metric, higher in HIGHER_IS_BETTER.items()}
    header = [rows, "reference (ml)"]
    header += [f"{SUMMARISED[m]}{arrows.get(m, '')}, {name}" for m in SHOWN for name in results.models]
    wide = measurements.pivot(index=rows, columns="model", values=[*SHOWN, "missed", "false_positive"])
    volumes = measurements.groupby(rows)["reference_ml"].first()
    wide = wide.reindex(columns=pd.MultiIndex.from_product([[*SHOWN, "missed", "false_positive"], results.models]))
    worst = wide.sort_values([("dsc", results.models[-1])], kind="stable")
    table = [[Cell(text) for text in header]]
    for name, row in worst.iterrows():
        cells = [str(name), f"{volumes[name]:.2f}"]
        cells += [_value(row, metric, model) for metric in SHOWN for model in results.models]
        table.append([Cell(text) for text in cells])
    return table


def _value(row: pd.Series, metric: str, model: str) -> str:
    """A figure, or why there is none: nobody has to tell a missed organ from one that isn't there by a dash."""
    if metric == "hd95_mm" and row["missed", model] == 1:
        return "missed"
    if metric == "hd95_mm" and row["false_positive", model] == 1:
        return "false positive"
    return format_number(row[metric, model], metric)
