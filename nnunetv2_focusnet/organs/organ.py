"""Organs as they were measured, and what is planned for the small ones."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Organ:
    """One organ, averaged over the cases that have it.

    Attributes:
        name: as in dataset.json.
        label: its value in the label files.
        volume_mm3: mean volume.
        extent_mm: mean extent of the bounding box along the network's axes (after ``transpose_forward``).
        num_cases: number of cases it is annotated in, those included in which it isn't there.
        volume_range_mm3: smallest and largest volume.
    """

    name: str
    label: int
    volume_mm3: float
    extent_mm: tuple[float, float, float]
    num_cases: int
    volume_range_mm3: tuple[float, float]

    @property
    def diameter_mm(self) -> float:
        """Mean of the three extents, the paper's mean diameter."""
        return sum(self.extent_mm) / 3

    @property
    def ball_mm(self) -> float:
        """Diameter of a ball of the mean volume: unlike the extents, it doesn't grow with a tilt or a stray voxel."""
        return (6 * self.volume_mm3 / math.pi) ** (1 / 3)

    def agrees_with(self, other: Organ) -> bool:
        """Whether both are the same but for rounding: spacings in the headers of images and label files may differ."""
        sizes = zip((self.volume_mm3, *self.extent_mm), (other.volume_mm3, *other.extent_mm), strict=True)
        same = (self.name, self.label, self.num_cases) == (other.name, other.label, other.num_cases)
        return same and all(math.isclose(ours, theirs, rel_tol=1e-3) for ours, theirs in sizes)


@dataclass(frozen=True, kw_only=True)
class SmallOrgan:
    """A small organ at the spacing that the network works at. Sizes are (z, y, x) in voxels, of the network's axes.

    Attributes:
        name: as in dataset.json.
        label: its value in the label files.
        roi_size: of its ROI, even numbers; that of its SOS-Net may be a little larger.
        wanted_roi_size: the same before it was cut down to the patch.
        sigma: of the Gaussian in its heat map.
        diameter_mm: mean diameter.
        volume_voxels: mean volume.
    """

    name: str
    label: int
    roi_size: tuple[int, int, int]
    wanted_roi_size: tuple[int, int, int]
    sigma: tuple[float, float, float]
    diameter_mm: float
    volume_voxels: float
