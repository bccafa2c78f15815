"""Whether two images lie on the same grid, and how to bring a label map from one grid to another."""

from __future__ import annotations

from itertools import product

import numpy as np
import SimpleITK as sitk

GEOMETRY_TOLERANCE = 1e-3  # relative, and absolute near 0: headers keep single precision
LARGEST_OFFSET_VOXELS = 0.05  # between voxel centres that count as one; headers of large images add up rounding errors


def grid_difference(image: sitk.Image, reference: sitk.Image) -> tuple[str, str, str] | None:
    """What differs first: the property, its value in the image and in the reference (x, y, z); None: same grid."""
    for name in ("Size", "Spacing", "Origin", "Direction"):
        ours, theirs = (getattr(each, f"Get{name}")() for each in (image, reference))
        if len(ours) != len(theirs) or not np.allclose(theirs, ours, rtol=GEOMETRY_TOLERANCE, atol=GEOMETRY_TOLERANCE):
            return name.lower(), _short(ours), _short(theirs)
    return None


def voxels_coincide(image: sitk.Image, reference: sitk.Image) -> bool:
    """Whether each voxel of an image lies on a voxel of the reference's grid, though that may be cut out or turned.

    Such are masks saved for the organ's surroundings alone, or with their axes in another order.
    """
    corners = list(product(*((0, size - 1) for size in image.GetSize())))
    centres = np.array([_index_in(reference, image, corner) for corner in corners])
    steps = np.array([_index_in(reference, image, unit) for unit in np.eye(3, dtype=int).tolist()])
    steps = steps - _index_in(reference, image, (0, 0, 0))
    one_axis_each = np.abs(steps.round()).sum(0).tolist() == np.abs(steps.round()).sum(1).tolist() == [1, 1, 1]
    return one_axis_each and bool((np.abs(centres - centres.round()) < LARGEST_OFFSET_VOXELS).all())


def nearest_on_grid(mask: sitk.Image, reference: sitk.Image) -> sitk.Image:
    """A label map on the grid of the reference, each voxel with the label nearest to its centre."""
    return sitk.Resample(mask, reference, sitk.Transform(), sitk.sitkNearestNeighbor, 0, mask.GetPixelID())


def _index_in(reference: sitk.Image, image: sitk.Image, index: tuple[int, ...] | list[int]) -> np.ndarray:
    point = image.TransformIndexToPhysicalPoint(index)
    return np.array(reference.TransformPhysicalPointToContinuousIndex(point))


def _short(values: tuple[float, ...]) -> str:
    return "(" + ", ".join(f"{value:g}" for value in values) + ")"
