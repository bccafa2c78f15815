"""What DICOM files a folder holds: CT slices by series, and RT structure sets."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from pydicom import Dataset
from pydicom.uid import (
    UID,
    CTImageStorage,
    EnhancedCTImageStorage,
    LegacyConvertedEnhancedCTImageStorage,
    RTStructureSetStorage,
)

from nnunetv2_focusnet.dicom.files import Broken, DicomFiles, read_files, text_of
from nnunetv2_focusnet.dicom.privacy import without_warnings
from nnunetv2_focusnet.images.grid import Grid, at_right_angles
from nnunetv2_focusnet.system.folders import list_below

ENHANCED = (EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage)


@dataclass(frozen=True)
class Slice:
    """One CT slice, as its header describes it.

    Attributes:
        file: where it lies.
        name: of the file in messages, without anything that says who the patient is.
        instance: SOPInstanceUID.
        grid: of its voxels, 1 mm thick, as a slice alone doesn't say how far the next one is.
        compression: name of the transfer syntax, if that compresses pixels; else empty.
    """

    file: Path
    name: str
    instance: str
    grid: Grid
    compression: str

    @property
    def normal(self) -> np.ndarray:
        """Unit vector across the slice."""
        return self.grid.steps_mm[:, 2]

    def points_mm(self, indices: np.ndarray) -> np.ndarray:
        """Positions in the patient (N, 3) of indices (N, 2) with (x, y), which needn't be whole."""
        return self.grid.points_mm(np.insert(indices, 2, 0, axis=1))


@dataclass(frozen=True)
class Series:
    """One CT series.

    Attributes:
        uid: SeriesInstanceUID.
        study: StudyInstanceUID.
        frame_of_reference: FrameOfReferenceUID; may be empty.
        patient: PatientID; may be empty, and belongs into no message.
        slices: in the order of their positions, in the direction of the first slice's normal.
        problem: what is wrong with a file of the series, or with one that may be of it; empty if nothing is.
    """

    uid: str
    study: str
    frame_of_reference: str
    patient: str = field(repr=False)
    slices: tuple[Slice, ...]
    problem: str = ""

    @property
    def name(self) -> str:
        """Names the series in messages."""
        return f"the series of {self.slices[0].name}" if self.slices else f"series {self.uid}"


@dataclass(frozen=True)
class StructureSet:
    """One RT structure set.

    Attributes:
        file: where it lies.
        name: of the file in messages.
        patient: PatientID; may be empty, and belongs into no message.
        frames_of_reference: UIDs that it refers to.
        series: SeriesInstanceUIDs that it refers to.
        instances: SOPInstanceUIDs of the slices that it refers to.
    """

    file: Path
    name: str
    patient: str = field(repr=False)
    frames_of_reference: frozenset[str]
    series: frozenset[str]
    instances: frozenset[str]


@dataclass(frozen=True)
class Tree:
    """What lies below a folder, sorted by UID and by file.

    Attributes:
        series: of CT.
        structure_sets: RT structure sets.
        other_series: SeriesInstanceUID to kind, of images that are no CT slices.
        unreadable: a line for each file or folder that can't be read.
    """

    series: tuple[Series, ...]
    structure_sets: tuple[StructureSet, ...]
    other_series: Mapping[str, str]
    unreadable: tuple[str, ...]


def read_tree(folder: Path) -> Tree:
    """Find all CT series and structure sets in a folder and its subfolders. No pixels and no contours are read.

    Raises:
        ValueError: it is no folder, or there is no CT slice in it.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder")
    with without_warnings():
        files = read_files(list_below(folder), folder)
        by_class = defaultdict(list)
        for file, header in files.headers.items():
            by_class[str(header.SOPClassUID)].append((file, header))
        series = _series(by_class.pop(CTImageStorage, []), files)
        structure_sets = tuple(
            _structure_set(file, header, files.names[file]) for file, header in by_class.pop(RTStructureSetStorage, [])
        )
    unreadable = [each.message for each in files.broken]
    unreadable += [
        f"{files.names[file]} is {UID(kind).name}, which isn't read: convert it to CT Image Storage, a file for each "
        "slice, for instance with emf2sf of dcm4che"
        for kind in ENHANCED
        for file, _ in by_class.get(kind, [])
    ]
    others = {
        text_of(header, "SeriesInstanceUID"): UID(kind).name for kind, each in by_class.items() for _, header in each
    }
    if not series:
        found = f", only {' and '.join(sorted(set(others.values())))}" if others else ""
        raise ValueError(
            unreadable[0] if unreadable else f"the DICOM folder holds no CT slices (CT Image Storage){found}"
        )
    return Tree(series, structure_sets, others, tuple(unreadable))


def _series(members: list[tuple[Path, Dataset]], files: DicomFiles) -> tuple[Series, ...]:
    by_uid = defaultdict(list)
    for file, header in members:
        by_uid[text_of(header, "SeriesInstanceUID")].append((file, header))
    return tuple(_one_series(uid, each, files) for uid, each in sorted(by_uid.items()))


def _one_series(uid: str, members: list[tuple[Path, Dataset]], files: DicomFiles) -> Series:
    slices, problems = [], _broken_slices(uid, {file.parent for file, _ in members}, files.broken)
    for file, header in members:
        try:
            slices.append(_slice(file, header, files.names[file]))
        except ValueError as error:
            problems.append(str(error))
    if slices:
        normal = slices[0].normal
        slices.sort(key=lambda slice_: (float(normal @ slice_.grid.origin), slice_.name))
    problems += _double_numbers(uid, slices, [header for _, header in members])
    first = members[0][1]
    study, frame = text_of(first, "StudyInstanceUID"), text_of(first, "FrameOfReferenceUID")
    return Series(uid, study, frame, text_of(first, "PatientID"), tuple(slices), next(iter(problems), ""))


def _broken_slices(uid: str, folders: set[Path], broken: Sequence[Broken]) -> list[str]:
    """Messages of what may be slices of a series: files that name it, or that name none and lie beside its slices."""
    return [each.message for each in broken if each.series == uid or (not each.series and each.folder in folders)]


def _double_numbers(uid: str, slices: Sequence[Slice], headers: Sequence[Dataset]) -> Iterator[str]:
    """Where what should be unique, or common to all slices, isn't."""
    if not slices:
        return
    series = f"the series of {slices[0].name}"
    if not uid:
        yield f"{series} has no SeriesInstanceUID: export it again"
    for keyword in ("StudyInstanceUID", "FrameOfReferenceUID", "PatientID"):
        if (number := len({text_of(header, keyword) for header in headers})) > 1:
            yield f"{series} has {number} values of {keyword}: its slices are of several series, export each again"
    by_instance: dict[str, Slice] = {}
    for slice_ in slices:
        other = by_instance.setdefault(slice_.instance, slice_)
        if other is not slice_:
            names = f"{other.name} and {slice_.name}"
            yield f"{names} have the same SOPInstanceUID: if they are copies, delete one, or else export them again"


def _slice(file: Path, header: Dataset, name: str) -> Slice:
    """Check what a slice needs.

    Raises:
        ValueError: one line that names file and attribute.
    """
    where = f"{name} doesn't say where in the patient it lies"
    rows, columns = _numbers(header, "Rows", 1, where)[0], _numbers(header, "Columns", 1, where)[0]
    row_mm, column_mm = _numbers(header, "PixelSpacing", 2, where)
    position = _numbers(header, "ImagePositionPatient", 3, where)
    axes = np.reshape(_numbers(header, "ImageOrientationPatient", 6, where), (2, 3)).T
    if min(rows, columns, row_mm, column_mm) <= 0:
        raise ValueError(f"{where} (Rows, Columns and PixelSpacing have to be positive): export the series again")
    if not at_right_angles(axes):
        raise ValueError(f"{where} (ImageOrientationPatient isn't two unit vectors): export the series again")
    values = f"{name} doesn't say how its pixels become Hounsfield units"
    slope, _ = (_numbers(header, keyword, 1, values)[0] for keyword in ("RescaleSlope", "RescaleIntercept"))
    if slope == 0:
        raise ValueError(f"{values} (RescaleSlope is 0): export the series again")
    if header.get("NumberOfFrames") not in (None, "", 1) or header.get("SamplesPerPixel") not in (None, "", 1):
        raise ValueError(f"{name} has several frames, or colours, where a CT slice has one: export the series again")
    instance = text_of(header, "SOPInstanceUID")
    if not instance:
        raise ValueError(f"{name} has no SOPInstanceUID: export the series again")
    syntax = header.file_meta.get("TransferSyntaxUID")
    compression = syntax.name if syntax and syntax.is_compressed else ""
    normal = np.cross(*axes.T)
    direction = np.column_stack([axes, normal / np.linalg.norm(normal)])
    grid = Grid((int(columns), int(rows), 1), (column_mm, row_mm, 1.0), position, tuple(direction.ravel().tolist()))
    return Slice(file, name, instance, grid, compression)


def _numbers(header: Dataset, keyword: str, count: int, what: str) -> tuple[float, ...]:
    value = header.get(keyword)
    try:
        numbers = tuple(map(float, value if isinstance(value, Sequence) and not isinstance(value, str) else [value]))
    except (TypeError, ValueError):
        numbers = ()
    if len(numbers) != count or not np.isfinite(numbers).all():
        raise ValueError(f"{what} ({keyword} is missing or wrong): export the series again")
    return numbers


def _structure_set(file: Path, header: Dataset, name: str) -> StructureSet:
    frames = header.get("ReferencedFrameOfReferenceSequence") or []
    series = [
        item
        for frame in frames
        for study in frame.get("RTReferencedStudySequence") or []
        for item in study.get("RTReferencedSeriesSequence") or []
        if "SeriesInstanceUID" in item
    ]
    instances = frozenset(
        text_of(image, "ReferencedSOPInstanceUID")
        for item in series
        for image in item.get("ContourImageSequence") or []
    )
    uids = frozenset(text_of(frame, "FrameOfReferenceUID") for frame in frames if frame.get("FrameOfReferenceUID"))
    names = frozenset(text_of(item, "SeriesInstanceUID") for item in series)
    return StructureSet(file, name, text_of(header, "PatientID"), uids, names, instances)
