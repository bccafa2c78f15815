"""Comparing models: evaluate all cases, then tables, plots and the report in one folder."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from nnunetv2_focusnet.compare.cases import CaseResult, evaluate_cases, find_cases
from nnunetv2_focusnet.compare.images import Images, check_images
from nnunetv2_focusnet.compare.inputs import Inputs
from nnunetv2_focusnet.compare.measurements import as_table
from nnunetv2_focusnet.compare.pictures import draw_pictures
from nnunetv2_focusnet.compare.provenance import provenance
from nnunetv2_focusnet.compare.report import write_report
from nnunetv2_focusnet.compare.report_folder import new_report
from nnunetv2_focusnet.compare.results import Results, split_by_size
from nnunetv2_focusnet.compare.tables import write_csv_files, write_latex, write_markdown


def compare(
    inputs: Inputs,
    output: Path,
    images: Path | None = None,
    published: bool = False,
    num_processes: int = 1,
    command: str | None = None,
    show_progress: bool = True,
) -> Results:
    """Evaluate all cases and write tables, plots and the report.

    Args:
        inputs: what to compare.
        output: folder for the results; what an earlier comparison left there is replaced when all is done.
        images: folder with ``CASE_0000`` images, the overlays' background.
        published: put the published figures on PDDCA beside the user's own.
        num_processes: cases evaluated at the same time.
        command: command line that asked for the comparison, for the report.
        show_progress: show a progress bar where there is a terminal.

    Raises:
        ValueError: there is nothing to compare, or an image is missing, can't be read or is on another grid than its
            labels.
        WriteError: the results can't be written.
    """
    comparison = inputs.comparison
    cases, messages = find_cases(comparison)
    background = None if images is None else Images(images, inputs.is_ct)
    if background is not None:
        check_images(comparison, background, cases, num_processes)
    with new_report(output) as folder:
        with (
            closing(evaluate_cases(comparison, cases, num_processes)) as evaluated,
            tqdm(
                evaluated, total=len(cases), desc="Comparing", unit="case", disable=not show_progress or None
            ) as progress,
        ):
            results = _collect(inputs, list(progress), messages)
        pictures, undrawn = draw_pictures(comparison, results, background, folder)
        results = replace(results, messages=(*results.messages, *undrawn))
        write_csv_files(results, folder)
        write_markdown(results, folder / "summary.md", published)
        write_latex(results, folder / "summary.tex", published)
        origin = provenance(comparison, images, command)
        write_report(results, pictures, origin, folder, published)
    return results


def _collect(inputs: Inputs, evaluated: list[CaseResult], messages: list[str]) -> Results:
    messages = [*messages, *(result.error for result in evaluated if result.error is not None)]
    rows = tuple(row for result in evaluated for row in result.rows)
    if not rows:
        more = f" (and {len(messages) - 1} more)" if len(messages) > 1 else ""
        raise ValueError(f"no case could be compared: {messages[0] if messages else 'all label maps are empty'}{more}")
    comparison, measurements = inputs.comparison, as_table(rows)
    large, small = split_by_size(measurements, tuple(comparison.labels), inputs.small_organs)
    return Results(measurements, tuple(comparison.predictions), large, small, inputs.tolerances, tuple(messages))
