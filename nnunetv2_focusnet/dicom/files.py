"""Which files of a folder are DICOM and whole, and which ought to be: a slice that broke isn't taken for some note."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath

from pydicom import Dataset, dcmread
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.errors import InvalidDicomError
from pydicom.uid import CTImageStorage, MediaStorageDirectoryStorage

from nnunetv2_focusnet.dicom.privacy import IDENTIFYING, Redactor, identifying_words
from nnunetv2_focusnet.system.folders import Listing

ENDINGS = {".dcm", ".dicom", ".dic", ".ima"}
LARGE = 2**16  # bytes: larger values are read when they are asked for, which pixels aren't
EMPTY, NO_DICOM = "is empty", "isn't DICOM"
BEGIN = 2**10  # bytes of a file that tell a text
UNDEFINED_LENGTH = 2**32 - 1
DELIMITER = 8  # bytes that end a value of undefined length
TAGS = (
    *IDENTIFYING,
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "FrameOfReferenceUID",
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "NumberOfFrames",
    "PixelSpacing",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "RescaleSlope",
    "RescaleIntercept",
    "ReferencedFrameOfReferenceSequence",
)


@dataclass(frozen=True)
class Broken:
    """A file that is, or ought to be, DICOM and can't be read, or a folder that can't be listed.

    Attributes:
        folder: where it lies.
        message: names it and says what to do.
        series: SeriesInstanceUID, where that can be read; empty otherwise.
    """

    folder: Path
    message: str
    series: str = ""


@dataclass(frozen=True)
class DicomFiles:
    """The DICOM files of a tree.

    Attributes:
        headers: the elements of `TAGS` of each file that is whole, files sorted.
        names: of these files in messages, without anything that says who the patient is.
        broken: what can't be read.
    """

    headers: Mapping[Path, Dataset]
    names: Mapping[Path, str]
    broken: tuple[Broken, ...]


class _BrokenFileError(Exception):
    def __init__(self, why: str, header: Dataset) -> None:
        super().__init__(why)
        self.header = header


def read_files(listing: Listing, folder: Path) -> DicomFiles:
    """Read the headers of all DICOM files of a listing.

    Besides files that begin as DICOM does, those with an ending of DICOM ought to be DICOM, and those with the same
    ending, or none, as DICOM files in their folder, except texts such as README. An empty file ought to be if any file
    of the tree has its ending.

    Args:
        listing: of the folder.
        folder: names of files start below it.
    """
    headers: dict[Path, Dataset] = {}
    failed: dict[Path, _BrokenFileError] = {}
    others: dict[Path, str] = {}
    words: set[str] = set()
    for file in listing.files:
        try:
            headers[file] = _read(file)
            words |= identifying_words(headers[file])
        except (InvalidDicomError, OSError) as error:
            others[file] = _why_not_dicom(file, error)
        except _BrokenFileError as error:
            failed[file] = error
            words |= identifying_words(error.header)
    directories = [file for file, header in headers.items() if _is_directory(header)]
    for file in directories:
        del headers[file]
    endings = {(file.parent, _ending(file)) for file in (*headers, *failed)}
    everywhere = {ending for _, ending in endings}

    def ought_to_be_dicom(file: Path) -> bool:
        ending = _ending(file)
        empty = others[file] == EMPTY and ending in everywhere
        beside = (file.parent, ending) in endings and not (others[file] == NO_DICOM and _is_note(file))
        return ending in ENDINGS or beside or empty

    redact = Redactor(words)
    broken = [
        Broken(file.parent, f"{redact(file.relative_to(folder))} {error}", text_of(error.header, "SeriesInstanceUID"))
        for file, error in failed.items()
    ]
    broken += [
        Broken(file.parent, f"{redact(file.relative_to(folder))} {why}: copy it again, or delete it if it is no DICOM")
        for file, why in others.items()
        if ought_to_be_dicom(file)
    ]
    for path, why in listing.unreadable.items():
        name = "the DICOM folder" if path == folder else redact(path.relative_to(folder))
        broken.append(Broken(path.parent, f"{name} can't be listed ({why}): change its permissions"))
    names = {file: _name(file.relative_to(folder), header, redact) for file, header in headers.items()}
    return DicomFiles(headers, names, tuple(broken))


def _why_not_dicom(file: Path, error: Exception) -> str:
    if isinstance(error, OSError):
        return f"can't be read ({error.strerror})"
    return NO_DICOM if file.stat().st_size else EMPTY


def _is_note(file: Path) -> bool:
    """Whether it is a text that isn't named by a number, as slices are: README or LICENSE beside slices without ending.

    What is left of a cut slice begins with zeros.
    """
    if any(character.isdigit() for character in file.name):
        return False
    with file.open("rb") as stream:
        return b"\0" not in stream.read(BEGIN)


def _read(file: Path) -> Dataset:
    """The elements of `TAGS` of a DICOM file.

    pydicom takes the end of a file for the end of the last value, and what is missing for not there.

    Raises:
        InvalidDicomError: it doesn't begin as DICOM does.
        OSError: it can't be opened.
        _BrokenFileError: it is broken.
    """
    result = Dataset()
    try:
        header = dcmread(file, defer_size=LARGE)
        syntax = header.file_meta.get("TransferSyntaxUID")
        if syntax and (syntax.is_deflated or syntax.is_compressed):
            header = dcmread(file)  # pydicom can't go back to values that it inflates, nor tell how long frames are
        cut = _cut_values(header, file.stat().st_size)
        for keyword in TAGS:
            if keyword in header and tag_for_keyword(keyword) not in cut:
                result[keyword] = header[keyword]
    except InvalidDicomError:
        raise
    except Exception as error:  # pydicom raises nearly anything on broken files, and an OSError of its own
        if isinstance(error, OSError) and error.errno:
            raise
        raise _BrokenFileError("is broken DICOM: copy it again", result) from None
    result.file_meta = header.file_meta
    if cut:
        raise _BrokenFileError("is cut off: copy it again", result)
    if _is_directory(header):
        return result
    if not header.get("SOPClassUID"):
        raise _BrokenFileError("is broken DICOM: copy it again", result)
    if header.SOPClassUID == CTImageStorage and "PixelData" not in header:
        raise _BrokenFileError("ends before its pixels: copy it again", result)
    if header.SOPClassUID == CTImageStorage and _lacks_pixels(header):
        raise _BrokenFileError("has fewer pixels than rows and columns: copy it again", result)
    return result


def _cut_values(header: Dataset, size: int) -> set[int]:
    """Tags of values that end after the file of this size does: the last one's, or none."""
    cut = set()
    for element in header.elements():
        if not isinstance(element, RawDataElement):
            continue
        length = len(element.value or b"")
        if element.length == UNDEFINED_LENGTH:
            complete = element.value_tell + length + DELIMITER <= size
        else:
            deferred = element.value is None and element.length > 0
            complete = (size - element.value_tell if deferred else length) >= element.length
        if not complete:
            cut.add(int(element.tag))
    return cut


def _lacks_pixels(header: Dataset) -> bool:
    """Whether uncompressed pixels are fewer than the header says."""
    pixels: object = header.get_item("PixelData")
    if not isinstance(pixels, RawDataElement) or pixels.length == UNDEFINED_LENGTH:
        return False
    bits = header.get("Rows", 0) * header.get("Columns", 0) * header.get("BitsAllocated", 0)
    return 8 * pixels.length < bits * header.get("SamplesPerPixel", 1)


def _is_directory(header: Dataset) -> bool:
    return header.file_meta.get("MediaStorageSOPClassUID") == MediaStorageDirectoryStorage


def _ending(file: Path) -> str:
    """The ending in lower case; a number, as in CT.1.2.840 or in a UID, is none."""
    return "" if file.suffix[1:].isdecimal() else file.suffix.lower()


def text_of(header: Dataset, keyword: str) -> str:
    """An attribute as text; empty if it is missing or has no value."""
    return str(header.get(keyword) or "")


def _name(path: PurePath, header: Dataset, redact: Redactor) -> str:
    """The path; if it says who the patient is, without that, but with a UID to find the file by."""
    shown = redact(path)
    return shown if shown == path.as_posix() else f"{shown} (SeriesInstanceUID {text_of(header, 'SeriesInstanceUID')})"
