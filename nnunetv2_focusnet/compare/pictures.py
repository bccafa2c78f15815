"""What all pictures of a report share: colours, and text that shows names as they are."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from matplotlib import colormaps, style
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from nnunetv2_focusnet.compare.markup import one_line
from nnunetv2_focusnet.images.writing import save_figure

# After Okabe and Ito, so that colour-blind readers tell them apart; contours and boxes share them.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
DPI = 110
LABEL_WIDTH = 26  # characters
LABEL_LINES = 2


def model_colours(models: Sequence[str]) -> dict[str, str]:
    """A colour for each model, no two of them alike."""
    if len(models) <= len(COLOURS):
        return dict(zip(models, COLOURS, strict=False))
    steps = len(models) - 1
    return {model: to_hex(colormaps["turbo"](i / steps)) for i, model in enumerate(models)}


def label(name: str) -> str:
    """A name for an axis or a legend, in two short lines at most."""
    return textwrap.fill(one_line(name), LABEL_WIDTH, max_lines=LABEL_LINES, placeholder=" …")


@contextmanager
def new_picture(path: Path, width: float, height: float) -> Iterator[Figure]:
    """A figure to draw on, which is saved in the end.

    Text in it is no formula, whatever dollar signs names have. It looks the same whatever the user's matplotlibrc says.

    Args:
        path: PNG to write.
        width: in inches.
        height: in inches.

    Raises:
        WriteError: the picture can't be written.
    """
    with style.context(["default", {"text.parse_math": False}]):
        figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
        yield figure
        save_figure(figure, path, DPI)
