import numpy as np
import pytest
import SimpleITK as sitk
from source_folders import ORIGIN, SHAPE, SPACING, box, mask

from nnunetv2_focusnet.convert.label_maps import Overlap, merge, read_organ_mask
from nnunetv2_focusnet.convert.layouts.base import Structure


def image(array: np.ndarray, spacing: tuple[float, ...] = SPACING, origin: tuple[float, ...] = ORIGIN) -> sitk.Image:
    made = sitk.GetImageFromArray(array)
    made.SetSpacing(spacing)
    made.SetOrigin(origin)
    return made


def structure(made: sitk.Image) -> Structure:
    return Structure("Lens_L", made, "case/Lens_L.nrrd")


REFERENCE = image(np.zeros(SHAPE, np.int16))


def painted(made: sitk.Image, resample: bool = False) -> tuple[np.ndarray, str | None]:
    """The mask as a label map of its own, and what is said of its geometry."""
    organ = read_organ_mask(structure(made), REFERENCE, resample)
    return merge({"Lens_L": organ}, ["Lens_L"], SHAPE)[0], organ.geometry


def test_the_smaller_organ_is_on_top_and_the_larger_ones_loss_is_counted() -> None:
    boxes = {
        "Brain": box(0, 0, 0, (6, 6, 6)),  # 216 voxels
        "Stem": box(4, 4, 4, (4, 4, 4)),  # 64, of which 2 * 2 * 2 lie in the brain
        "Lens": box(5, 5, 5, (1, 1, 3)),  # 3, of which 1 lies in both and 2 in the stem alone
    }
    masks = {name: read_organ_mask(structure(image(mask(where))), REFERENCE, False) for name, where in boxes.items()}
    labels, overlaps = merge(masks, ["Lens", "Brain", "Stem"], SHAPE)
    assert np.bincount(labels.ravel()).tolist()[1:] == [3, 216 - 8, 64 - 3]
    assert labels[5, 5, 5] == 1
    assert overlaps == [Overlap("Brain", "Stem", 8), Overlap("Stem", "Lens", 3)]


def test_of_equal_organs_the_later_one_is_on_top() -> None:
    same = read_organ_mask(structure(image(mask(box(1, 1, 1)))), REFERENCE, False)
    for organs in (["A", "B"], ["B", "A"]):
        labels, overlaps = merge({"A": same, "B": same}, organs, SHAPE)
        assert np.unique(labels).tolist() == [0, 2]
        assert overlaps == [Overlap(organs[0], organs[1], 8)]


def test_an_empty_mask_paints_nothing() -> None:
    labels, geometry = painted(image(mask(None)))
    assert not labels.any()
    assert geometry is None


@pytest.mark.parametrize("number", [255, 256])
def test_the_label_map_has_as_many_bits_as_it_needs(number: int) -> None:
    organs = [f"organ {n}" for n in range(number)]
    last = read_organ_mask(structure(image(mask(box(1, 1, 1)))), REFERENCE, False)
    labels, _ = merge({organs[-1]: last}, organs, SHAPE)
    assert labels.max() == number
    assert labels.dtype == (np.uint8 if number < 256 else np.uint16)


def test_a_mask_cut_out_of_the_image_goes_back_where_it_was() -> None:
    """From voxel (x, y, z) = (6, 3, 2) on: (-10 + 6 * 1, 5 + 3 * 1, -40 + 2 * 2.5) mm."""
    whole = mask(box(3, 4, 7, (2, 3, 4)))
    labels, geometry = painted(image(whole[2:6, 3:10, 6:15], origin=(-4.0, 8.0, -35.0)))
    np.testing.assert_array_equal(labels, whole)
    assert geometry is not None
    assert geometry.startswith("moved without loss to the image's grid; it had size (9, 7, 4)")


def test_a_mask_with_its_axes_in_another_order_and_sense_goes_where_it_belongs() -> None:
    whole = mask(box(3, 4, 7, (2, 3, 4)))
    turned = sitk.DICOMOrient(image(whole), "SRP")
    assert turned.GetSize() != REFERENCE.GetSize()
    np.testing.assert_array_equal(painted(turned)[0], whole)


def test_voxels_beyond_the_image_are_counted() -> None:
    """The mask begins 2 voxels before the image along x; its cube reaches one voxel into it."""
    array = mask(box(3, 4, 0, (2, 2, 3)))
    labels, geometry = painted(image(array, origin=(ORIGIN[0] - 2.0, *ORIGIN[1:])))
    np.testing.assert_array_equal(labels, mask(box(3, 4, 0, (2, 2, 1))))
    assert geometry is not None
    assert geometry.endswith("; 8 voxels are outside of the image")


def test_a_mask_on_another_grid_is_refused_or_takes_the_nearest_voxel() -> None:
    """Slices of 5 mm where the image has 2.5: each goes to the two whose centres are nearest to its own."""
    coarse = np.zeros((4, 20, 24), np.uint8)
    coarse[1] = 1
    other = image(coarse, spacing=(1.0, 1.0, 5.0), origin=(-10.0, 5.0, -38.75))  # centres between two of the image's
    with pytest.raises(ValueError, match=r"case/Lens_L.nrrd has size \(24, 20, 4\) where .* give --resample_labels"):
        painted(other)
    labels, geometry = painted(other, resample=True)
    assert np.flatnonzero(labels.any((1, 2))).tolist() == [2, 3]
    assert geometry is not None
    assert geometry.startswith("resampled to the image's grid")


def test_a_shift_of_less_than_a_voxel_is_another_grid() -> None:
    with pytest.raises(ValueError, match="has origin"):
        painted(image(mask(box(1, 1, 1)), origin=(ORIGIN[0] + 0.4, *ORIGIN[1:])))


def test_rounded_headers_are_the_same_grid() -> None:
    labels, geometry = painted(image(mask(box(1, 1, 1)), spacing=(1.00001, 1.0, 2.49999)))
    assert geometry is None
    assert labels.sum() == 8


@pytest.mark.parametrize("value", [1, 255, 3.0])
def test_any_integer_marks_the_organ(value: float) -> None:
    labels, _ = painted(image(mask(box(1, 1, 1)) * np.float32(value)))
    np.testing.assert_array_equal(labels, mask(box(1, 1, 1)))


@pytest.mark.parametrize(
    ("values", "listed"), [((0.5,), "0.5"), ((1.0, 2.0), "1, 2"), ((-1.0,), "-1"), ((float("nan"),), "nan")]
)
def test_what_is_no_mask_is_refused(values: tuple[float, ...], listed: str) -> None:
    array = np.zeros(SHAPE, np.float32)
    array[0, 0, : len(values)] = values
    with pytest.raises(ValueError, match=f"case/Lens_L.nrrd holds the values {listed} beside 0"):
        painted(image(array))


def test_an_image_of_several_numbers_per_voxel_is_no_mask() -> None:
    with pytest.raises(ValueError, match="has 3 axes and 2 numbers per voxel"):
        painted(sitk.GetImageFromArray(np.zeros((*SHAPE, 2), np.uint8), isVector=True))
