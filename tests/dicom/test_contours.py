"""Masks to contours and back; other libraries' point-in-polygon tests are the reference."""

import numpy as np
import pytest
from matplotlib.path import Path as Polygon
from scipy.ndimage import gaussian_filter
from skimage.draw import polygon2mask

from nnunetv2_focusnet.dicom import areas
from nnunetv2_focusnet.dicom.areas import fill_exclusively
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
    for _ in range(10):
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


SQUARE = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])


def box(x: tuple[float, float], y: tuple[float, float]) -> np.ndarray:
    return np.array([x[0], y[0]]) + SQUARE * (x[1] - x[0], y[1] - y[0])


COPIES = {
    "exact": lambda points: points.copy(),
    "from another corner": lambda points: np.roll(points, 1, axis=0),
    "backwards": lambda points: points[::-1],
    "closed": lambda points: np.concatenate([points, points[:1]]),
    "with further points": lambda points: np.stack([points, (points + np.roll(points, -1, 0)) / 2], 1).reshape(-1, 2),
    "moved": lambda points: points + np.array([0.03, 0.02]),
    "moved back": lambda points: points - 0.1,
    "smaller": lambda points: points.mean(axis=0) + 0.96 * (points - points.mean(axis=0)),
}


@pytest.mark.parametrize("edge", [0.1, 0.5, 0.0])  # at 0.0, copies differ in whether centres are inside
@pytest.mark.parametrize("name", COPIES)
def test_a_contour_that_is_there_twice_counts_once(name: str, edge: float) -> None:
    outer = box((1 - edge, 8 + edge), (2 - edge, 9 + edge))  # voxels 1 to 8 and 2 to 9
    hole = box((3.5, 5.5), (4.5, 7.5))  # 2 x 3 voxels
    copy = COPIES[name](outer)
    filled = areas.fill([outer, copy, hole], (12, 12))
    assert (filled.mask.sum(), filled.overlaps) == (8 * 8 - 2 * 3, 0)
    assert fill_exclusively([outer, copy, hole], (12, 12)).mask.sum() == 8 * 8 - 2 * 3
    alone = fill([copy, hole], (12, 12))  # a copy that is a bit smaller may be the one that counts
    again = areas.fill([hole, COPIES["backwards"](hole), copy, outer], (12, 12))
    assert again.mask.sum() in (8 * 8 - 2 * 3, alone.sum())
    assert again.overlaps == 0


def test_a_copy_of_a_keyhole_whose_channel_is_elsewhere_counts_once() -> None:
    mask = np.ones((11, 11), bool)
    mask[4:7, 4:7] = False
    (ring,) = trace(mask)
    turned = np.column_stack([10 - ring[:, 1], ring[:, 0]]) + 0.02
    assert fill([ring, turned], (11, 11)).sum() == 11 * 11 - 3 * 3


def test_areas_that_overlap_in_part_are_joined_and_counted() -> None:
    first, second = box((0.5, 4.5), (0.5, 4.5)), box((2.5, 6.5), (2.5, 6.5))
    filled = areas.fill([first, second], (8, 8))
    assert (filled.mask.sum(), filled.overlaps) == (2 * 4 * 4 - 2 * 2, 1)
    assert fill_exclusively([first, second], (8, 8)).mask.sum() == 2 * (4 * 4 - 2 * 2)


def test_parts_side_by_side_do_not_overlap() -> None:
    filled = areas.fill([box((0.5, 4.5), (0.5, 4.5)), box((4.5, 6.5), (0.5, 4.5))], (8, 8))
    assert (filled.mask.sum(), filled.overlaps) == (6 * 4, 0)


def test_holes_that_overlap_are_one_hole_and_an_island_in_a_hole_is_filled() -> None:
    outer, island = box((-0.5, 15.5), (-0.5, 15.5)), box((3.5, 5.5), (3.5, 5.5))
    holes = [box((1.5, 8.5), (1.5, 8.5)), box((6.5, 12.5), (1.5, 8.5))]  # 7 x 7 and 6 x 7 voxels, 2 x 7 of both
    filled = areas.fill([island, holes[0], outer, holes[1]], (16, 16))
    assert filled.mask.sum() == 16 * 16 - (7 * 7 + 6 * 7 - 2 * 7) + 2 * 2
    assert filled.overlaps == 1


@pytest.mark.parametrize(("ends", "hollow"), [((1.8, 13.2), True), ((3.2, 11.8), True), ((3.5, 11.5), False)])
def test_a_contour_that_another_one_covers_to_more_than_half_is_told(ends: tuple[float, float], hollow: bool) -> None:
    """Half of 12 x 12 voxels are 72; the others have 130, 74 and 64."""
    outer, inner = box((1.5, 13.5), (1.5, 13.5)), box(ends, ends)
    assert areas.fill([inner, outer], (16, 16)).hollow is hollow
    assert not areas.fill([outer], (16, 16)).hollow


def test_a_hole_that_touches_the_contour_around_it_is_a_hole() -> None:
    filled = areas.fill([box((0.5, 8.5), (0.5, 8.5)), box((5.5, 8.52), (3.5, 5.5))], (10, 10))
    assert (filled.mask.sum(), filled.overlaps) == (8 * 8 - 3 * 2, 0)


def test_a_wall_of_half_a_voxel_is_a_wall() -> None:
    assert fill([box((0.4, 8.6), (0.4, 8.6)), box((1.1, 7.9), (1.1, 7.9))], (10, 10)).sum() == 8 * 8 - 6 * 6


@pytest.mark.parametrize(
    ("points", "voxels"),
    [
        ([(3, 4)], [(3, 4)]),
        ([(3.3, 3.8)], [(3, 4)]),
        ([(1, 4), (5, 4)], [(x, 4) for x in range(1, 6)]),
        ([(1.2, 4.3), (1.1, 1.2)], [(1, y) for y in range(1, 5)]),
        ([(1, 1), (4, 4)], [(i, i) for i in range(1, 5)]),
        ([(1, 4), (3, 4), (5, 4), (3, 4)], [(x, 4) for x in range(1, 6)]),  # there and back
        ([(1, 4), (1, 4), (2, 4), (1, 4)], [(1, 4), (2, 4)]),
        ([(1, 1), (1, 3), (3, 3), (1, 3)], [(1, 1), (1, 2), (1, 3), (2, 3), (3, 3)]),  # an L
        ([(-3, 2), (1, 2)], [(0, 2), (1, 2)]),
    ],
)
def test_what_encloses_nothing_has_the_voxels_on_it(points: list[tuple[float, float]], voxels: list) -> None:
    for filled in (fill([np.array(points, float)], (6, 7)), fill_exclusively([np.array(points, float)], (6, 7)).mask):
        assert sorted((int(x), int(y)) for y, x in np.argwhere(filled)) == sorted(voxels)


def test_the_lobes_of_an_eight_are_no_line() -> None:
    eight = np.array([[0.5, 0.5], [6.5, 6.5], [6.5, 0.5], [0.5, 6.5]])
    inside = fill_with_matplotlib([eight], (8, 8))
    np.testing.assert_array_equal(fill([eight], (8, 8)) & inside, inside)


def test_what_lies_outside_of_the_slice_is_cut_off() -> None:
    contour = np.array([[-3.0, -4.0], [50.0, -4.0], [50.0, 1.4], [-3.0, 1.4]])
    filled = fill([contour], (4, 6))
    assert filled[:2].all()
    assert not filled[2:].any()
