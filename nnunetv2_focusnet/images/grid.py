"""Where the voxels of an image lie: one class for files and DICOM series, with one tolerance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import SimpleITK as sitk

# Of a voxel, between positions that count as one: headers are rounded. NIfTI's single precision moves no voxel by more
# than 0.001; but each slice of a DICOM series has a position of its own, and where that is in tenths of a mm, slices of
# 0.6 mm lie up to 0.08 off. Below half a voxel, the nearest voxel stays the same.
TOLERANCE = 0.1
LARGEST_COSINE = 1e-3  # between axes at right angles; 0.5 mm at the end of a field of view of 500 mm


@dataclass(frozen=True)
class Grid:
    """Where the voxels of an image lie; all axes are (x, y, z).

    Attributes:
        size: in voxels.
        spacing: in mm.
        origin: centre of the first voxel, in mm to the patient's left, back and head.
        direction: of the axes, which are the columns of a matrix that is listed row by row.
    """

    size: tuple[int, ...]
    spacing: tuple[float, ...]
    origin: tuple[float, ...]
    direction: tuple[float, ...]

    @classmethod
    def of(cls, image: sitk.Image | sitk.ImageFileReader) -> Grid:
        """The grid of an image, or of a file whose header was read."""
        return cls(image.GetSize(), image.GetSpacing(), image.GetOrigin(), image.GetDirection())

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape (Z, Y, X) of arrays."""
        return self.size[::-1]

    @property
    def steps_mm(self) -> np.ndarray:
        """One step along each axis in mm, in columns."""
        return np.reshape(self.direction, (len(self.spacing), -1)) * self.spacing

    def points_mm(self, indices: np.ndarray) -> np.ndarray:
        """Positions in the patient of indices, which needn't be whole; both (N, 3)."""
        return indices @ self.steps_mm.T + self.origin

    def indices(self, points_mm: np.ndarray) -> np.ndarray:
        """Indices, which needn't be whole, of positions in the patient; both (N, 3)."""
        return np.linalg.solve(self.steps_mm, (points_mm - np.array(self.origin)).T).T

    def put(self, image: sitk.Image) -> sitk.Image:
        """The image, told to lie on this grid."""
        image.SetSpacing(self.spacing)
        image.SetOrigin(self.origin)
        image.SetDirection(self.direction)
        return image

    def difference_from(self, reference: Grid) -> tuple[str, str, str] | None:
        """What makes most of the difference: the property, its value and the reference's.

        None: each voxel lies where the reference's voxel of the same index does.
        """
        name = self._most_different(reference)
        return None if name is None else (name, _listed(getattr(self, name)), _listed(getattr(reference, name)))

    def lies_on(self, reference: Grid) -> bool:
        """Whether each voxel lies on one of the reference, which is thought to go on beyond its borders.

        Such are the grids of masks saved for the organ's surroundings alone, or with their axes in another order.
        """
        corners = reference.indices(self.points_mm(self._corners))
        turns = np.linalg.solve(reference.steps_mm, self.steps_mm).round()
        one_axis_each = np.abs(turns).sum(0).tolist() == np.abs(turns).sum(1).tolist() == [1] * len(turns)
        # Whole steps from the first corner: whole numbers alone are also the corners of 50 slices where 60 lie.
        whole_steps = corners[0].round() + self._corners @ turns.T
        return one_axis_each and bool((np.abs(corners - whole_steps) < TOLERANCE).all())

    def has_voxels_of(self, reference: Grid) -> bool:
        """Whether both have the same voxels, perhaps with their axes in another order or sense."""
        first_and_last = np.array([np.zeros(len(self.size)), np.subtract(self.size, 1)])
        ends = np.sort(reference.indices(self.points_mm(first_and_last)).round(), axis=0)
        return self.lies_on(reference) and bool((ends == [[0] * len(self.size), np.subtract(reference.size, 1)]).all())

    def __str__(self) -> str:
        return ", ".join(f"{name} {_listed(values)}" for name, values in vars(self).items())

    @property
    def _corners(self) -> np.ndarray:
        """Indices of the first voxel and of those one beyond the last, lest a single slice have no thickness."""
        return np.array(list(product(*((0, size) for size in self.size))))

    def _most_different(self, reference: Grid) -> str | None:
        if self.size != reference.size:
            return "size"
        if len(self.spacing) != len(reference.spacing):
            return "spacing"
        offsets = np.abs(reference.indices(self.points_mm(self._corners)) - self._corners)
        if (offsets < TOLERANCE).all():
            return None
        extent = np.array(reference.size)
        turned = np.abs(np.subtract(self.direction, reference.direction)).reshape(len(extent), -1)
        moved_mm = {
            "spacing": np.abs(np.subtract(self.spacing, reference.spacing)) * extent,
            "origin": np.abs(np.subtract(self.origin, reference.origin)),
            "direction": turned @ (extent * reference.spacing),
        }
        return max(moved_mm, key=lambda name: moved_mm[name].max())


def at_right_angles(axes: np.ndarray) -> bool:
    """Whether columns are unit vectors at right angles, save what rounding in a header does."""
    return bool(np.abs(axes.T @ axes - np.eye(axes.shape[1])).max() <= LARGEST_COSINE)


def nearest_on_grid(labels: sitk.Image, grid: Grid) -> sitk.Image:
    """A label map on another grid, each voxel with the label nearest to its centre."""
    return sitk.Resample(
        labels,
        grid.size,
        sitk.Transform(),
        sitk.sitkNearestNeighbor,
        grid.origin,
        grid.spacing,
        grid.direction,
        0,
        labels.GetPixelID(),
    )


def _listed(values: Sequence[float]) -> str:
    return "(" + ", ".join(f"{value:g}" for value in values) + ")"
