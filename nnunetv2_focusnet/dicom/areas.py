"""The area that the contours of one structure enclose in one slice. Points are (x, y) in voxels, as in ``contours``.

DICOM leaves open what several CLOSED_PLANAR contours mean together. Here areas are compared, not lists of points: an
area within another is a hole in it, and one within the hole an island; an area that is there twice counts once,
wherever its contour starts and whichever way it runs; areas that overlap in part are joined.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy.ndimage import binary_dilation, binary_erosion

from nnunetv2_focusnet.dicom.contours import polygon_masks

# Areas are compared in samples of a quarter of a voxel, and are alike if their borders differ by no more than that:
# copies are moved and rounded, and walls of organs are thicker.
SAMPLES = 4
NEIGHBOURS = np.ones((3, 3), bool)


class Area(NamedTuple):
    """What contours enclose together.

    Attributes:
        mask: shape (Y, X).
        overlaps: number of pairs of contours that overlap in part.
        hollow: contours within one cover more than half of its area, as a copy of it does.
    """

    mask: np.ndarray
    overlaps: int = 0
    hollow: bool = False


def fill(contours: Sequence[np.ndarray], shape: tuple[int, int]) -> Area:
    """Voxels whose centre lies inside of contours or on one.

    A contour around no area, such as a single point or a row there and back, has the voxels that it runs through.

    Args:
        contours: arrays (points, 2); they may leave the slice.
        shape: (Y, X) of the slice.
    """
    mask = np.zeros(shape, bool)
    kept: list[_Outline] = []
    overlaps = 0
    for outline in sorted((_Outline(_open(contour), shape) for contour in contours), key=lambda each: -each.size):
        if outline.is_line:
            outline.draw(mask)
            continue
        relations = [outline.relation_to(other) for other in kept]
        around = [other for other, relation in zip(kept, relations, strict=True) if relation is Relation.WITHIN]
        if any(outline.is_like(other) for other in around):
            continue  # the same area once more
        overlaps += relations.count(Relation.OVERLAPS)
        # Larger ones come first: those around that are around one another aren't the next around this one.
        for other in around:
            if not any(between.is_in(other) for between in around):
                other.inner.append(outline)
        outline.outer = around
        kept.append(outline)
    for outline in kept:
        if not outline.outer:
            mask |= outline.filled()
    return Area(mask, overlaps, any(outline.is_hollow for outline in kept))


def fill_exclusively(contours: Sequence[np.ndarray], shape: tuple[int, int]) -> Area:
    """Voxels inside of an odd number of contours or on one, as CLOSEDPLANAR_XOR has it; the same area counts once.

    A contour around no area has the voxels that it runs through.
    """
    parity, border = np.zeros(shape, bool), np.zeros(shape, bool)
    kept: list[_Outline] = []
    for outline in (_Outline(_open(contour), shape) for contour in contours):
        if outline.is_line:
            outline.draw(border)
        elif not any(outline.is_like(other) for other in kept):
            kept.append(outline)
            parity ^= outline.masks[0]
            border |= outline.masks[1]
    return Area(parity | border)


class Relation(Enum):
    """How a contour lies to another."""

    WITHIN = auto()
    OVERLAPS = auto()
    APART = auto()


@dataclass(eq=False)
class _Outline:
    """A closed contour.

    Attributes:
        points: (N, 2).
        shape: (Y, X) of the slice.
        outer: contours around it.
        inner: contours directly inside of it.
    """

    points: np.ndarray
    shape: tuple[int, int]
    outer: list[_Outline] = field(default_factory=list)
    inner: list[_Outline] = field(default_factory=list)

    @cached_property
    def masks(self) -> tuple[np.ndarray, np.ndarray]:
        """Voxels inside, and voxels on the contour."""
        return polygon_masks(self.points, self.shape)

    @cached_property
    def size(self) -> float:
        """Area in voxels."""
        return _size(self.points)

    @cached_property
    def box(self) -> tuple[np.ndarray, np.ndarray]:
        return self.points.min(axis=0), self.points.max(axis=0)

    @property
    def is_line(self) -> bool:
        """Whether it encloses nothing, as a point or a line there and back does, to the hundredth of a voxel."""
        if len(self.points) < 3:
            return True
        length = np.abs(np.diff(self.points, axis=0)).sum()
        # The two lobes of an eight may cancel in its size, but not in its samples.
        return self.size <= 0.01 * length and not binary_erosion(self._own_samples, NEIGHBOURS).any()

    @property
    def is_hollow(self) -> bool:
        """Whether those directly inside of it cover more than half of it."""
        return sum(each.size for each in self.inner) > self.size / 2

    def draw(self, mask: np.ndarray) -> None:
        """Mark the voxels nearest to a line, one for each step along the longer axis."""
        for start, end in zip(self.points, np.roll(self.points, -1, axis=0), strict=True):
            steps = int(np.ceil(np.abs(end - start).max()))
            column, row = np.floor(np.linspace(start, end, steps + 1) + 0.5).astype(int).T
            there = (row >= 0) & (row < mask.shape[0]) & (column >= 0) & (column < mask.shape[1])
            mask[row[there], column[there]] = True

    def filled(self) -> np.ndarray:
        """Its area without its holes."""
        result = self.masks[0] | self.masks[1]
        for hole in self.inner:
            result &= ~hole._cut_out()
        return result

    def is_like(self, other: _Outline) -> bool:
        """Whether both have the same area, save that margin."""
        if np.abs(np.subtract(self.box, other.box)).max() > 1 / SAMPLES:
            return False
        return self.relation_to(other) is other.relation_to(self) is Relation.WITHIN

    def is_in(self, other: _Outline) -> bool:
        return other in self.outer

    def relation_to(self, other: _Outline) -> Relation:
        """How both lie, save a margin of one sample: contours that share a border are apart."""
        (low, high), (other_low, other_high) = self.box, other.box
        if (low > other_high).any() or (high < other_low).any():
            return Relation.APART
        sampled = self._sampled(other)
        shared = self._own_samples & sampled
        margin = 1 / SAMPLES
        if (low >= other_low - margin).all() and (high <= other_high + margin).all():
            outside = self._own_samples & ~shared
            if not outside.any() or not (outside & ~binary_dilation(sampled, NEIGHBOURS)).any():
                return Relation.WITHIN
        return Relation.OVERLAPS if shared.any() and binary_erosion(shared, NEIGHBOURS).any() else Relation.APART

    def _cut_out(self) -> np.ndarray:
        """What it takes away as a hole; its border belongs to what is around it."""
        result = self.masks[0] & ~self.masks[1]
        for island in self.inner:
            result &= ~island.filled()
        return result

    @cached_property
    def _own_samples(self) -> np.ndarray:
        return self._sampled(self)

    def _sampled(self, other: _Outline) -> np.ndarray:
        """Another outline in fine samples around this one, as far as that lies in the slice."""
        end = np.array(self.shape[::-1])
        low, high = (np.clip(v, -2, end + 1) for v in (np.floor(self.box[0]) - 1, np.ceil(self.box[1]) + 1))
        columns, rows = ((high - low) * SAMPLES + 1).astype(int).tolist()
        inside, border = polygon_masks((other.points - low) * SAMPLES, (rows, columns))
        return inside | border


def _open(contour: np.ndarray) -> np.ndarray:
    """Without points that repeat the one before, as the last of a closed list does the first."""
    different = (contour != np.roll(contour, 1, axis=0)).any(axis=1)
    return contour[different] if different.any() else contour[:1]


def _size(points: np.ndarray) -> float:
    x, y = (points - points[0]).T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2
