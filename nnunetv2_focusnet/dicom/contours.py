"""Between masks and closed contours in one slice. Points are (x, y) in voxels; integers are voxel centres.

Contours run along the voxels' edges. So they enclose the mask, whether a planning system asks for the centres of voxels
or for shares of them. Contours half-way between centres would cut corners, of which small organs have many.
"""

from __future__ import annotations

from itertools import pairwise
from typing import cast

import numpy as np
from contourpy import FillType, contour_generator
from scipy.ndimage import find_objects

from nnunetv2_focusnet.images.voxel_edges import at_voxel_edges

# Planning systems write hundredths of a mm: a point meant to be a voxel's centre is one after rounding.
DECIMALS = 2
# Voxels by which contours keep inside of the edges: rounded to whole voxels, as some libraries do, they are the mask's.
INSIDE = 0.005


def trace(mask: np.ndarray) -> list[np.ndarray]:
    """Closed contours around a mask.

    A hole is joined to the contour around it by a channel without width (a keyhole, DICOM PS3.3 C.8.8.6.3), which every
    way of filling polygons understands.

    Args:
        mask: shape (Y, X), not empty; voxels at the border are outlined like others.

    Returns:
        One array (points, 2) for each component; the last point isn't the first again.
    """
    (box,) = find_objects(mask.astype(np.uint8))
    y, x = (np.arange(part.start, part.stop + 1) - 0.5 for part in box)
    generator = contour_generator(*at_voxel_edges(x, y, mask[box]), fill_type=FillType.OuterOffset)
    components, offsets = cast("tuple[list[np.ndarray], list[np.ndarray]]", generator.filled(0.5, 1.5))
    contours = []
    for points, borders in zip(components, offsets, strict=True):
        rings = [points[start : end - 1] for start, end in pairwise(borders)]
        joined = _corners(_join([_with_inward_steps(_without_repeats(ring)) for ring in rings]))
        contours.append(joined[:, :2] + INSIDE * joined[:, 2:])
    return contours


def polygon_masks(points: np.ndarray, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Voxels whose centre lies inside of a closed contour, and voxels whose centre lies on it.

    Where the contour crosses itself, what it goes around an odd number of times is inside.

    Args:
        points: shape (N, 2); they may leave the slice.
        shape: (Y, X) of the slice.
    """
    rows, columns = shape
    toggles = np.zeros((rows, columns + 1), np.uint8)  # numbers that run over stay even or odd
    on_contour = np.zeros(shape, bool)
    points = np.round(points, DECIMALS)
    row, x, last = _crossings(points, rows)
    # An edge's last row belongs to the edge that goes on from there.
    np.add.at(toggles, (row[~last], np.clip(np.ceil(x[~last]), 0, columns).astype(np.int64)), 1)
    centre = (x == np.round(x)) & (x >= 0) & (x < columns)
    on_contour[row[centre], x[centre].astype(np.int64)] = True
    _mark_level_edges(on_contour, points)
    return (toggles.cumsum(axis=1, dtype=np.uint8)[:, :-1] % 2).astype(bool), on_contour


def _crossings(points: np.ndarray, rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row, x and whether it is the edge's last row, where rows of voxel centres meet edges that aren't level."""
    edges = np.stack([points, np.roll(points, -1, axis=0)], axis=1)
    edges = edges[edges[:, 0, 1] != edges[:, 1, 1]]
    # Edges always go down, so that both sides of a channel meet a row in exactly the same place and cancel.
    up = edges[:, 0, 1] > edges[:, 1, 1]
    edges[up] = edges[up, ::-1]
    (x0, y0), (x1, y1) = edges[:, 0].T, edges[:, 1].T
    first, end = (np.clip(y, 0, rows).astype(np.int64) for y in (np.ceil(y0), np.floor(y1) + 1))
    counts = np.maximum(end - first, 0)
    edge = np.repeat(np.arange(len(edges)), counts)
    row = np.arange(counts.sum()) - np.repeat(counts.cumsum() - counts, counts) + first[edge]
    x = x0[edge] + (row - y0[edge]) * (x1 - x0)[edge] / (y1 - y0)[edge]
    return row, x, row == y1[edge]


def _mark_level_edges(on_contour: np.ndarray, points: np.ndarray) -> None:
    rows, columns = on_contour.shape
    ends = np.roll(points, -1, axis=0)
    y = points[:, 1]
    level = (y == ends[:, 1]) & (y == np.round(y)) & (y >= 0) & (y < rows)
    for (x0, y0), (x1, _) in zip(points[level], ends[level], strict=True):
        left, right = max(int(np.ceil(min(x0, x1))), 0), min(int(np.floor(max(x0, x1))), columns - 1)
        on_contour[int(y0), left : right + 1] = True


def _with_inward_steps(points: np.ndarray) -> np.ndarray:
    """Points (n, 4): x, y, and along each the step (-1, 0 or 1) into the mask, which lies left of every ring."""
    before, after = points - np.roll(points, 1, axis=0), np.roll(points, -1, axis=0) - points
    along = np.sign(before) + np.sign(after)
    return np.column_stack([points, np.clip(-along[:, 1], -1, 1), np.clip(along[:, 0], -1, 1)])


def _join(rings: list[np.ndarray]) -> np.ndarray:
    """The outer ring, each hole inserted after the point that its channel starts from."""
    joined, holes = rings[0], rings[1:]
    while holes:
        # The nearest hole first: its channel crosses no other hole.
        channels = [_channel(joined, hole) for hole in holes]
        nearest = int(np.argmin([length for length, _, _ in channels]))
        _, start, end = channels[nearest]
        hole = np.roll(holes.pop(nearest), -end, axis=0)
        joined = np.concatenate([joined[: start + 1], hole, hole[:1], joined[start:]])
    return joined


def _channel(ring: np.ndarray, hole: np.ndarray) -> tuple[float, int, int]:
    """Length of the shortest channel through no voxel centre, and the indices of its ends in ring and hole."""
    steps = np.abs(ring[:, None, :2] - hole[None, :, :2])
    lengths = np.linalg.norm(steps, axis=-1)
    # From corner to corner, a line meets a centre if it goes an odd number of voxels along x for an odd number along y.
    x, y = np.moveaxis(np.round(steps).astype(np.int64), -1, 0)
    divisor = np.maximum(np.gcd(x, y), 1)
    lengths[(x // divisor % 2 == 1) & (y // divisor % 2 == 1)] = np.inf
    start, end = np.unravel_index(lengths.argmin(), lengths.shape)
    return float(lengths[start, end]), int(start), int(end)


def _without_repeats(points: np.ndarray) -> np.ndarray:
    return points[(points != np.roll(points, 1, axis=0)).any(axis=1)]


def _corners(points: np.ndarray) -> np.ndarray:
    """Without points in the middle of straight lines."""
    xy = points[:, :2]
    before, after = xy - np.roll(xy, 1, axis=0), np.roll(xy, -1, axis=0) - xy
    straight = (before[:, 0] * after[:, 1] == before[:, 1] * after[:, 0]) & ((before * after).sum(axis=1) > 0)
    return points[~straight]
