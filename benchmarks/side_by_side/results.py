"""The files of results that ``small_organs.py`` and ``paper_tables.py`` both write."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from csv_files import write_csv

from side_by_side.pipeline import Findings
from side_by_side.state import State
from side_by_side.tables import curve_rows, describe, draw_curves, rounded, warn_of_time


def write_findings(
    state: State,
    folder: Path,
    findings: Findings,
    flatness: Sequence[Mapping[str, object]],
    organs: Sequence[Mapping[str, object]],
    opening: Sequence[str],
    parts: Sequence[str],
) -> Path:
    """Write tables, curves and ``results.md``, whose path is returned.

    Args:
        state: says with which settings.
        folder: gets the files.
        findings: what was measured.
        flatness: rows of ``flatness.csv``.
        organs: rows of ``organs.csv``.
        opening: paragraphs of ``results.md`` between title and warnings.
        parts: those after the warnings.
    """
    write_csv(folder / "flatness.csv", flatness)
    write_csv(folder / "trainers.csv", [rounded(asdict(row)) for row in findings.figures.values()])
    write_csv(folder / "organs.csv", organs)
    write_csv(folder / "curves.csv", curve_rows(findings.curves))
    draw_curves(findings.curves, folder / "curves.png")
    title = f"# {state.settings.dataset}: {describe(state.settings)}"
    warnings = [f"**{warning}**" for warning in (*warn_of_time(findings.trained, state.settings), *findings.messages)]
    file = folder / "results.md"
    file.write_text("\n\n".join((title, *opening, *warnings, *parts)) + "\n", encoding="utf-8")
    return file
