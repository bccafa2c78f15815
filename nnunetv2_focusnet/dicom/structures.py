"""From an RT structure set to masks on the grid of its CT series."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from pydicom import Dataset, dcmread

from nnunetv2_focusnet.dicom.areas import Area, fill, fill_exclusively
from nnunetv2_focusnet.dicom.files import text_of
from nnunetv2_focusnet.dicom.privacy import without_warnings
from nnunetv2_focusnet.dicom.tree import Series, StructureSet, Tree
from nnunetv2_focusnet.images.grid import Grid

FILLED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR", "INTERPOLATED_PLANAR")
NOT_FILLED = ("POINT", "OPEN_PLANAR", "OPEN_NONPLANAR")
OFF_SLICE = 0.25  # of the slice spacing: more than rounding, so drawn on other slices


@dataclass(frozen=True)
class Roi:
    """One structure.

    Attributes:
        name: as in the structure set.
        contours: closed contours, continuous indices (points, 3) with (x, y, z) on the grid of the series.
        exclusive: contours in one slice exclude what they share (CLOSEDPLANAR_XOR).
        remarks: lines, without the name, on contours that were left out or are odd.
        problem: why the contours can't be filled; empty if they can.
        drawn_here: a contour refers to the very slice that it lies on.
    """

    name: str
    contours: tuple[np.ndarray, ...] = ()
    exclusive: bool = False
    remarks: tuple[str, ...] = ()
    problem: str = ""
    drawn_here: bool = False


def match_structure_sets(tree: Tree) -> tuple[dict[str, list[StructureSet]], list[str]]:
    """Structure sets by the UID of their series, and a message for each that fits none.

    A structure set belongs to the series that it names. If that isn't there, it belongs to the only series in its frame
    of reference, unless that is another patient's: positions mean the same in both.
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
        raise ValueError(
            f"{structure_set.name} belongs to no CT series of this folder{_where(structure_set, tree)}: "
            "put its series there"
        )
    if len(candidates) > 1:
        raise ValueError(
            f"{structure_set.name} belongs to {len(candidates)} CT series, {_names(candidates)}: keep one of them"
        )
    series = candidates[0]
    if structure_set.frames_of_reference and series not in in_frame:
        raise ValueError(
            f"{structure_set.name} names {series.name}, but was drawn in another frame of reference: "
            f"{' and '.join(sorted(structure_set.frames_of_reference))}, where the series has "
            f"{series.frame_of_reference or 'none'}; export both again"
        )
    if not named and patients_differ(structure_set, series):
        raise ValueError(
            f"{structure_set.name} doesn't name {series.name}, which is in its frame of reference, but of another "
            "patient (PatientID): put its own series there"
        )
    return series


def _where(structure_set: StructureSet, tree: Tree) -> str:
    """What a structure set belongs to instead."""
    if kinds := sorted({tree.other_series[uid] for uid in structure_set.series if uid in tree.other_series}):
        return f", but to {' and '.join(kinds)}"
    if not structure_set.series:
        frames = " and ".join(sorted(structure_set.frames_of_reference)) or "none"
        return f": it names none, and none has its frame of reference ({frames})"
    return ""


def read_rois(structure_set: StructureSet, series: Series, grid: Grid) -> list[Roi]:
    """All structures with their closed contours, in the order of the file.

    Raises:
        ValueError: the file is broken, or its numbers don't say which contours belong to which structure.
    """
    with without_warnings():
        try:
            content = dcmread(structure_set.file)
            listed = [(int(roi.ROINumber), roi) for roi in content.get("StructureSetROISequence") or []]
            drawn = [(int(item.ReferencedROINumber), item) for item in content.get("ROIContourSequence") or []]
            names = [_name(roi) for _, roi in listed]
            frames = {
                text_of(roi, "ReferencedFrameOfReferenceUID") for number, roi in listed if _has_contours(number, drawn)
            }
        except Exception:  # pydicom raises nearly anything on broken files
            raise ValueError(f"{structure_set.name} is a broken structure set: export it again") from None
        _check_numbers(structure_set, listed, drawn, names)
        if listed and "ROIContourSequence" not in content:
            raise ValueError(
                f"{structure_set.name} has structures, but no contours (ROIContourSequence): export it again"
            )
        if frames and not any(frame in ("", series.frame_of_reference) for frame in frames):
            raise ValueError(
                f"{structure_set.name} was drawn in the frame of reference {min(frames)}, but {series.name} has "
                f"{series.frame_of_reference or 'none'}: export both again, from one registration"
            )
        items = dict(drawn)
        reader = ContourReader(structure_set, series, grid)
        rois = [reader.read(name, roi, items.get(number)) for name, (number, roi) in zip(names, listed, strict=True)]
    if series.uid in structure_set.series or not _in_stripes(rois):
        return rois
    problem = (
        f"{structure_set.name}: contours lie on no two slices in a row of its CT series, which it doesn't name: "
        "add the series that they were drawn on"
    )
    return [replace(roi, problem=roi.problem or problem) if roi.contours else roi for roi in rois]


def missing_slices(structure_set: StructureSet, series: Series) -> int:
    """How many of the slices that a structure set refers to aren't there."""
    return len(structure_set.instances - {slice_.instance for slice_ in series.slices})


def patients_differ(structure_set: StructureSet, series: Series) -> bool:
    """Whether both say whose they are, and it isn't the same patient."""
    return bool(structure_set.patient and series.patient) and structure_set.patient != series.patient


def fill_slices(roi: Roi, grid: Grid) -> Iterator[tuple[int, Area]]:
    """Index of each slice with contours, and what they enclose there."""
    by_slice = defaultdict(list)
    for contour in roi.contours:
        by_slice[round(float(contour[:, 2].mean()))].append(contour[:, :2])
    filling = fill_exclusively if roi.exclusive else fill
    _, rows, columns = grid.shape
    for index, contours in sorted(by_slice.items()):
        yield index, filling(contours, (rows, columns))


def rasterise(roi: Roi, grid: Grid) -> np.ndarray:
    """The mask (Z, Y, X) of voxels whose centre lies inside."""
    mask = np.zeros(grid.shape, np.uint8)
    for index, area in fill_slices(roi, grid):
        mask[index] = area.mask
    return mask


def holds_voxel(roi: Roi, grid: Grid) -> bool:
    """Whether the mask of a structure has any voxel, told without making all of it."""
    return any(area.mask.any() for _, area in fill_slices(roi, grid))


def _has_contours(number: int, drawn: Sequence[tuple[int, Dataset]]) -> bool:
    return any(item.get("ContourSequence") for drawn_number, item in drawn if drawn_number == number)


def _check_numbers(
    structure_set: StructureSet,
    listed: Sequence[tuple[int, Dataset]],
    drawn: Sequence[tuple[int, Dataset]],
    names: Sequence[str],
) -> None:
    """Structures and contours find each other by numbers, which have to be unique."""
    for number, count in Counter(number for number, _ in listed).items():
        if count > 1:
            double = " and ".join(repr(name) for name, (each, _) in zip(names, listed, strict=True) if each == number)
            raise ValueError(
                f"{structure_set.name} has {count} structures of number {number}, {double}: "
                "which contours are whose can't be told, export it again"
            )
    for number, count in Counter(number for number, _ in drawn).items():
        if count > 1:
            raise ValueError(
                f"{structure_set.name} has contours of the structure with number {number} in {count} places "
                "(ROIContourSequence): they may be of different structures, export it again"
            )
    if lost := sorted({number for number, item in drawn if item.get("ContourSequence")} - {n for n, _ in listed}):
        raise ValueError(
            f"{structure_set.name} has contours of number {lost[0]}, but no structure of that number: export it again"
        )


class ContourReader:
    """Reads the contours of structures.

    Args:
        structure_set: that they are of.
        series: that it belongs to.
        grid: of the series.
    """

    def __init__(self, structure_set: StructureSet, series: Series, grid: Grid) -> None:
        self._file, self._series, self._grid = structure_set.name, series, grid
        self._slices = {slice_.instance: index for index, slice_ in enumerate(series.slices)}

    def read(self, name: str, roi: Dataset, item: Dataset | None) -> Roi:
        """One structure; what is wrong with its contours is its problem alone.

        Args:
            name: of the structure.
            roi: its item in StructureSetROISequence.
            item: its item in ROIContourSequence, if there is one.
        """
        drawn = [] if item is None else item.get("ContourSequence") or []
        if not drawn:
            return Roi(name)
        if (frame := text_of(roi, "ReferencedFrameOfReferenceUID")) not in ("", self._series.frame_of_reference):
            return Roi(name, remarks=(f"drawn in another frame of reference than the CT ({frame})",))
        kinds = Counter(text_of(contour, "ContourGeometricType") for contour in drawn)
        try:
            if unknown := sorted(kinds.keys() - {*FILLED, *NOT_FILLED}):
                raise ValueError(f"is of the kind {unknown[0]!r}, which DICOM doesn't know")
            closed = [contour for contour in drawn if contour.ContourGeometricType in FILLED]
            indices = [self._grid.indices(_points_mm(contour)) for contour in closed]
        except ValueError as error:
            return Roi(name, problem=f"{self._file}: a contour of {name} {error}: export it again")
        except Exception:  # pydicom raises nearly anything on broken values
            return Roi(name, problem=f"{self._file}: a contour of {name} can't be read: export it again")
        there = [0 <= _slice_index(points) < self._grid.size[2] for points in indices]
        inside = [points for points, is_there in zip(indices, there, strict=True) if is_there]
        references = [
            (_slice_index(points), self._images_of(contour)) for contour, points in zip(closed, indices, strict=True)
        ]
        here = sum(index in images for index, images in references)
        remarks = [f"{kinds[kind]} contours of the kind {kind} were left out" for kind in NOT_FILLED if kinds[kind]]
        if beyond := there.count(False):
            remarks.append(f"contours beyond the ends of the CT were left out ({beyond})")
        if small := sum(len(points) < 3 for points in inside):
            remarks.append(f"contours of one or two points were drawn as the voxels on them ({small})")
        drawn_in = {_slice_index(points) for points in inside}
        if drawn_in and (gaps := max(drawn_in) - min(drawn_in) + 1 - len(drawn_in)):
            remarks.append(f"no contours in slices between its first and its last ({gaps})")
        if elsewhere := sum(bool(images) for _, images in references) - here:
            remarks.append(f"contours refer to other images than the slices that they lie on ({elsewhere})")
        problem = ""
        if any(np.abs(points[:, 2] - _slice_index(points)).max() > OFF_SLICE for points in inside):
            problem = (
                f"{self._file}: contours of {name} don't lie on slices of its CT series: "
                "add the series that they were drawn on"
            )
        exclusive = kinds["CLOSEDPLANAR_XOR"] > 0
        return Roi(name, tuple(inside), exclusive, tuple(remarks), problem, drawn_here=here > 0)

    def _images_of(self, contour: Dataset) -> list[int | None]:
        """Indices of the slices that a contour refers to; None stands for an image that isn't there."""
        images = contour.get("ContourImageSequence") or []
        return [self._slices.get(text_of(image, "ReferencedSOPInstanceUID")) for image in images]


def _in_stripes(rois: Sequence[Roi]) -> bool:
    """Whether contours leave out slices wherever they could, as those of slices that are twice as thick do."""
    slices = [sorted({_slice_index(points) for points in roi.contours}) for roi in rois]
    steps = np.concatenate([np.diff(of_roi) for of_roi in slices]) if slices else np.empty(0)
    return len(steps) > 0 and steps.min() > 1 and not any(roi.drawn_here for roi in rois)


def _points_mm(contour: Dataset) -> np.ndarray:
    """Points (N, 3) of a contour.

    Raises:
        ValueError: they are none; the message goes on after "a contour".
    """
    data = contour.get("ContourData")
    values = np.array([] if data is None else data, dtype=float).ravel()
    if len(values) == 0 or len(values) % 3:
        raise ValueError(f"has {len(values)} coordinates, which make no points")
    if not np.isfinite(values).all():
        raise ValueError("has coordinates that are no numbers")
    count = contour.get("NumberOfContourPoints")
    if count is not None and int(count) != len(values) // 3:
        raise ValueError(f"has {len(values) // 3} points, but says {count}")
    return values.reshape(-1, 3)


def _slice_index(points: np.ndarray) -> int:
    return round(float(points[:, 2].mean()))


def _name(roi: Dataset) -> str:
    """The name; a backslash in it, which some systems write, makes a list of it."""
    name = roi.get("ROIName") or ""
    return (name if isinstance(name, str) else "\\".join(map(str, name))).strip()


def _names(series: Sequence[Series]) -> str:
    return " and ".join(item.name for item in series)
