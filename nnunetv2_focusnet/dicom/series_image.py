"""The voxels of a CT series."""

from __future__ import annotations

import SimpleITK as sitk

from nnunetv2_focusnet.dicom.privacy import without_warnings
from nnunetv2_focusnet.dicom.tree import Series, Slice
from nnunetv2_focusnet.images.grid import Grid


def read_series(series: Series, grid: Grid) -> sitk.Image:
    """The CT in Hounsfield units.

    Raises:
        ValueError: a file can't be read.
    """
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames([str(slice_.file) for slice_ in series.slices])
    with without_warnings():
        try:
            return grid.put(reader.Execute())
        except RuntimeError:
            broken = next((slice_ for slice_ in series.slices if not _readable(slice_)), series.slices[0])
            mend = f"uncompress the series from {broken.compression}" if broken.compression else "copy it again"
            raise ValueError(f"the pixels of {broken.name} can't be read: {mend}") from None


def _readable(slice_: Slice) -> bool:
    try:
        return sitk.ReadImage(str(slice_.file)).GetSize() == slice_.grid.size
    except RuntimeError:
        return False
