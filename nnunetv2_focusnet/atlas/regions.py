"""Regions of the small organs: boxes around where an atlas puts them, of one size for each organ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO
from scipy.ndimage import center_of_mass

from nnunetv2_focusnet.atlas.cases import Case
from nnunetv2_focusnet.images.grid import Grid, nearest_on_grid
from nnunetv2_focusnet.images.reading import read_header
from nnunetv2_focusnet.organs.dataset_json import DatasetJson
from nnunetv2_focusnet.organs.measuring import measure_raw_organs
from nnunetv2_focusnet.organs.planning import plan_small_organs

NO_PATCH = (2**20, 2**20, 2**20)  # an atlas has none that could limit a region


@dataclass(frozen=True)
class Region:
    """What is the same for an organ in all images.

    Attributes:
        name: of the organ.
        label: its value in label maps.
        size: (x, y, z) in voxels of `spacing_mm`.
        spacing_mm: (x, y, z).
    """

    name: str
    label: int
    size: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]

    def place(self, labels: sitk.Image) -> Grid | None:
        """The region in an image, around where its atlas label is; None: it has no voxel of the organ.

        Args:
            labels: that an atlas was transferred to.
        """
        organ = sitk.GetArrayViewFromImage(labels) == self.label
        if not organ.any():
            return None
        grid = Grid.of(labels)
        centre = grid.points_mm(np.array(center_of_mass(organ))[None, ::-1])[0]
        to_corner = np.reshape(grid.direction, (3, 3)) @ ((np.array(self.size) - 1) / 2 * self.spacing_mm)
        return Grid(self.size, self.spacing_mm, tuple((centre - to_corner).tolist()), grid.direction)


def plan_regions(cases: Sequence[Case], dataset: DatasetJson, num_processes: int) -> list[Region]:
    """Small organs, and their regions, by the rules of FocusNet's own ROIs at the images' median spacing.

    Args:
        cases: of training.
        dataset: the dataset.json.
        num_processes: processes that read label maps.

    Raises:
        ValueError: a label map has a fault, or no organ is small.
    """
    files = [case.labels for case in cases if case.labels is not None]
    spacings = np.array([read_header(file).GetSpacing()[::-1] for file in files])
    spacing = tuple(np.median(spacings, axis=0).tolist())
    organs = measure_raw_organs(files, dataset, reader=SimpleITKIO, num_processes=num_processes)
    small = plan_small_organs(organs, dataset, spacing=spacing, patch_size=NO_PATCH)
    if not small:
        raise ValueError(f'{dataset.source}: no organ is small, name some in "small_organs" of "focusnet"')
    z, y, x = spacing
    return [Region(organ.name, organ.label, organ.roi_size[::-1], (x, y, z)) for organ in small]


def neighbours(regions: Sequence[Region], template_labels: sitk.Image) -> dict[int, tuple[int, ...]]:
    """For each organ its own label, then those of organs whose regions overlap its own in the template."""
    placed = {region.label: region.place(template_labels) for region in regions}
    return {
        label: (label, *(other for other, grid in placed.items() if other != label and _overlap(own, grid)))
        for label, own in placed.items()
    }


def cut(image: sitk.Image, grid: Grid) -> np.ndarray:
    """An image's values in a region, linearly interpolated, 0 outside; shape (Z, Y, X), float32."""
    return sitk.GetArrayFromImage(_resample(image, grid))


def cut_labels(labels: sitk.Image, grid: Grid) -> np.ndarray:
    """The labels in a region, each voxel's the nearest one; shape (Z, Y, X)."""
    return sitk.GetArrayFromImage(nearest_on_grid(labels, grid))


def paste(labels: sitk.Image, probabilities: Mapping[int, sitk.Image], small: Sequence[int]) -> sitk.Image:
    """Put small organs into an atlas's label map: each voxel to the most probable of those above one half.

    Args:
        labels: of the atlas, whose small organs are removed.
        probabilities: by label, each on the grid of its region.
        small: labels of the small organs.
    """
    grid = Grid.of(labels)
    merged = sitk.GetArrayFromImage(labels)
    merged[np.isin(merged, list(small))] = 0
    best = np.full(merged.shape, 0.5, np.float32)
    for label, probability in probabilities.items():
        here = sitk.GetArrayFromImage(_resample(probability, grid))
        merged[here > best] = label
        np.maximum(best, here, out=best)
    return grid.put(sitk.GetImageFromArray(merged))


def _resample(image: sitk.Image, grid: Grid) -> sitk.Image:
    onto = (grid.size, sitk.Transform(), sitk.sitkLinear, grid.origin, grid.spacing, grid.direction)
    return sitk.Resample(image, *onto, 0.0, sitk.sitkFloat32)


def _overlap(one: Grid | None, other: Grid | None) -> bool:
    """Whether two regions of an image share voxels; both have the same voxels and axes."""
    if one is None or other is None:
        return False
    apart = one.indices(np.array(other.origin)[None])[0] + (np.array(other.size) - one.size) / 2  # of their centres
    return bool((np.abs(apart) < np.add(one.size, other.size) / 2).all())
