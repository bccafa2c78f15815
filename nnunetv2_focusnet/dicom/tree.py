"""What DICOM files a folder holds: CT slices by series, and RT structure sets."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError
from pydicom.uid import CTImageStorage, MediaStorageDirectoryStorage, RTStructureSetStorage

from nnunetv2_focusnet.dicom.privacy import IDENTIFYING, Redactor, identifying_words, without_warnings

TAGS = [
    *IDENTIFYING,
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "FrameOfReferenceUID",
    "Rows",
    "Columns",
    "PixelSpacing",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "ReferencedFrameOfReferenceSequence",
]


@dataclass(frozen=True)
class Slice:
    """One CT slice, as its header describes it.

    Attributes:
        file: where it lies.
        name: of the file in messages, without anything that says who the patient is.
        instance: SOPInstanceUID.
        size: rows and columns.
        spacing: between rows and between columns, in mm.
        position: of the first voxel's centre (x, y, z), in mm.
        orientation: direction of the rows, then of the columns.
    """

    file: Path
    name: str
    instance: str
    size: tuple[int, int]
    spacing: tuple[float, float]
    position: tuple[float, float, float]
    orientation: tuple[float, ...]

    @property
    def normal(self) -> np.ndarray:
        """Unit vector across the slice."""
        return np.cross(self.orientation[:3], self.orientation[3:])


@dataclass(frozen=True)
class Series:
    """One CT series.

    Attributes:
        uid: SeriesInstanceUID.
        study: StudyInstanceUID.
        frame_of_reference: FrameOfReferenceUID; may be empty.
        slices: in the order of their positions, in the direction of the first slice's normal.
        problem: what is wrong with a header of the series; empty if nothing is.
    """

    uid: str
    study: str
    frame_of_reference: str
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
        frames_of_reference: UIDs that it refers to.
        series: SeriesInstanceUIDs that it refers to.
    """

    file: Path
    name: str
    frames_of_reference: frozenset[str]
    series: frozenset[str]


@dataclass(frozen=True)
class Tree:
    """CT series and structure sets below a folder, sorted by UID and by file, and files that can't be read."""

    series: tuple[Series, ...]
    structure_sets: tuple[StructureSet, ...]
    unreadable: tuple[str, ...]


def read_tree(folder: Path) -> Tree:
    """Find all CT series and structure sets in a folder and its subfolders. No pixels and no contours are read.

    Raises:
        ValueError: it is no folder, or there is no CT slice in it.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder")
    headers, broken = {}, []
    words: set[str] = set()
    with without_warnings():
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            try:
                header = dcmread(file, stop_before_pixels=True, specific_tags=TAGS)
                words |= identifying_words(header)
            except InvalidDicomError:  # notes and viewers lie beside images
                continue
            except Exception:  # pydicom raises nearly anything on broken files
                broken.append(file)
                continue
            if "SOPClassUID" in header:
                headers[file] = header
            elif header.file_meta.get("MediaStorageSOPClassUID") != MediaStorageDirectoryStorage:
                broken.append(file)
        redact = Redactor(words)
        names = {file: redact(file.relative_to(folder)) for file in broken}
        names |= {file: _name(file.relative_to(folder), header, redact) for file, header in headers.items()}
        series = _series({file: h for file, h in headers.items() if h.get("SOPClassUID") == CTImageStorage}, names)
        structure_sets = tuple(
            _structure_set(file, header, names[file])
            for file, header in headers.items()
            if header.get("SOPClassUID") == RTStructureSetStorage
        )
    unreadable = tuple(f"{names[file]} is broken DICOM: copy it again" for file in broken)
    if not series:
        raise ValueError(unreadable[0] if unreadable else "the DICOM folder holds no CT slices (CT Image Storage)")
    return Tree(series, structure_sets, unreadable)


def _name(path: PurePath, header: Dataset, redact: Redactor) -> str:
    """The path; if it says who the patient is, without that, but with a UID to find the file by."""
    shown = redact(path)
    return shown if shown == path.as_posix() else f"{shown} (SeriesInstanceUID {header.get('SeriesInstanceUID', '')})"


def _series(headers: dict[Path, Dataset], names: dict[Path, str]) -> tuple[Series, ...]:
    by_uid = defaultdict(list)
    for file, header in headers.items():
        by_uid[str(header.get("SeriesInstanceUID", ""))].append((file, header))
    return tuple(_one_series(uid, members, names) for uid, members in sorted(by_uid.items()))


def _one_series(uid: str, members: list[tuple[Path, Dataset]], names: dict[Path, str]) -> Series:
    slices, problem = [], ""
    for file, header in members:
        try:
            slices.append(_slice(file, header, names[file]))
        except (AttributeError, TypeError, ValueError):
            problem = problem or f"{names[file]} doesn't say where in the patient it lies: export the series again"
    if slices:
        normal = slices[0].normal
        slices.sort(key=lambda slice_: (float(normal @ slice_.position), slice_.name))
    first = members[0][1]
    study, frame = (str(first.get(keyword, "")) for keyword in ("StudyInstanceUID", "FrameOfReferenceUID"))
    return Series(uid, study, frame, tuple(slices), problem)


def _slice(file: Path, header: Dataset, name: str) -> Slice:
    row_mm, column_mm = map(float, header.PixelSpacing)
    x, y, z = map(float, header.ImagePositionPatient)
    orientation = tuple(map(float, header.ImageOrientationPatient))
    if len(orientation) != 6:
        raise ValueError("ImageOrientationPatient has six values")
    size = (int(header.Rows), int(header.Columns))
    return Slice(file, name, str(header.SOPInstanceUID), size, (row_mm, column_mm), (x, y, z), orientation)


def _structure_set(file: Path, header: Dataset, name: str) -> StructureSet:
    frames = header.get("ReferencedFrameOfReferenceSequence") or []
    series = {
        str(item.SeriesInstanceUID)
        for frame in frames
        for study in frame.get("RTReferencedStudySequence") or []
        for item in study.get("RTReferencedSeriesSequence") or []
        if "SeriesInstanceUID" in item
    }
    uids = frozenset(str(frame.FrameOfReferenceUID) for frame in frames if "FrameOfReferenceUID" in frame)
    return StructureSet(file, name, uids, frozenset(series))
