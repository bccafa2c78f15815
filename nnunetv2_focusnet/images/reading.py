"""The package's one way to read images and label maps: whole files, or a ValueError that names the file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from nnunetv2_focusnet.images.completeness import BrokenFileError, NotFiniteError, check_complete
from nnunetv2_focusnet.images.grid import at_right_angles
from nnunetv2_focusnet.system.text import last_line

REMEDY = "copy it there again"
WITH_GEOMETRY = (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd", ".gipl", ".gipl.gz", ".hdr")
UNKNOWN = "it is neither NIfTI, NRRD, MetaImage, GIPL nor TIFF"
SHEARED = (
    "its axes aren't at right angles (sheared, as after a gantry tilt)",
    "resample it, for example with nibabel.processing.resample_to_output, labels with order=0",
)


def check_file(file: Path, remedy: str = REMEDY) -> None:
    """Check a file that another reader is to read, such as nnU-Net's own; other endings than volumes' pass.

    Args:
        file: of an image or a label map.
        remedy: what to do with a file that isn't whole.

    Raises:
        ValueError: it is missing, empty, cut off, damaged or no image, or holds NaN where ITK would read 0.
    """
    try:
        if not check_complete(file) and file.name.endswith((*WITH_GEOMETRY, ".tif", ".tiff")):
            raise BrokenFileError(UNKNOWN)
    except BrokenFileError as error:
        raise _named(file, error, remedy) from None


def check_has_geometry(file_ending: str) -> None:
    """Check a file format by its ending.

    Raises:
        ValueError: files of it don't say where their voxels lie, nor how large they are, as nnU-Net's TIFF.
    """
    if file_ending not in WITH_GEOMETRY:
        raise ValueError(f"images of {file_ending} don't say where their voxels lie: convert them to NIfTI (.nii.gz)")


def read_image(file: Path, remedy: str = REMEDY) -> sitk.Image:
    """Read an image of any number of axes and components.

    Raises:
        ValueError: as `check_file`; or its format is unknown, a value isn't finite, or axes aren't at right angles.
    """
    reader = read_header(file, remedy)
    try:
        image = reader.Execute()
    except RuntimeError as error:
        raise _named(file, explain(error), remedy) from None
    voxels = sitk.GetArrayViewFromImage(image)
    if voxels.dtype.kind in "fc" and not np.isfinite(voxels).all():
        raise _named(file, NotFiniteError(), remedy)
    return image


def read_volume(file: Path, remedy: str = REMEDY) -> sitk.Image:
    """Read an image of 3 axes with one number per voxel.

    Raises:
        ValueError: as `read_image`, or the image is of another kind.
    """
    image = read_image(file, remedy)
    axes, numbers = image.GetDimension(), image.GetNumberOfComponentsPerPixel()
    if "complex" in image.GetPixelIDTypeAsString():
        numbers *= 2
    if (axes, numbers) != (3, 1):
        raise ValueError(
            f"{file} has {axes} axes and {numbers} numbers per voxel, but 3 axes and 1 number are needed: replace it"
        )
    return image


def read_labels(path: Path, labels: Mapping[str, int]) -> tuple[np.ndarray, sitk.Image]:
    """A label map (Z, Y, X) and the image it comes from.

    Raises:
        ValueError: it can't be read, isn't 3D, or holds other values than 0 and those of ``labels``.
    """
    image = read_volume(path, "mend or replace it")
    array = sitk.GetArrayFromImage(image)
    if not np.issubdtype(array.dtype, np.integer):
        with np.errstate(invalid="ignore"):  # of numbers that are too large
            integers = array.astype(np.int32)
        if not np.array_equal(integers, array):
            raise ValueError(f"{path} holds values that aren't integers: save labels, not probabilities or images")
        array = integers
    unknown = sorted(set(np.unique(array).tolist()) - set(labels.values()) - {0})
    if unknown:
        listed = ", ".join(map(str, unknown))
        raise ValueError(f"{path} holds the label values {listed}, which dataset.json doesn't have: correct either")
    return array, image


def read_header(file: Path, remedy: str = REMEDY) -> sitk.ImageFileReader:
    """Check a file and read what its header says, but no voxels; its Execute() reads them.

    Raises:
        ValueError: as `read_image`; of other formats than NIfTI, values aren't looked at.
    """
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(file))
    try:
        if not check_complete(file):
            raise BrokenFileError(UNKNOWN)
        reader.ReadImageInformation()
        _check_geometry(reader)
    except BrokenFileError as error:
        raise _named(file, error, remedy) from None
    except RuntimeError as error:
        raise _named(file, explain(error), remedy) from None
    return reader


def explain(error: Exception) -> BrokenFileError:
    """What a reader's error means."""
    if "orthonormal" in str(error):  # ITK's word for NIfTI's; the other formats' directions it takes as they are
        return BrokenFileError(*SHEARED)
    if "Unable to determine ImageIO reader" in str(error):  # what is checked before knows more formats
        reason = "SimpleITK doesn't know its format, or not by this ending"
        return BrokenFileError(reason, "save it again as NIfTI-1 (.nii.gz)")
    of_itk = isinstance(error, RuntimeError)
    return BrokenFileError(last_line(error) if of_itk else f"{type(error).__name__}: {last_line(error)}")


def _check_geometry(reader: sitk.ImageFileReader) -> None:
    numbers = (*reader.GetSpacing(), *reader.GetOrigin(), *reader.GetDirection())
    if not all(map(math.isfinite, numbers)) or min(reader.GetSpacing()) <= 0:
        raise BrokenFileError("its header has a voxel size of 0, or numbers that aren't finite", "correct its header")
    direction = np.reshape(reader.GetDirection(), (reader.GetDimension(), -1))
    if not at_right_angles(direction):
        raise BrokenFileError(*SHEARED)


def _named(file: Path, error: BrokenFileError, remedy: str) -> ValueError:
    return ValueError(f"{file} can't be read, {error}: {error.remedy or remedy}")
