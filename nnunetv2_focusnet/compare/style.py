"""What all pictures of a report share: colours, and text that shows names as they are."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path

from matplotlib import colormaps, style
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from nnunetv2_focusnet.images.writing import save_figure
from nnunetv2_focusnet.system.text import one_line

# After Okabe and Ito, so that colour-blind readers tell them apart; contours and boxes share them.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
# Beside colours, for black and white prints. None is solid: that is the reference.
DASHES = ((0, (3, 1)), (0, (1, 1)), (0, (5, 1, 1, 1)), (0, (6, 2)), (0, (2, 2)), (0, (4, 1, 1, 1, 1, 1)))
HATCHES = ("", "////", "....", "\\\\\\\\", "xxxx", "----")
Dashes = tuple[int, tuple[int, ...]]
DPI = 110
LABEL_WIDTH = 26  # characters


def model_colours(models: Sequence[str]) -> dict[str, str]:
    """A colour for each model, no two of them alike."""
    if len(models) <= len(COLOURS):
        return dict(zip(models, COLOURS, strict=False))
    steps = len(models) - 1
    return {model: to_hex(colormaps["turbo"](i / steps)) for i, model in enumerate(models)}


def model_dashes(models: Sequence[str]) -> dict[str, Dashes]:
    """Dashes for each model's lines; of more than six models, some share theirs."""
    return dict(zip(models, cycle(DASHES), strict=False))


def model_hatches(models: Sequence[str]) -> dict[str, str]:
    """A hatch for each model's areas, likewise."""
    return dict(zip(models, cycle(HATCHES), strict=False))


def label(name: str) -> str:
    """A name for an axis or a legend, in two short lines at most; of longer ones the beginning and the end."""
    text = one_line(name)
    lines = textwrap.wrap(text, LABEL_WIDTH)
    if len(lines) > 2:  # models of one trainer often differ at their end alone
        lines = [f"{text[: LABEL_WIDTH - 1].rstrip()}…", text[-LABEL_WIDTH:].lstrip()]
    return "\n".join(lines)


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
