"""Masks to contours and back; other libraries' point-in-polygon tests are the reference."""

import numpy as np
import pytest
from matplotlib.path import Path as Polygon
from scipy.ndimage import gaussian_filter
from skimage.draw import polygon2mask

from nnunetv2_focusnet.dicom import areas
from nnunetv2_focusnet.dicom.contours import trace


def fill(contours: list[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    return areas.fill(contours, shape).mask


def fill_with_matplotlib(contours: list[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    y, x = np.mgrid[: shape[0], : shape[1]]
    centres = np.column_stack([x.ravel(), y.ravel()])
    inside = [Polygon(np.vstack([contour, contour[:1]])).contains_points(centres) for contour in contours]
    return np.logical_xor.reduce(inside).reshape(shape)


def fill_after_rounding(contours: list[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """As libraries do that draw with whole voxels, the outline included."""
    return fill([np.round(contour) for contour in contours], shape)


def fill_with_skimage(contours: list[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    return np.logical_xor.reduce([polygon2mask(shape, contour[:, ::-1]) for contour in contours])


@pytest.mark.parametrize("blur", [0.0, 0.7, 1.5, 3.0])
@pytest.mark.parametrize("reader", [fill, fill_with_matplotlib, fill_with_skimage, fill_after_rounding])
def test_masks_with_holes_islands_and_borders_come_back(reader, blur: float) -> None:
    rng = np.random.default_rng(round(10 * blur))
    for _ in range(20):
        mask = gaussian_filter(rng.standard_normal((30, 24)), blur) > 0
        np.testing.assert_array_equal(reader(trace(mask), mask.shape), mask)


def area(contour: np.ndarray) -> float:
    x, y = contour.T
    return abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


def test_contours_enclose_the_area_of_their_voxels() -> None:
    rng = np.random.default_rng(0)
    for blur in (0.0, 1.0, 2.0):
        mask = gaussian_filter(rng.standard_normal((20, 30)), blur) > 0
        assert sum(map(area, trace(mask))) == pytest.approx(mask.sum(), rel=0.02)


def test_a_single_voxel_is_a_square_around_its_centre() -> None:
    mask = np.zeros((4, 5), bool)
    mask[2, 3] = True
    (contour,) = trace(mask)
    expected = [[2.5, 1.5], [2.5, 2.5], [3.5, 1.5], [3.5, 2.5]]
    np.testing.assert_allclose(sorted(contour.tolist()), expected, atol=0.01)


def test_straight_edges_have_no_points_between_their_ends() -> None:
    (contour,) = trace(np.ones((20, 30), bool))
    assert len(contour) == 4


def test_holes_are_keyholes_and_islands_in_them_are_contours() -> None:
    mask = np.ones((15, 15), bool)
    mask[3:12, 3:12] = False
    mask[6:9, 6:9] = True
    mask[1, 13] = False
    ring, island = sorted(trace(mask), key=len, reverse=True)
    np.testing.assert_array_equal(fill([ring], mask.shape), mask & (np.hypot(*np.mgrid[-7:8, -7:8]) > 3))
    np.testing.assert_array_equal(fill([island], mask.shape), np.pad(np.ones((3, 3), bool), 6))


def test_points_on_a_contour_are_inside() -> None:
    rectangle = np.array([[1.0, 1.0], [4.0, 1.0], [4.0, 3.0], [1.0, 3.0]])
    expected = np.zeros((5, 6), bool)
    expected[1:4, 1:5] = True
    np.testing.assert_array_equal(fill([rectangle], (5, 6)), expected)
    np.testing.assert_array_equal(fill([rectangle + 0.002], (5, 6)), expected)  # headers are rounded


def test_a_contour_in_another_is_a_hole() -> None:
    outer = np.array([[-0.5, -0.5], [6.5, -0.5], [6.5, 6.5], [-0.5, 6.5]])
    inner = outer / 3.5 + 2.1
    filled = fill([outer, inner], (7, 7))
    assert filled.sum() == 49 - 4
    assert not filled[2:4, 2:4].any()


def test_a_contour_that_is_there_twice_counts_once() -> None:
    outer = np.array([[-0.5, -0.5], [6.5, -0.5], [6.5, 6.5], [-0.5, 6.5]])
    inner = outer / 3.5 + 2.1
    twice = fill([outer, inner, outer + 0.001, inner.copy()], (7, 7))
    np.testing.assert_array_equal(twice, fill([outer, inner], (7, 7)))
    assert twice.sum() == 49 - 4


def test_overlapping_contours_exclude_what_they_share() -> None:
    square = np.array([[0.5, 0.5], [4.5, 0.5], [4.5, 4.5], [0.5, 4.5]])
    assert fill([square, square + 2], (8, 8)).sum() == 2 * (4 * 4 - 2 * 2)


def test_what_lies_outside_of_the_slice_is_cut_off() -> None:
    contour = np.array([[-3.0, -4.0], [50.0, -4.0], [50.0, 1.4], [-3.0, 1.4]])
    filled = fill([contour], (4, 6))
    assert filled[:2].all()
    assert not filled[2:].any()
