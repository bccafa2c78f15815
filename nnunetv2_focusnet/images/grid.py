"""Whether two images lie on the same grid, and how to bring a label map from one grid to another."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import SimpleITK as sitk

LARGEST_OFFSET_VOXELS = 0.05  # between voxel centres that count as one; headers of large images add up rounding errors


@dataclass(frozen=True)
class Grid:
    """Where the voxels of an image lie; all axes are (x, y, z).

    Attributes:
        size: in voxels.
        spacing: in mm.
        origin: centre of the first voxel, in mm.
        direction: of the axes, a matrix row by row.
    """

    size: tuple[int, ...]
    spacing: tuple[float, ...]
    origin: tuple[float, ...]
    direction: tuple[float, ...]

    @classmethod
    def of_image(cls, image: sitk.Image | sitk.ImageFileReader) -> Grid:
        """The grid of an image of SimpleITK, or of a file whose header was read."""
        return cls(image.GetSize(), image.GetSpacing(), image.GetOrigin(), image.GetDirection())

    @classmethod
    def of_affine(cls, size: tuple[int, ...], affine: np.ndarray) -> Grid:
        """The grid of an image of nibabel, whose affine leads from indices to mm."""
        spacing = np.linalg.norm(affine[:-1, :-1], axis=0)
        direction = affine[:-1, :-1] / spacing
        return cls(size, tuple(spacing.tolist()), tuple(affine[:-1, -1].tolist()), tuple(direction.ravel().tolist()))

    @property
    def axes(self) -> np.ndarray:
        """One step along each axis in mm, in columns."""
        return np.reshape(self.direction, (len(self.spacing), -1)) * self.spacing

    @property
    def corners(self) -> np.ndarray:
        """Indices of the first voxel and of those one beyond the last, lest a single slice have no thickness."""
        return np.array(list(product(*((0, size) for size in self.size))))

    def indices_in(self, reference: Grid, indices: np.ndarray) -> np.ndarray:
        """Indices (N, 3) of this grid as those of another, which needn't be whole."""
        points_mm = indices @ self.axes.T + self.origin
        return np.linalg.solve(reference.axes, (points_mm - reference.origin).T).T

    def difference_from(self, reference: Grid) -> str | None:
        """Name of what makes most of the difference; None: each voxel has its like at the same index of the other."""
        if self.size != reference.size:
            return "size"
        if len(self.spacing) != len(reference.spacing):
            return "spacing"
        offsets = np.abs(self.indices_in(reference, self.corners) - self.corners)
        if (offsets < LARGEST_OFFSET_VOXELS).all():
            return None
        extent = np.array(reference.size)
        turned = np.abs(np.subtract(self.direction, reference.direction)).reshape(len(extent), -1)
        moved_mm = {
            "spacing": np.abs(np.subtract(self.spacing, reference.spacing)) * extent,
            "origin": np.abs(np.subtract(self.origin, reference.origin)),
            "direction": turned @ (extent * reference.spacing),
        }
        return max(moved_mm, key=lambda name: moved_mm[name].max())


def grid_difference(
    image: sitk.Image | sitk.ImageFileReader, reference: sitk.Image | sitk.ImageFileReader
) -> tuple[str, str, str] | None:
    """What differs most: the property, its value in the image and in the reference (x, y, z); None: same grid."""
    ours, theirs = Grid.of_image(image), Grid.of_image(reference)
    name = ours.difference_from(theirs)
    return None if name is None else (name, _short(getattr(ours, name)), _short(getattr(theirs, name)))


def voxels_coincide(image: sitk.Image, reference: sitk.Image) -> bool:
    """Whether each voxel of an image lies on a voxel of the reference's grid, though that may be cut out or turned.

    Such are masks saved for the organ's surroundings alone, or with their axes in another order.
    """
    ours, theirs = Grid.of_image(image), Grid.of_image(reference)
    corners = ours.indices_in(theirs, ours.corners)
    steps = np.linalg.solve(theirs.axes, ours.axes).round()
    one_axis_each = np.abs(steps).sum(0).tolist() == np.abs(steps).sum(1).tolist() == [1, 1, 1]
    return one_axis_each and bool((np.abs(corners - corners.round()) < LARGEST_OFFSET_VOXELS).all())


def nearest_on_grid(mask: sitk.Image, reference: sitk.Image) -> sitk.Image:
    """A label map on the grid of the reference, each voxel with the label nearest to its centre."""
    return sitk.Resample(mask, reference, sitk.Transform(), sitk.sitkNearestNeighbor, 0, mask.GetPixelID())


def _short(values: tuple[float, ...]) -> str:
    return "(" + ", ".join(f"{value:g}" for value in values) + ")"
