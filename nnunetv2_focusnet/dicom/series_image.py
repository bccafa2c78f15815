"""The voxels of a CT series."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from nnunetv2_focusnet.dicom.privacy import without_warnings
from nnunetv2_focusnet.dicom.tree import Series, Slice
from nnunetv2_focusnet.images.grid import Grid


def read_series(series: Series, grid: Grid) -> sitk.Image:
    """The CT in Hounsfield units: 16-bit integers where all are such, else single precision.

    Raises:
        ValueError: a file can't be read.
    """
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames([str(slice_.file) for slice_ in series.slices])
    reader.SetOutputPixelType(sitk.sitkFloat32)  # else the first slice's, in which those of other slices wrap around
    with without_warnings():
        try:
            return grid.put(_as_integers(reader.Execute()))
        except RuntimeError:
            broken = next((slice_ for slice_ in series.slices if not _readable(slice_)), series.slices[0])
            mend = f"uncompress the series from {broken.compression}" if broken.compression else "copy it again"
            raise ValueError(f"the pixels of {broken.name} can't be read: {mend}") from None


def _as_integers(image: sitk.Image) -> sitk.Image:
    values = sitk.GetArrayViewFromImage(image)
    with np.errstate(invalid="ignore"):  # of numbers that are too large
        all_are = np.array_equal(values.astype(np.int16), values)
    return sitk.Cast(image, sitk.sitkInt16) if all_are else image


def _readable(slice_: Slice) -> bool:
    try:
        return sitk.ReadImage(str(slice_.file)).GetSize() == slice_.grid.size
    except RuntimeError:
        return False
