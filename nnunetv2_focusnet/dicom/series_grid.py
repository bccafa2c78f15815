"""The grid of voxels that the slices of a CT series make up, if they do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nnunetv2_focusnet.dicom.tree import Series, Slice
from nnunetv2_focusnet.images.grid import TOLERANCE, Grid

# So far may positions in tenths of a mm put a slice beside the line between two others, each 0.05 along three axes.
ROUNDED_MM = 0.18


def series_grid(series: Series) -> Grid:
    """The grid of a series, its third axis along the slices' normal.

    Raises:
        ValueError: the slices make up no grid: one is missing, double or to the side of the others, spacings are mixed,
            the gantry was tilted.
    """
    if series.problem:
        raise ValueError(series.problem)
    if len(series.slices) < 2:
        raise ValueError(f"{series.name} has one slice: a volume needs more")
    _check_alike(series.slices)
    first = series.slices[0].grid
    positions = np.array([slice_.grid.origin for slice_ in series.slices])
    gap = _check_gaps(series, positions @ series.slices[0].normal)
    _check_sideways(series, positions - positions[0])
    return replace(first, size=(*first.size[:2], len(series.slices)), spacing=(*first.spacing[:2], gap))


def _check_alike(slices: tuple[Slice, ...]) -> None:
    first = slices[0]
    for other in slices[1:]:
        if difference := replace(other.grid, origin=first.grid.origin).difference_from(first.grid):
            what = "orientation" if difference[0] == "direction" else difference[0]  # as DICOM calls it
            raise ValueError(
                f"{other.name} has another {what} than {first.name} of the same series: "
                "export the volume as a series of its own"
            )


def _check_gaps(series: Series, along: np.ndarray) -> float:
    """The distance between slices, whose positions along the normal are given; both in mm."""
    gaps = np.diff(along)
    usual = float(np.median(gaps))

    def between(index: int) -> str:
        return f"between {series.slices[index].name} and {series.slices[index + 1].name}"

    index = int(gaps.argmin())
    if gaps[index] < TOLERANCE * max(usual, 0.1):
        names = (series.slices[index].name, series.slices[index + 1].name)
        raise ValueError(f"{names[0]} and {names[1]} lie at the same position: keep one of them, or split the series")
    mean = float(along[-1] - along[0]) / (len(along) - 1)
    if np.abs(along - along[0] - mean * np.arange(len(along))).max() <= TOLERANCE * mean:
        return mean
    index = int(np.abs(gaps - usual).argmax())
    missing = gaps[index] / usual
    if round(missing) > 1 and abs(missing - round(missing)) < TOLERANCE:
        lacking = round(missing) - 1
        text = "a slice is" if lacking == 1 else f"{lacking} slices are"
        raise ValueError(f"{text} missing {between(index)}: copy the series again")
    raise ValueError(
        f"the slice spacing is mixed in {series.name}: {gaps[index]:.3g} mm {between(index)}, "
        f"elsewhere {usual:.3g} mm: export parts of one spacing as series of their own"
    )


def _check_sideways(series: Series, moved: np.ndarray) -> None:
    """Check the way from the first slice to each, (N, 3) in mm."""
    first = series.slices[0]
    normal, tolerance_mm = first.normal, max(TOLERANCE * min(first.grid.spacing[:2]), ROUNDED_MM)
    along = moved @ normal
    sideways = moved - np.outer(along, normal)
    off_line = np.linalg.norm(sideways - np.outer(along / along[-1], sideways[-1]), axis=1)
    if off_line.max() > tolerance_mm:
        raise ValueError(
            f"{series.slices[off_line.argmax()].name} lies {off_line.max():.3g} mm to the side of the line from the "
            "first slice of its series to the last: export the series again"
        )
    tilt = float(np.linalg.norm(sideways[-1]))
    if tilt > tolerance_mm:
        degrees = np.degrees(np.arctan2(tilt, along[-1]))
        raise ValueError(
            f"the gantry was tilted by {degrees:.1f} degrees in {series.name}: resample it to upright slices first"
        )
