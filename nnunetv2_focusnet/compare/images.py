"""Images below the outlines of organs: where they are, and whether they can be drawn."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import SimpleITK as sitk

from nnunetv2_focusnet.compare.cases import Comparison
from nnunetv2_focusnet.images.grid import Grid
from nnunetv2_focusnet.images.reading import read_header
from nnunetv2_focusnet.system.processes import map_in_processes


@dataclass(frozen=True)
class Images:
    """Images below the outlines.

    Attributes:
        folder: with ``CASE_0000`` images.
        is_ct: their grey values are HU.
    """

    folder: Path
    is_ct: bool


def image_file(images: Path, case: str, file_ending: str) -> Path:
    """The first channel of a case's image, as nnU-Net names it."""
    return images / f"{case}_0000{file_ending}"


def check_images(comparison: Comparison, images: Images, cases: list[str], num_processes: int) -> None:
    """Check all of them, though few are drawn: it takes a moment now, and all that has been computed later.

    Raises:
        ValueError: an image is missing, can't be read or is on another grid than its label map.
    """
    check = partial(_fault, comparison, images.folder)
    with closing(map_in_processes(check, cases, num_processes)) as checked:
        faults = [fault for fault in checked if fault is not None]
    if faults:
        raise ValueError(faults[0] + (f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""))


def off_grid(
    file: Path, image: sitk.Image | sitk.ImageFileReader, reference: sitk.Image | sitk.ImageFileReader
) -> str | None:
    """What to tell of an image that isn't on the grid of its label map; None: it is."""
    if Grid.of(image).difference_from(Grid.of(reference)) is None:
        return None
    return f"{file} isn't on the grid of its label map: correct it, or leave out --images"


def _fault(comparison: Comparison, images: Path, case: str) -> str | None:
    """Why a case's image can't be drawn, as far as its file and its header tell; None: it can."""
    file = image_file(images, case, comparison.file_ending)
    if not file.is_file():
        return f"{file} doesn't exist: name the folder with all cases' images, or leave out --images"
    try:
        image = read_header(file, "correct it, or leave out --images")
    except ValueError as error:
        return str(error)
    try:
        reference = read_header(comparison.reference_file(case))
    except ValueError:  # which is the case's own error
        return None
    return off_grid(file, image, reference)
