"""One label map from many masks: checked, brought to the grid of the image, the smaller organ on top."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from scipy.ndimage import find_objects

from nnunetv2_focusnet.convert.layouts.base import Structure
from nnunetv2_focusnet.images.grid import Grid, nearest_on_grid


@dataclass(frozen=True)
class OrganMask:
    """A mask cut to its bounding box, so that dozens of them fit into memory.

    Attributes:
        box: where it lies in the image, slices (z, y, x); None: the mask is empty.
        voxels: bool, of the box's shape.
        source_voxels: how many the source has, on whatever grid.
        geometry: how it got onto the grid of the image; None: it was there.
    """

    box: tuple[slice, slice, slice] | None
    voxels: np.ndarray
    source_voxels: int
    geometry: str | None


@dataclass(frozen=True)
class Overlap:
    """Voxels that two masks had, and that the smaller one got."""

    organ: str
    covered_by: str
    voxels: int


def read_organ_mask(structure: Structure, reference: sitk.Image, resample: bool) -> OrganMask:
    """Check a structure's mask and bring it to the grid of the image.

    A mask whose voxels coincide with some of the image's, cut out or with its axes in another order, loses nothing by
    that. Any other grid needs permission.

    Args:
        structure: as the layout read it.
        reference: the case's first image.
        resample: masks on another grid may be resampled, each voxel taking what is nearest to its centre.

    Raises:
        ValueError: it isn't a 3D mask of 0 and one other value, or is on another grid that may not be resampled.
    """
    mask, source = structure.mask, structure.source
    if mask.GetDimension() != 3 or mask.GetNumberOfComponentsPerPixel() != 1:
        shape = f"{mask.GetDimension()} axes and {mask.GetNumberOfComponentsPerPixel()} numbers per voxel"
        raise ValueError(f"{source} has {shape}, but a mask has 3 axes and 1 number: replace it")
    box, voxels = _cut(mask, source)
    grid, wanted = Grid.of(mask), Grid.of(reference)
    difference = grid.difference_from(wanted)
    if difference is None:
        return OrganMask(box, voxels, int(voxels.sum()), None)

    name, ours, theirs = difference
    there = f"{name} {ours} where the image has {theirs} (x, y, z)"
    exact = grid.lies_on(wanted)
    if not exact and not resample:
        raise ValueError(f"{source} has {there}: give --resample_labels, or replace it")
    count = int(voxels.sum())
    box, voxels = _cut(nearest_on_grid(mask, wanted), source)
    how = f"{'moved without loss' if exact else 'resampled'} to the image's grid; it had {there}"
    if exact and count > voxels.sum():
        how += f"; {count - int(voxels.sum())} voxels are outside of the image"
    return OrganMask(box, voxels, count, how)


def merge(
    masks: Mapping[str, OrganMask], organs: Sequence[str], shape: tuple[int, ...]
) -> tuple[np.ndarray, list[Overlap]]:
    """Paint masks into one label map, from the largest to the smallest, and of equals in the order of the organs.

    Args:
        masks: by organ.
        organs: label 1 is the first.
        shape: of the label map, (z, y, x).

    Returns:
        The label map, 8 bits wide where that is enough, and what was painted over.
    """
    labels = np.zeros(shape, np.uint8 if len(organs) < 2**8 else np.uint16)
    overlaps = []
    for organ in sorted(masks, key=lambda organ: (-masks[organ].voxels.sum(), organs.index(organ))):
        mask = masks[organ]
        if mask.box is None:
            continue
        region = labels[mask.box]
        covered = np.bincount(region[mask.voxels], minlength=1)
        overlaps += [Overlap(organs[label - 1], organ, n) for label, n in enumerate(covered.tolist()) if label and n]
        region[mask.voxels] = organs.index(organ) + 1
    return labels, overlaps


def _cut(mask: sitk.Image, source: str) -> tuple[tuple[slice, slice, slice] | None, np.ndarray]:
    array = sitk.GetArrayViewFromImage(mask)
    (box,) = find_objects((array != 0).view(np.uint8)) or [None]
    if box is None:
        return None, np.zeros((0, 0, 0), bool)
    values = np.unique(array[box])
    values = values[values != 0]
    if len(values) > 1 or not values[0] > 0 or values[0] % 1:
        listed = ", ".join(f"{value:g}" for value in values[:5])
        raise ValueError(f"{source} holds the values {listed} beside 0, but a mask has one, an integer: replace it")
    return box, array[box] != 0
