"""Whether a file holds all that its header asks for.

ITK's readers fill what a file lacks with zeros or with whatever the memory held, and take no notice of checksums; so do
nnU-Net's, which are built on them. The formats here are those of volumes that nnU-Net's readers take.
"""

from __future__ import annotations

import gzip
import logging
import math
import re
import threading
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import tifffile
from nibabel.nifti1 import Nifti1Header
from nibabel.nifti2 import Nifti2Header
from nibabel.spatialimages import HeaderDataError

from nnunetv2_focusnet.system.text import last_line

BLOCK = 2**20  # bytes, a multiple of every voxel's size
HEAD = 540  # bytes of the longest header that formats are told by
LONGEST_LINE = 2**16
LFS_POINTER = b"version https://git-lfs"
GZIP = b"\x1f\x8b"
TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
GIPL = (b"\x2a\xe3\x89\xb8", b"\xef\xff\xe9\xb0")
GIPL_HEADER = 256
READING_TIFF = threading.Lock()  # logging may pass over a filter while another thread takes its own away


class BrokenFileError(Exception):
    """What is wrong with a file, to stand in the middle of a sentence.

    Attributes:
        remedy: what to do about it; None: get the file again.
    """

    def __init__(self, reason: str, remedy: str | None = None) -> None:
        super().__init__(reason)
        self.remedy = remedy


class NotFiniteError(BrokenFileError):
    """Some of the values aren't finite."""

    def __init__(self) -> None:
        super().__init__("it holds NaN or infinite values", "replace them, by -1024 HU where a CT has no data")


def check_complete(file: Path) -> bool:
    """Read a file to its end and compare it with its header.

    Compressed data has to end where it says, with the checksum that it gives. NIfTI's values have to be finite, as ITK
    takes those that aren't for 0.

    Returns:
        Whether the format is known; nothing is checked of others.

    Raises:
        BrokenFileError: the file is missing, empty, cut off or damaged.
    """
    try:
        return _check(file)
    except EOFError:
        raise BrokenFileError("it is cut off: its compressed data ends early") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise BrokenFileError(f"its compressed data is damaged ({error})") from None
    except FileNotFoundError:
        raise BrokenFileError("it doesn't exist") from None
    except OSError as error:
        raise BrokenFileError(error.strerror or str(error)) from None
    except ValueError as error:
        raise BrokenFileError(f"its header is damaged ({last_line(error)})") from None


def _check(file: Path) -> bool:
    header_file, data_file = _pair(file)
    with _opened(header_file) as stream:
        head = stream.read(HEAD)
        stream.seek(0)
        if not head:
            raise BrokenFileError("it is empty")
        if head.startswith(LFS_POINTER):
            raise BrokenFileError("it is a Git LFS pointer, not the file itself", "run git lfs pull")
        if head.startswith(TIFF):
            _check_tiff(file)
        elif head.startswith(b"NRRD"):
            _check_nrrd(file, stream)
        elif re.match(rb"\s*\w+\s*=\s*\S", head):
            _check_meta_image(file, stream)
        elif head[GIPL_HEADER - 4 : GIPL_HEADER] in GIPL:
            _check_length(stream, GIPL_HEADER, _size_of_voxels(file))
        elif any(int.from_bytes(head[:4], order) in (348, 540) for order in ("little", "big")):
            with _opened(data_file) as data:
                _check_nifti(head, data)
        else:
            return False
    return True


def _opened(file: Path) -> Any:
    """The content, decompressed where the whole file is compressed, whatever its name says."""
    with file.open("rb") as stream:
        compressed = stream.read(len(GZIP)) == GZIP
    return gzip.open(file) if compressed else file.open("rb")


def _pair(file: Path) -> tuple[Path, Path]:
    """Where header and voxels are: Analyze and NIfTI may keep them apart."""
    if match := re.fullmatch(r"(.*)\.(?:hdr|img)(\.gz)?", file.name):
        stem, compressed = match[1], match[2] or ""
        return file.with_name(f"{stem}.hdr{compressed}"), file.with_name(f"{stem}.img{compressed}")
    return file, file


def _check_length(stream: Any, start: int, needed: int, floats: np.dtype | None = None) -> None:
    """Read to the end. From ``start`` on there must be so many bytes; if they are floats, of finite numbers."""
    stream.seek(start)
    block = memoryview(bytearray(BLOCK))
    held = 0
    while count := stream.readinto(block):
        voxels = block[: max(0, min(count, needed - held))]
        held += count
        if floats is not None and not _finite(voxels, floats):
            raise NotFiniteError
    _check_enough(held, needed)


def _finite(voxels: memoryview, dtype: np.dtype) -> bool:
    whole = len(voxels) // dtype.itemsize * dtype.itemsize
    return bool(np.isfinite(np.frombuffer(voxels[:whole], dtype)).all())


def _check_enough(held: int, needed: int) -> None:
    if held < needed:
        raise BrokenFileError(f"it is cut off: its header asks for {needed} bytes of voxels, it holds {held}")


def _check_nifti(head: bytes, data: Any) -> None:
    kind = Nifti2Header if 540 in (int.from_bytes(head[:4], order) for order in ("little", "big")) else Nifti1Header
    if len(head) < kind.sizeof_hdr:
        raise BrokenFileError("it is cut off within its header")
    header = kind(head[: kind.sizeof_hdr], check=False)
    number = int(header["dim"][0])
    shape = header["dim"][1 : number + 1].astype(int).tolist()
    if not 1 <= number <= 7 or min(shape) < 1:
        raise BrokenFileError(f"its header is damaged: it asks for the shape {shape}")
    numbers = [header["pixdim"][1 : 1 + min(number, 3)], header["vox_offset"]]
    single_file = header["magic"].item().startswith(b"n+")
    if header["magic"].item()[:1] == b"n":
        numbers += [header[name] for name in ("srow_x", "srow_y", "srow_z") if header["sform_code"] > 0]
        numbers += [header[f"qoffset_{axis}"] for axis in "xyz" if header["qform_code"] > 0]
    if not all(np.isfinite(values).all() for values in numbers) or not numbers[0].all():
        remedy = "correct its header (pixdim, sform, qform) or save it again"
        raise BrokenFileError("its header has a voxel size of 0, or numbers that aren't finite", remedy)
    try:
        dtype = header.get_data_dtype()
    except (HeaderDataError, KeyError):
        raise BrokenFileError(f"its header is damaged: it names no known type ({header['datatype']})") from None
    start = int(header["vox_offset"])
    if single_file and start < kind.single_vox_offset:  # ITK takes the header for voxels
        remedy = f"set vox_offset to {kind.single_vox_offset}, or save it again with nibabel"
        raise BrokenFileError(f"its voxels are said to begin within its header (vox_offset {start})", remedy)
    _check_length(data, max(start, 0), math.prod(shape) * dtype.itemsize, dtype if dtype.kind in "fc" else None)


def _check_nrrd(file: Path, stream: Any) -> None:
    fields = _fields(stream, b":", lambda line: not line.strip())
    name = fields.get("data file") or fields.get("datafile")
    encoding = fields.get("encoding", "raw").lower()
    with _data_file(file, name) as data:
        needed = _size_of_voxels(file)
        data.seek(0 if name else stream.tell())
        for _ in range(int(fields.get("line skip", 0))):
            data.readline()
        if encoding == "raw":
            _check_length(data, data.tell(), needed)
        elif encoding in ("gzip", "gz"):
            _check_length(gzip.GzipFile(fileobj=data), 0, needed)
        # of numbers as text, ITK misses none


def _check_meta_image(file: Path, stream: Any) -> None:
    fields = _fields(stream, b"=", lambda line: line.strip().lower().startswith(b"elementdatafile"))
    name = fields.get("elementdatafile")
    if not name:
        raise BrokenFileError("it is cut off within its header")
    is_here = name.lower() == "local"
    with _data_file(file, None if is_here else name) as data:
        needed = _size_of_voxels(file)
        data.seek(stream.tell() if is_here else 0)
        if _is_true(fields.get("compresseddata", "False")):
            _check_enough(_decompressed_length(data), needed)
        elif _is_true(fields.get("binarydata", "True")):
            _check_length(data, data.tell(), needed)
        # of numbers as text, ITK misses none


def _is_true(value: str) -> bool:
    """As ITK reads it: True, T, 1."""
    return value[:1] in ("T", "t", "1")


def _fields(stream: Any, separator: bytes, ends: Callable[[bytes], bool]) -> Mapping[str, str]:
    """The lines of a header, up to the one that ends it; names in lower case."""
    fields = {}
    while line := stream.readline(LONGEST_LINE):
        name, _, value = line.partition(separator)
        fields[name.strip().lower().decode("latin-1")] = value.strip().decode("utf-8", "replace")
        if ends(line):
            break
    return fields


def _data_file(file: Path, name: str | None) -> Any:
    """The file that holds the voxels; None: the header's own."""
    if name is None:
        return file.open("rb")
    if name.startswith("LIST") or "%" in name:
        raise BrokenFileError("its voxels are in several files", "save it as one file")
    try:
        return (file.parent / name).open("rb")
    except OSError as error:
        raise BrokenFileError(f"its voxels are in {name}, which can't be read ({error.strerror})") from None


def _decompressed_length(stream: Any) -> int:
    decoder = zlib.decompressobj(zlib.MAX_WBITS + 32)  # gzip's or zlib's own wrapping
    length = 0
    while block := decoder.unconsumed_tail or stream.read(BLOCK):
        length += len(decoder.decompress(block, BLOCK))
        if decoder.eof:
            return length
    raise EOFError


def _check_tiff(file: Path) -> None:
    faults: list[str] = []
    reader = threading.get_ident()

    def keep(record: logging.LogRecord) -> bool:
        if record.thread != reader:
            return True  # somebody else reads another file
        faults.append(record.getMessage())
        return False

    logger = logging.getLogger("tifffile")  # what is missing is nothing but a line in its log
    with READING_TIFF:
        logger.addFilter(keep)
        try:
            with tifffile.TiffFile(file) as tiff:
                pages = [(page.dataoffsets, page.databytecounts) for page in tiff.pages]
        except tifffile.TiffFileError as error:
            raise BrokenFileError(f"it is cut off or damaged ({last_line(error)})") from None
        finally:
            logger.removeFilter(keep)
    end = max((offset + count for page in pages for offset, count in zip(*page, strict=True)), default=0)
    if end > file.stat().st_size or any("offset" in fault for fault in faults):
        raise BrokenFileError("it is cut off: its end is missing")


def _size_of_voxels(file: Path) -> int:
    """Bytes that the header asks for, of formats whose voxels ITK takes as they are."""
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(file))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise BrokenFileError(last_line(error)) from None
    (bits,) = re.findall(r"(\d+)-bit", sitk.GetPixelIDValueAsString(reader.GetPixelID()))
    return math.prod(reader.GetSize()) * reader.GetNumberOfComponents() * int(bits) // 8
