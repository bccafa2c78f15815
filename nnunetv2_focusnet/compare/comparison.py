"""Comparing models: evaluate all cases, then tables, plots and the report in one folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from tqdm import tqdm

from nnunetv2_focusnet.compare.cases import CaseResult, Comparison, evaluate_cases, find_cases
from nnunetv2_focusnet.compare.inputs import Inputs
from nnunetv2_focusnet.compare.overlays import check_image, choose_overlays, draw_overlay
from nnunetv2_focusnet.compare.plots import draw_boxes, draw_differences
from nnunetv2_focusnet.compare.report import write_report
from nnunetv2_focusnet.compare.report_folder import new_report
from nnunetv2_focusnet.compare.results import Results, split_by_size
from nnunetv2_focusnet.compare.statistics import METRICS
from nnunetv2_focusnet.compare.tables import write_csv_files, write_latex, write_markdown
from nnunetv2_focusnet.system.files import WriteError
from nnunetv2_focusnet.system.processes import map_in_processes

PLOTTED = ("dsc", "hd95_mm")


def compare(
    inputs: Inputs, output: Path, images: Path | None, published: bool, num_processes: int, show_progress: bool
) -> Results:
    """Evaluate all cases and write tables, plots and the report.

    Args:
        inputs: what to compare.
        output: folder for the results; what an earlier comparison left there is replaced when all is done.
        images: folder with ``CASE_0000`` images, the overlays' background.
        published: put the published figures on PDDCA beside the user's own.
        num_processes: cases evaluated at the same time.
        show_progress: show a progress bar.

    Raises:
        ValueError: there is nothing to compare, or an image is missing, can't be read or is on another grid than its
            labels.
        WriteError: the results can't be written.
    """
    cases, messages = find_cases(inputs.comparison)
    if images is not None:
        _check_images(inputs.comparison, images, cases, num_processes)
    with new_report(output) as folder:
        with closing(evaluate_cases(inputs.comparison, cases, num_processes)) as evaluated:
            progress = tqdm(evaluated, total=len(cases), desc="Comparing", unit="case", disable=not show_progress)
            results = _collect(inputs, list(progress), messages)
        pictures = list(_plots(results)) + list(_overlays(inputs.comparison, results, images))
        if undrawn := _draw(pictures, folder):
            results = replace(results, messages=(*results.messages, *undrawn))
        write_csv_files(results, folder)
        write_markdown(results, folder / "summary.md", published)
        write_latex(results, folder / "summary.tex", published)
        write_report(results, _sections(pictures, folder), folder / "report.html", published)
    return results


def _check_images(comparison: Comparison, images: Path, cases: list[str], num_processes: int) -> None:
    """All of them, though few are drawn: it takes a moment now, and all that has been computed later."""
    check = partial(check_image, comparison, images)
    with closing(map_in_processes(check, cases, num_processes)) as checked:
        faults = [fault for fault in checked if fault is not None]
    if faults:
        raise ValueError(faults[0] + (f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""))


def _collect(inputs: Inputs, evaluated: list[CaseResult], messages: list[str]) -> Results:
    messages = [*messages, *(result.error for result in evaluated if result.error is not None)]
    rows = tuple(row for result in evaluated for row in result.rows)
    if not rows:
        more = f" (and {len(messages) - 1} more)" if len(messages) > 1 else ""
        raise ValueError(f"no case could be compared: {messages[0] if messages else 'all label maps are empty'}{more}")
    comparison = inputs.comparison
    large, small = split_by_size(rows, tuple(comparison.labels), inputs.small_organs)
    return Results(rows, tuple(comparison.predictions), large, small, inputs.tolerances, tuple(messages))


@dataclass(frozen=True)
class _Picture:
    """A picture of the report: its section, its file, what it shows, and what draws it there."""

    section: str
    name: str
    text: str
    draw: Callable[[Path], None]


def _plots(results: Results) -> Iterator[_Picture]:
    for metric in PLOTTED:
        text = f"{METRICS[metric]} of each case, as boxes per organ and model"
        yield _Picture("Distributions", f"boxes_{metric}.png", text, partial(draw_boxes, results, metric))
    for number, model in enumerate(results.models[1:], start=1):
        for metric in PLOTTED:
            text = (
                f"{METRICS[metric]}, {model} minus {results.models[0]}: cases as dots, mean with 95 % interval as bar"
            )
            name = f"differences_{metric}_{number}.png"
            yield _Picture("Paired differences", name, text, partial(draw_differences, results, model, metric))


def _overlays(comparison: Comparison, results: Results, images: Path | None) -> Iterator[_Picture]:
    for number, overlay in enumerate(choose_overlays(results)):
        text = f"{overlay.organ} in {overlay.case} ({overlay.reason}): contours of the reference and of all models"
        draw = partial(draw_overlay, overlay, comparison, results, images)
        yield _Picture("Small organs", f"overlay_{number:02d}.png", text, draw)


def _draw(pictures: Sequence[_Picture], folder: Path) -> list[str]:
    """Draw what can be drawn; one message for each picture that can't be."""
    messages = []
    for picture in pictures:
        try:
            picture.draw(folder / picture.name)
        except WriteError:  # the tables can't be written either
            raise
        except Exception as error:  # whatever it is, the figures must not be lost for a picture
            (folder / picture.name).unlink(missing_ok=True)
            messages.append(f"{picture.name}, {picture.text}: {error or type(error).__name__}")
    return messages


def _sections(pictures: Sequence[_Picture], folder: Path) -> dict[str, list[tuple[Path, str]]]:
    sections: dict[str, list[tuple[Path, str]]] = {}
    for picture in pictures:
        if (folder / picture.name).is_file():
            sections.setdefault(picture.section, []).append((folder / picture.name, picture.text))
    return sections
