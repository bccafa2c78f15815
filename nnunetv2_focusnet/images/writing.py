"""Writing images and pictures so that a full disk is noticed."""

from __future__ import annotations

import gzip
import io
from contextlib import suppress
from pathlib import Path

import SimpleITK as sitk
from matplotlib.figure import Figure

from nnunetv2_focusnet.files import WriteError, write_bytes

NIFTI_HEADER_BYTES = 352
_CHUNK = 2**20


def write_image(image: sitk.Image, path: Path) -> None:
    """Write an image, compressed, and look whether all of it is there; one that isn't is removed.

    ITK truncates NIfTI files without a word.

    Raises:
        WriteError: it can't be written.
    """
    try:
        sitk.WriteImage(image, str(path), useCompression=True)
        if path.name.endswith((".nii", ".nii.gz")):
            _check_whole(path, sitk.GetArrayViewFromImage(image).nbytes)
    except (RuntimeError, OSError, EOFError) as error:
        with suppress(OSError):
            path.unlink()
        last = str(error).strip().splitlines()[-1]
        raise WriteError(f"{path} can't be written ({last}): make room on that disk, or write elsewhere") from None


def _check_whole(path: Path, voxel_bytes: int) -> None:
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
        held = sum(map(len, iter(lambda: stream.read(_CHUNK), b"")))  # raises where a gzip stream ends early
    if held < NIFTI_HEADER_BYTES + voxel_bytes:
        raise EOFError(f"only {held} of {NIFTI_HEADER_BYTES + voxel_bytes} bytes are there")


def save_figure(figure: Figure, picture: Path, dpi: int) -> None:
    """Write a picture, in the format that its name ends in, in one piece. Pillow, left to itself, doesn't say why it can't.

    Raises:
        WriteError: it can't be written.
    """
    content = io.BytesIO()
    figure.savefig(content, format=picture.suffix[1:], dpi=dpi)
    write_bytes(picture, content.getvalue())
