"""All pictures of a report: which there are, and drawing those that can be drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from nnunetv2_focusnet.compare.cases import Comparison
from nnunetv2_focusnet.compare.images import Images
from nnunetv2_focusnet.compare.overlays import choose_overlays, draw_overlay
from nnunetv2_focusnet.compare.plots import draw_boxes, draw_differences
from nnunetv2_focusnet.compare.results import Results
from nnunetv2_focusnet.compare.statistics import METRICS
from nnunetv2_focusnet.system.files import WriteError

PLOTTED = ("dsc", "hd95_mm")


@dataclass(frozen=True)
class Picture:
    """A picture of the report: its section, its file's name, what it shows, and what draws it to a path."""

    section: str
    name: str
    text: str
    draw: Callable[[Path], None]


def draw_pictures(
    comparison: Comparison, results: Results, images: Images | None, folder: Path
) -> tuple[list[Picture], list[str]]:
    """Draw what can be drawn.

    Returns:
        The pictures that now are in the folder, and one message for each that can't be drawn.

    Raises:
        WriteError: a picture can't be written, and neither can the tables.
    """
    drawn, messages = [], []
    for picture in (*_plots(results), *_overlays(comparison, results, images)):
        try:
            picture.draw(folder / picture.name)
            drawn.append(picture)
        except WriteError:
            raise
        except Exception as error:  # whatever it is, the figures must not be lost for a picture
            (folder / picture.name).unlink(missing_ok=True)
            messages.append(f"{picture.name}, {picture.text}: {error or type(error).__name__}")
    return drawn, messages


def _plots(results: Results) -> Iterator[Picture]:
    for metric in PLOTTED:
        text = f"{METRICS[metric]} of each case, as boxes per organ and model"
        yield Picture("Distributions", f"boxes_{metric}.png", text, partial(draw_boxes, results, metric))
    for number, model in enumerate(results.models[1:], start=1):
        for metric in PLOTTED:
            text = (
                f"{METRICS[metric]}, {model} minus {results.models[0]}: cases as dots, mean with 95 % interval as bar"
            )
            name = f"differences_{metric}_{number}.png"
            yield Picture("Paired differences", name, text, partial(draw_differences, results, model, metric))


def _overlays(comparison: Comparison, results: Results, images: Images | None) -> Iterator[Picture]:
    for number, overlay in enumerate(choose_overlays(results)):
        text = f"{overlay.organ} in {overlay.case} ({overlay.reason}): outlines of the reference and of all models"
        draw = partial(draw_overlay, overlay, comparison, results, images)
        yield Picture("Small organs", f"overlay_{number:02d}.png", text, draw)
