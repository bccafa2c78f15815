"""Metrics of masks whose truth a person can derive, and against references of another make."""

import itertools
import math

import numpy as np
import pytest
from scipy.spatial import cKDTree
from skimage.measure import marching_cubes

from nnunetv2_focusnet.compare.metrics import OrganMetrics, compare_masks

SPACINGS = [(1.0, 1.0, 1.0), (2.5, 1.0, 0.5)]


def empty(shape: tuple[int, int, int] = (40, 40, 40)) -> np.ndarray:
    return np.zeros(shape, dtype=bool)


def box(start: tuple[int, int, int], size: tuple[int, int, int]) -> np.ndarray:
    mask = empty()
    mask[tuple(slice(a, a + n) for a, n in zip(start, size, strict=True))] = True
    return mask


def ball(radius_mm: float, spacing: tuple[float, float, float], centre_mm: float = 20.0) -> np.ndarray:
    shape = [int(2 * centre_mm / mm) for mm in spacing]
    axes = [(np.arange(n) + 0.5) * mm - centre_mm for n, mm in zip(shape, spacing, strict=True)]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    return z**2 + y**2 + x**2 <= radius_mm**2


def compare(reference: np.ndarray, prediction: np.ndarray, spacing=(1.0, 1.0, 1.0), tolerance=1.0) -> OrganMetrics:
    metrics = compare_masks(reference, prediction, spacing, tolerance)
    assert metrics is not None
    return metrics


@pytest.mark.parametrize("spacing", SPACINGS)
def test_equal_masks_agree(spacing: tuple[float, float, float]) -> None:
    mask = box((5, 6, 7), (3, 4, 5))
    ml = 60 * math.prod(spacing) / 1000
    assert compare(mask, mask, spacing) == OrganMetrics(1.0, 0.0, 1.0, 60, ml, ml, 0.0)


@pytest.mark.parametrize(("axis", "distance_mm"), [(0, 5.0), (1, 2.0), (2, 1.0)])
def test_two_voxels_two_apart(axis: int, distance_mm: float) -> None:
    a, b = (box(tuple(10 + 2 * k * (i == axis) for i in range(3)), (1, 1, 1)) for k in (0, 1))
    metrics = compare(a, b, (2.5, 1.0, 0.5), tolerance=distance_mm + 0.01)
    assert metrics.dsc == 0
    assert metrics.hd95_mm == pytest.approx(distance_mm)
    assert metrics.centroid_distance_mm == pytest.approx(distance_mm)
    assert metrics.nsd == 1
    assert not metrics.missed
    assert not metrics.false_positive


def test_box_shifted_by_half_its_length() -> None:
    metrics = compare(box((10, 10, 10), (4, 4, 8)), box((10, 10, 14), (4, 4, 8)), (1.0, 1.0, 2.0))
    assert metrics.dsc == 0.5
    assert metrics.centroid_distance_mm == pytest.approx(8.0)
    assert metrics.hd95_mm == pytest.approx(8.0)  # the far ends, more than 5 % of either surface
    assert metrics.reference_ml == pytest.approx(0.256)
    assert metrics.volume_error_ml == 0


@pytest.mark.parametrize("spacing", SPACINGS)
def test_concentric_balls(spacing: tuple[float, float, float]) -> None:
    metrics = compare(ball(12, spacing), ball(8, spacing), spacing, tolerance=2.0)
    assert metrics.dsc == pytest.approx(2 * 8**3 / (8**3 + 12**3), rel=0.02)
    assert metrics.hd95_mm == pytest.approx(4.0, abs=max(spacing) / 2)
    assert metrics.nsd == 0  # 4 mm apart everywhere
    assert metrics.reference_ml == pytest.approx(4 / 3 * math.pi * 1.2**3, rel=0.02)
    assert metrics.volume_error_ml == pytest.approx(4 / 3 * math.pi * (0.8**3 - 1.2**3), rel=0.02)
    assert compare(ball(12, spacing), ball(8, spacing), spacing, tolerance=5.5).nsd == 1


@pytest.mark.parametrize("spacing", [1.0, math.nextafter(1.0, 2.0)])
def test_surfaces_as_far_apart_as_the_tolerance_are_within_it_whatever_the_last_bit(spacing: float) -> None:
    masks = (box((10, 10, x), (4, 4, 4)) for x in (10, 11))
    assert compare(*masks, (spacing,) * 3, tolerance=1.0).nsd == 1


def test_only_one_empty_is_missed_or_false_positive() -> None:
    organ = box((5, 5, 5), (2, 2, 2))
    missed, extra = compare(organ, empty()), compare(empty(), organ)
    for metrics in (missed, extra):
        assert (metrics.dsc, metrics.nsd) == (0, 0)
        assert math.isinf(metrics.hd95_mm)
        assert math.isinf(metrics.centroid_distance_mm)
    assert (missed.missed, missed.false_positive) == (True, False)
    assert (extra.missed, extra.false_positive) == (False, True)
    assert missed.volume_error_ml == pytest.approx(-0.008)


def test_both_empty_is_not_counted() -> None:
    assert compare_masks(empty(), empty(), (1.0, 1.0, 1.0), 1.0) is None


def blobs(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two overlapping random unions of boxes."""
    random = np.random.default_rng(seed)
    masks = []
    for _ in range(2):
        mask = empty()
        for start, size in zip(random.integers(8, 20, (5, 3)), random.integers(2, 10, (5, 3)), strict=True):
            mask |= box(tuple(start.tolist()), tuple(size.tolist()))
        masks.append(mask)
    return masks[0], masks[1]


@pytest.mark.parametrize("seed", range(3))
def test_does_not_depend_on_the_order_of_axes_and_is_symmetric(seed: int) -> None:
    a, b = blobs(seed)
    spacing = (2.5, 1.0, 0.5)
    expected = compare(a, b, spacing)
    swapped = compare(b, a, spacing)
    assert swapped.hd95_mm == pytest.approx(expected.hd95_mm)
    assert swapped.nsd == pytest.approx(expected.nsd)
    assert swapped.dsc == expected.dsc
    for order in itertools.permutations(range(3)):
        turned = compare(a.transpose(order), b.transpose(order), tuple(spacing[i] for i in order))
        assert turned.hd95_mm == pytest.approx(expected.hd95_mm)
        assert turned.nsd == pytest.approx(expected.nsd, abs=1e-6)


def triangles(mask: np.ndarray, spacing: tuple[float, float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Centres and areas of the triangles of a marching-cubes surface."""
    vertices, faces, _, _ = marching_cubes(np.pad(mask, 1).astype(float), 0.5, spacing=spacing)
    corners = vertices[faces]
    areas = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) / 2
    return corners.mean(1), areas


def percentile(distances: np.ndarray, areas: np.ndarray) -> float:
    order = distances.argsort()
    return float(distances[order][np.searchsorted(areas[order].cumsum() / areas.sum(), 0.95)])


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("seed", range(3))
def test_surface_metrics_agree_with_marching_cubes(seed: int, spacing: tuple[float, float, float]) -> None:
    a, b = blobs(seed)
    (points_a, areas_a), (points_b, areas_b) = triangles(a, spacing), triangles(b, spacing)
    from_a, from_b = cKDTree(points_b).query(points_a)[0], cKDTree(points_a).query(points_b)[0]
    metrics = compare(a, b, spacing, tolerance=3.0)
    expected = max(percentile(from_a, areas_a), percentile(from_b, areas_b))
    assert metrics.hd95_mm == pytest.approx(expected, abs=max(spacing) / 2)
    within = (areas_a[from_a <= 3].sum() + areas_b[from_b <= 3].sum()) / (areas_a.sum() + areas_b.sum())
    assert metrics.nsd == pytest.approx(within, abs=0.06)
