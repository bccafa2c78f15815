"""Images as they are registered: what is kept of them, and where it lies."""

import numpy as np
import SimpleITK as sitk

from nnunetv2_focusnet.atlas.registration import Effort, prepare
from nnunetv2_focusnet.images.grid import Grid

GRID = Grid((60, 50, 10), (1.0, 1.0, 4.0), (-30.0, 7.0, 2.0), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0))


def ct_with_table() -> sitk.Image:
    """A patient of 200 HU from x = 20 to 39, y = 14 to 29, in all slices; a table of three rows below, apart."""
    hu = np.full(GRID.shape, -1000, np.int16)
    hu[:, 14:30, 20:40] = 200
    hu[:, 45:48] = 200
    return GRID.put(sitk.GetImageFromArray(hu))


def test_the_patient_alone_is_registered() -> None:
    """With 10 mm around, where the image goes on that far; the table, 15 mm away, isn't the largest thing."""
    prepared = prepare(ct_with_table(), Effort(1.0, (1,)), is_ct=True)
    assert prepared.GetSize() == (20 + 2 * 10, 16 + 2 * 10, 10)
    np.testing.assert_allclose(prepared.GetOrigin(), (-30 + 10, 7 + 4, 2))
    grey = sitk.GetArrayFromImage(prepared)
    patient = np.zeros(grey.shape, bool)
    patient[:, 10:26, 10:30] = True
    np.testing.assert_allclose(grey[patient], 0.5)  # 200 HU in a window from -300 to 700
    assert not grey[~patient].any()


def test_voxels_get_no_finer_and_stay_where_they_are() -> None:
    """At 2 mm pairs of voxels become one, slices of 4 mm stay: the patient's edges are between the same voxels."""
    prepared = prepare(ct_with_table(), Effort(2.0, (1,)), is_ct=True)
    assert prepared.GetSpacing() == (2.0, 2.0, 4.0)
    assert prepared.GetSize() == (20, 18, 10)
    np.testing.assert_allclose(prepared.GetOrigin(), (-30 + 10 + 0.5, 7 + 4 + 0.5, 2))  # half-way between two voxels
    grey = sitk.GetArrayFromImage(prepared)
    assert (grey[:, 6:12, 6:14] > 0.49).all()
    assert (grey[:, 5:13, 5:15] > 0.25).all()
    assert (grey[:, :4] < 0.05).all()


def test_air_alone_stays_whole() -> None:
    air = GRID.put(sitk.GetImageFromArray(np.full(GRID.shape, -1000, np.int16)))
    assert Grid.of(prepare(air, Effort(1.0, (1,)), is_ct=True)) == GRID


def test_other_images_are_seen_without_their_outliers() -> None:
    """Of the values 0 to 1000 the 0.5th percentile is 5, the 99.5th 995."""
    values = np.arange(1001, dtype=np.float32).reshape(7, 11, 13)
    grey = sitk.GetArrayFromImage(prepare(sitk.GetImageFromArray(values), Effort(0.1, (1,)), is_ct=False)).ravel()
    np.testing.assert_allclose(grey, np.clip((np.arange(1001) - 5) / 990, 0, 1), atol=1e-6)
