"""Grids as scanners have them: a table far below the isocentre, thin slices, headers in single precision."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from nnunetv2.imageio.base_reader_writer import BaseReaderWriter
from nnunetv2.imageio.nibabel_reader_writer import NibabelIO, NibabelIOWithReorient
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO
from scipy.spatial.transform import Rotation

from nnunetv2_focusnet.compare.cases import check_geometry
from nnunetv2_focusnet.images.grid import Grid
from nnunetv2_focusnet.images.properties import grid_of

SIZE = (50, 40, 30)
SPACING = (0.9765625, 0.9765625, 1.0)
ORIGIN = (-250.0, -412.5, -1200.0)
STRAIGHT = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
OBLIQUE = Rotation.from_euler("zyx", [12, -7, 20], degrees=True).as_matrix().ravel().tolist()


def image(
    spacing: Sequence[float] = SPACING,
    origin: Sequence[float] = ORIGIN,
    direction: Sequence[float] = STRAIGHT,
    size: Sequence[int] = SIZE,
) -> sitk.Image:
    made = sitk.Image(size, sitk.sitkUInt8)
    made.SetSpacing(spacing)
    made.SetOrigin(origin)
    made.SetDirection(direction)
    return made


def difference(image: sitk.Image, reference: sitk.Image) -> tuple[str, str, str] | None:
    return Grid.of(image).difference_from(Grid.of(reference))


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("voxels", [1.0, 0.11, -0.11])
def test_a_shift_is_another_grid_however_far_the_origin_is(axis: int, voxels: float) -> None:
    shifted = list(ORIGIN)
    shifted[axis] += voxels * SPACING[axis]
    found = difference(image(origin=shifted), image())
    assert found is not None
    assert found[0] == "origin"


def test_what_a_small_change_adds_up_to_at_the_far_corner_counts() -> None:
    """30 slices: 0.003 mm each are 0.09 of a slice, 0.004 mm are 0.12."""
    assert difference(image(spacing=(*SPACING[:2], 1.003)), image()) is None
    assert difference(image(spacing=(*SPACING[:2], 1.004)), image()) == (
        "spacing",
        "(0.976562, 0.976562, 1.004)",
        "(0.976562, 0.976562, 1)",
    )


def test_a_single_slice_has_a_thickness() -> None:
    one = (*SIZE[:2], 1)
    found = difference(image(spacing=(*SPACING[:2], 3.0), size=one), image(size=one))
    assert found is not None
    assert found[0] == "spacing"


def test_the_property_that_moves_voxels_most_is_named() -> None:
    """Turned by half a turn, first and last voxel change places: the origin differs, too, as it has to."""
    turned = image(
        direction=(-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0),
        origin=(ORIGIN[0] + 49 * SPACING[0], ORIGIN[1] + 39 * SPACING[1], ORIGIN[2]),
        spacing=(0.97656, 0.97656, 1.0),
    )
    found = difference(turned, image())
    assert found is not None
    assert found[0] == "direction"
    assert difference(image(size=(50, 40, 31)), image()) == ("size", "(50, 40, 31)", "(50, 40, 30)")


@pytest.mark.parametrize("degrees", [0.0, 1e-3, 3.0, 47.0])
def test_nifti_keeps_a_grid_in_single_precision(tmp_path: Path, degrees: float) -> None:
    direction = Rotation.from_rotvec(np.radians(degrees) * np.array([1.0, 2.0, 2.0]) / 3).as_matrix().ravel().tolist()
    exact = image(spacing=(0.9, 1.1, 1 / 3), origin=(-250.1234567, -412.7654321, -1200.0123457), direction=direction)
    sitk.WriteImage(exact, str(tmp_path / "image.nii.gz"))
    rounded = sitk.ReadImage(str(tmp_path / "image.nii.gz"))
    assert rounded.GetOrigin() != exact.GetOrigin()
    assert difference(rounded, exact) is None
    check_geometry(Path("reference"), exact, Path("prediction"), rounded)


def test_a_prediction_a_slice_off_is_not_compared() -> None:
    prediction = image(origin=(*ORIGIN[:2], -1199.0))
    with pytest.raises(
        ValueError, match=r"^prediction has origin \(-250, -412.5, -1199\), but reference has .*-1200\)"
    ):
        check_geometry(Path("reference"), image(), Path("prediction"), prediction)


def test_axes_in_another_order_and_sense_have_the_same_voxels() -> None:
    """SimpleITK's own turns; what is cut out or moved by half a voxel lies elsewhere, or isn't all of it."""
    whole = image(direction=OBLIQUE)
    turned = sitk.PermuteAxes(sitk.Flip(whole, [True, False, True]), [2, 0, 1])
    assert turned.GetSize() == (30, 50, 40)
    wanted = Grid.of(whole)
    assert Grid.of(turned).has_voxels_of(wanted)
    assert wanted.has_voxels_of(Grid.of(turned))
    part = Grid.of(turned[1:])
    assert part.lies_on(wanted)
    assert not part.has_voxels_of(wanted)
    assert not wanted.has_voxels_of(part)
    moved = Grid.of(image(origin=(ORIGIN[0] + SPACING[0], *ORIGIN[1:])))
    assert moved.lies_on(Grid.of(image()))
    assert not moved.has_voxels_of(Grid.of(image()))
    assert not Grid.of(image(origin=(ORIGIN[0] + SPACING[0] / 2, *ORIGIN[1:]))).lies_on(Grid.of(image()))
    assert not Grid.of(image(spacing=(*SPACING[:2], 2.0))).lies_on(Grid.of(image()))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_other_voxels_in_the_same_field_of_view_are_other_voxels(axis: int) -> None:
    """5 steps where the other has 6 begin and end at whole indices of it, and between them they don't."""
    size, spacing = [60, 60, 60], list(SPACING)
    size[axis], spacing[axis] = 50, SPACING[axis] * 6 / 5
    wanted = Grid.of(image(direction=OBLIQUE, size=(60, 60, 60)))
    other = Grid.of(image(spacing, direction=OBLIQUE, size=size))
    for one, another in ((other, wanted), (wanted, other)):
        assert not one.lies_on(another)
        assert not one.has_voxels_of(another)


def test_indices_and_positions_are_simpleitks() -> None:
    turned = image(direction=OBLIQUE)
    indices = np.array([[0.0, 0.0, 0.0], [1.5, 2.0, -3.25], [49.0, 39.0, 29.0]])
    points = np.array([turned.TransformContinuousIndexToPhysicalPoint(index) for index in indices.tolist()])
    np.testing.assert_allclose(Grid.of(turned).points_mm(indices), points)
    np.testing.assert_allclose(Grid.of(turned).indices(points), indices, atol=1e-9)


@pytest.mark.parametrize("reader", [SimpleITKIO, NibabelIO, NibabelIOWithReorient])
def test_each_of_nnunets_readers_tells_where_voxels_lie(tmp_path: Path, reader: type[BaseReaderWriter]) -> None:
    """nibabel counts to the right and to the front, and one of its readers turns the array, too."""
    source = image(direction=OBLIQUE, size=(5, 6, 7))
    sitk.WriteImage(source, str(tmp_path / "image.nii.gz"))
    array, properties = reader().read_images([str(tmp_path / "image.nii.gz")])
    grid = grid_of(properties, array.shape[1:])
    assert grid is not None
    assert grid.has_voxels_of(Grid.of(source))
