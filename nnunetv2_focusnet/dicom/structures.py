"""From an RT structure set to masks on the grid of its CT series."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from pydicom import Dataset, dcmread

from nnunetv2_focusnet.dicom.contours import fill
from nnunetv2_focusnet.dicom.grid import Grid
from nnunetv2_focusnet.dicom.privacy import without_warnings
from nnunetv2_focusnet.dicom.tree import Series, StructureSet, Tree

FILLED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR", "INTERPOLATED_PLANAR")
OFF_SLICE = 0.25  # of the slice spacing: more than rounding, so drawn on other slices


@dataclass(frozen=True)
class Roi:
    """One structure.

    Attributes:
        name: as in the structure set.
        contours: closed contours, continuous indices (points, 3) with (x, y, z) on the grid of the series.
        beyond: number of contours above the first or below the last slice, which are not among them.
        problem: why the contours can't be filled; empty if they can.
    """

    name: str
    contours: tuple[np.ndarray, ...]
    beyond: int
    problem: str = ""


def match_structure_sets(tree: Tree) -> tuple[dict[str, list[StructureSet]], list[str]]:
    """Structure sets by the UID of their series, and a message for each that fits none.

    A structure set belongs to the series that it names. If that isn't there, it belongs to the only series in its frame
    of reference: positions mean the same in both.
    """
    matched, problems = defaultdict(list), []
    for structure_set in tree.structure_sets:
        try:
            matched[_series_of(structure_set, tree).uid].append(structure_set)
        except ValueError as error:
            problems.append(str(error))
    return dict(matched), problems


def _series_of(structure_set: StructureSet, tree: Tree) -> Series:
    named = [series for series in tree.series if series.uid in structure_set.series]
    in_frame = [series for series in tree.series if series.frame_of_reference in structure_set.frames_of_reference]
    candidates = named or in_frame
    if not candidates:
        raise ValueError(f"{structure_set.name} belongs to no CT series of this folder: put its series there")
    if len(candidates) > 1:
        raise ValueError(
            f"{structure_set.name} belongs to {len(candidates)} CT series, {_names(candidates)}: keep one of them"
        )
    if structure_set.frames_of_reference and candidates[0] not in in_frame:
        raise ValueError(
            f"{structure_set.name} names {candidates[0].name}, but was drawn in another frame of reference: "
            "export both again"
        )
    return candidates[0]


def read_rois(structure_set: StructureSet, series: Series, grid: Grid) -> list[Roi]:
    """All structures with their closed contours, in the order of the file.

    Points, open contours and those in another frame of reference are left out.

    Raises:
        ValueError: the file is broken.
    """
    with without_warnings():
        try:
            content = dcmread(structure_set.file)
            contours = {
                int(item.ReferencedROINumber): _closed_contours(item)
                for item in content.get("ROIContourSequence") or []
            }
            rois = [
                (
                    str(roi.get("ROIName", "")).strip(),
                    contours.get(int(roi.ROINumber), []) if _in_frame(roi, series) else [],
                )
                for roi in content.get("StructureSetROISequence") or []
            ]
        except Exception:  # pydicom raises nearly anything on broken files
            raise ValueError(f"{structure_set.name} is a broken structure set: export it again") from None
    return [_on_grid(name, points, structure_set, grid) for name, points in rois]


def rasterise(roi: Roi, grid: Grid) -> np.ndarray:
    """The mask (Z, Y, X) of voxels whose centre lies inside; contours inside others are holes."""
    mask = np.zeros(grid.shape, np.uint8)
    for index, filled in _filled_slices(roi, grid):
        mask[index] = filled
    return mask


def holds_voxel(roi: Roi, grid: Grid) -> bool:
    """Whether the mask of a structure has any voxel, told without making all of it."""
    return any(filled.any() for _, filled in _filled_slices(roi, grid))


def _filled_slices(roi: Roi, grid: Grid) -> Iterator[tuple[int, np.ndarray]]:
    by_slice = defaultdict(list)
    for contour in roi.contours:
        by_slice[round(float(contour[:, 2].mean()))].append(contour[:, :2])
    for index, contours in by_slice.items():
        yield index, fill(contours, grid.shape[1:])


def _in_frame(roi: Dataset, series: Series) -> bool:
    return str(roi.get("ReferencedFrameOfReferenceUID", "")) in ("", series.frame_of_reference)


def _closed_contours(item: Dataset) -> list[np.ndarray]:
    arrays = [
        np.array(contour.ContourData, dtype=float).reshape(-1, 3)
        for contour in item.get("ContourSequence") or []
        if contour.get("ContourGeometricType") in FILLED and contour.get("ContourData")
    ]
    return [points for points in arrays if len(points) > 2]  # stray clicks enclose nothing


def _on_grid(name: str, contours_mm: Sequence[np.ndarray], structure_set: StructureSet, grid: Grid) -> Roi:
    inside, beyond, problem = [], 0, ""
    for contour in map(grid.indices, contours_mm):
        heights = contour[:, 2]
        index = round(float(heights.mean()))
        if not 0 <= index < grid.size[2]:
            beyond += 1
            continue
        if np.abs(heights - index).max() > OFF_SLICE:
            problem = (
                f"{structure_set.name}: contours of {name} don't lie on slices of its CT series: "
                "add the series that they were drawn on"
            )
        inside.append(contour)
    return Roi(name, tuple(inside), beyond, problem)


def _names(series: Sequence[Series]) -> str:
    return " and ".join(item.name for item in series)
