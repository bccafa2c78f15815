"""Writing images and pictures so that a full disk is noticed."""

from __future__ import annotations

import io
import uuid
import warnings
from contextlib import suppress
from pathlib import Path

import SimpleITK as sitk
from matplotlib.figure import Figure

from nnunetv2_focusnet.images.completeness import BrokenFileError, check_complete
from nnunetv2_focusnet.system.files import WriteError, naming, write_bytes
from nnunetv2_focusnet.system.text import last_line


def write_image(image: sitk.Image, path: Path) -> None:
    """Write an image, compressed, in one piece: it has its name only when all of it is there.

    ITK truncates NIfTI files without a word.

    Raises:
        WriteError: it can't be written.
    """
    temporary = path.with_name(f".{uuid.uuid4().hex[:8]}.{path.name}")  # ITK goes by the ending
    try:
        sitk.WriteImage(image, str(temporary), useCompression=True)
        check_complete(temporary)
        with naming(path):
            temporary.replace(path)
    except (RuntimeError, BrokenFileError) as error:
        raise WriteError(
            f"{path} can't be written ({last_line(error)}): make room on that disk, or write elsewhere"
        ) from None
    finally:
        with suppress(OSError):
            temporary.unlink()


def save_figure(figure: Figure, picture: Path, dpi: int) -> None:
    """Write a picture, in the format that its name ends in, in one piece.

    Pillow, left to itself, doesn't say why it can't.

    Raises:
        WriteError: it can't be written.
    """
    content = io.BytesIO()
    with warnings.catch_warnings():
        # the font lacks scripts such as Chinese; tables and report.html have these names, so boxes are drawn for them
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        figure.savefig(content, format=picture.suffix[1:], dpi=dpi)
    write_bytes(picture, content.getvalue())
