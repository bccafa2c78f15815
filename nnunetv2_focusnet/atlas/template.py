"""A template: the mean shape and look of the training images, with the label that most of them have there.

As Avants et al. build theirs: all images are registered to the template, their mean becomes the next one, moved a step
against the mean of the ways to it, so that it takes the shape of no single case.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy.ndimage import find_objects
from tqdm import tqdm

from nnunetv2_focusnet.atlas import registration
from nnunetv2_focusnet.atlas.cases import Case, middle_sized, read_case_image, read_case_labels
from nnunetv2_focusnet.atlas.claims import CLAIM, claim
from nnunetv2_focusnet.atlas.registration import OUTSIDE, Effort
from nnunetv2_focusnet.atlas.voting import UNKNOWN, vote
from nnunetv2_focusnet.images.grid import Grid
from nnunetv2_focusnet.images.writing import write_image
from nnunetv2_focusnet.organs.dataset_json import DatasetJson
from nnunetv2_focusnet.system.files import make_folder
from nnunetv2_focusnet.system.json_objects import as_json
from nnunetv2_focusnet.system.new_folder import new_folder
from nnunetv2_focusnet.system.processes import map_in_processes

TEMPLATE, LABELS = "template.nii.gz", "labels.nii.gz"
WARPED, UPDATE_AFFINE, UPDATE_WARP = "warped.nii.gz", "update_affine.mat", "update_warp.nii.gz"
STEP = 0.2  # of the mean displacement, as ANTs' own build_template
SHARPENED = 0.25  # as there


@dataclass(frozen=True)
class Recipe:
    """All that decides what an atlas looks like.

    Attributes:
        cases: of training, each with the digests of its image and label map.
        unannotated: by case, labels that aren't annotated there.
        labels: organs with their values.
        iterations: of SyN; one of affine registrations comes before.
        effort: of each registration.
        is_ct: grey values are HU.
    """

    cases: dict[str, tuple[str | None, str | None]]
    unannotated: dict[str, tuple[int, ...]]
    labels: dict[str, int]
    iterations: int
    effort: Effort
    is_ct: bool

    @classmethod
    def of(cls, cases: Sequence[Case], dataset: DatasetJson, iterations: int, effort: Effort) -> Recipe:
        """For these training cases of a dataset."""
        digests = {case.name: (case.image_digest, case.labels_digest) for case in cases}
        unannotated = {name: tuple(sorted(dataset.unannotated.get(name, ()))) for name in digests}
        return cls(digests, unannotated, dict(dataset.labels), iterations, effort, dataset.is_ct)


@dataclass(frozen=True)
class Atlas:
    """A finished atlas.

    Attributes:
        folder: with the template and its label.
        recipe: that it was made by.
    """

    folder: Path
    recipe: Recipe

    def read_template(self) -> sitk.Image:
        """The template image, prepared for registration."""
        return sitk.ReadImage(str(self.folder / TEMPLATE), sitk.sitkFloat32)

    def read_labels(self) -> sitk.Image:
        """Its label map."""
        return sitk.ReadImage(str(self.folder / LABELS), sitk.sitkUInt16)

    def lost_organs(self) -> list[str]:
        """Organs that no voxel has the majority for."""
        present = np.unique(sitk.GetArrayFromImage(self.read_labels()))
        return [organ for organ, label in self.recipe.labels.items() if label not in present]


def build_atlas(cases: Sequence[Case], dataset: DatasetJson, recipe: Recipe, folder: Path, num_processes: int) -> Atlas:
    """Build an atlas, or what is missing of one: a run that was stopped goes on after its last registration.

    Args:
        cases: of training, in the order of the recipe.
        dataset: the dataset.json.
        recipe: how to build it.
        folder: where it is kept.
        num_processes: cases that are registered at the same time.

    Raises:
        ValueError: a case has a fault, or the folder has an atlas by another recipe.
    """
    if not (folder / CLAIM).exists():
        # A fault must not show after hours of registrations; nor, once it is mended, the case count as another one.
        for case in tqdm(cases, desc="Reading cases", unit="case", disable=None):
            read_case_image(case)
            read_case_labels(case, dataset)
    claim(folder, as_json(recipe))
    atlas = Atlas(folder, recipe)
    if (folder / LABELS).exists():
        return atlas
    progress = folder / "progress"
    reference = middle_sized(cases)
    over_cases = partial(for_each, cases, num_processes=num_processes)
    iteration = _register_all(cases, recipe, reference, progress, over_cases)
    grid = Grid.of(read_case_image(reference))
    maps = progress / "labels"
    make_folder(maps)
    work = partial(_warp_labels, dataset=dataset, grid=grid, iteration=iteration, folder=maps)
    over_cases(work, _label_file(maps), title="Template, labels")
    shutil.copyfile(iteration / TEMPLATE, folder / TEMPLATE)
    write_image(_majority([_label_file(maps)(case) for case in cases], recipe, grid), folder / LABELS)
    shutil.rmtree(progress, ignore_errors=True)
    return atlas


def for_each(
    cases: Sequence[Case],
    work: Callable[[Case], str | None],
    result: Callable[[Case], Path],
    *,
    title: str,
    num_processes: int,
) -> list[str]:
    """Do something with each case whose result isn't there yet, with a bar.

    Args:
        cases: in order.
        work: writes the result, and returns a message for the user or None.
        result: what it writes for a case.
        title: of the bar.
        num_processes: cases at the same time.

    Returns:
        The messages.
    """
    pending = [case for case in cases if not result(case).exists()]
    done = map_in_processes(work, pending, num_processes, apart=True)
    with closing(done):
        bar = tqdm(done, total=len(pending), desc=title, unit="case", disable=not pending or None)
        return [message for message in bar if message is not None]


def _register_all(
    cases: Sequence[Case], recipe: Recipe, reference: Case, progress: Path, over_cases: Callable[..., list[str]]
) -> Path:
    """All iterations; returns the folder of the last one, whose template is the atlas's."""
    template = registration.prepare(read_case_image(reference), recipe.effort, is_ct=recipe.is_ct)
    grid = Grid.of(template)
    for number in range(recipe.iterations + 1):
        this = progress / f"iteration_{number}"
        if not (this / TEMPLATE).exists():
            make_folder(this)
            work = partial(_register_case, template=template, recipe=recipe, folder=this, number=number)
            title = f"Template, SyN {number} of {recipe.iterations}" if number else "Template, affine"
            over_cases(work, lambda case, this=this: this / case.name, title=title)
            _update([this / case.name for case in cases], this, grid)
        template = sitk.ReadImage(str(this / TEMPLATE), sitk.sitkFloat32)
        if number < recipe.iterations:
            for case in cases:  # displacements are large
                shutil.rmtree(this / case.name, ignore_errors=True)
    return this


def _register_case(case: Case, *, template: sitk.Image, recipe: Recipe, folder: Path, number: int) -> None:
    image = registration.prepare(read_case_image(case), recipe.effort, is_ct=recipe.is_ct)
    with new_folder(folder / case.name) as unfinished:
        try:
            transforms = registration.register(template, image, unfinished, recipe.effort, deformable=number > 0)
        except ValueError as error:
            raise ValueError(f"{case.image}: {error}") from None
        write_image(registration.warp_image(image, Grid.of(template), transforms), unfinished / WARPED)
    if number == recipe.iterations:  # before that, the template is still to change
        similarity = registration.similarity(template, image, registration.transforms_in(folder / case.name))
        if warning := registration.warning_of(case.image, similarity):
            print(warning, file=sys.stderr)


def _update(registered: Sequence[Path], folder: Path, grid: Grid) -> None:
    """The next template from the images on the grid of this one; the ways to it are written, too."""
    affine, warp = folder / UPDATE_AFFINE, folder / UPDATE_WARP
    registration.write_mean_affine([each / registration.AFFINE for each in registered], affine)
    warps = [each / registration.WARP for each in registered]
    if warps[0].exists():
        registration.write_mean_warp(warps, affine, STEP, warp)
    mean = grid.put(sitk.GetImageFromArray(mean_of_covering([each / WARPED for each in registered])))
    moved = registration.warp_image(mean, grid, *_way_of_update(folder))
    sharp = registration.sharpen(sitk.Clamp(moved, lowerBound=0.0), SHARPENED)
    write_image(sitk.Clamp(sharp, lowerBound=0.0, upperBound=1.0), folder / TEMPLATE)


def mean_of_covering(files: Sequence[Path]) -> np.ndarray:
    """Mean in each voxel over the images that cover it, 0 where none does; of float32, shape (Z, Y, X)."""
    total = number = np.zeros(())
    for file in files:
        grey = sitk.GetArrayFromImage(sitk.ReadImage(str(file), sitk.sitkFloat32))
        covered = grey > OUTSIDE / 2
        total, number = total + np.where(covered, grey, 0), number + covered
    return (total / np.maximum(number, 1)).astype(np.float32)


def _way_of_update(folder: Path) -> tuple[list[Path], list[bool]]:
    """Transforms of an update, and which of them are to be inverted."""
    warp = [folder / UPDATE_WARP] if (folder / UPDATE_WARP).exists() else []
    return [*warp, folder / UPDATE_AFFINE], [*(False for _ in warp), True]


def _warp_labels(case: Case, *, dataset: DatasetJson, grid: Grid, iteration: Path, folder: Path) -> None:
    """A case's label map on the template, by the way that its image took."""
    labels = sitk.GetArrayFromImage(image := read_case_labels(case, dataset))
    if dataset.ignore_label is not None:
        labels[labels == dataset.ignore_label] = UNKNOWN
    update, inverted = _way_of_update(iteration)
    transforms = registration.transforms_in(iteration / case.name)
    warped = registration.warp_labels(
        Grid.of(image).put(sitk.GetImageFromArray(labels)),
        grid,
        [*update, *transforms],
        [*inverted, *(False for _ in transforms)],
        outside=UNKNOWN,
    )
    write_image(warped, _label_file(folder)(case))


def _label_file(folder: Path) -> Callable[[Case], Path]:
    return lambda case: folder / f"{case.name}.nii.gz"


def _majority(files: Sequence[Path], recipe: Recipe, grid: Grid) -> sitk.Image:
    """The template's label map; only the box around all organs is looked at, as whole images of all cases are large."""
    boxes = [_box(_array(file), len(recipe.labels)) for file in files]
    winner = np.zeros(grid.shape, np.uint16)
    if known := [box for box in boxes if box is not None]:
        box = tuple(slice(min(b[a].start for b in known), max(b[a].stop for b in known)) for a in range(3))
        label_maps = np.stack([_array(file)[box] for file in files])
        unannotated = [recipe.unannotated[case] for case in recipe.cases]
        winner[box] = vote(label_maps, len(recipe.labels), unannotated)
    return grid.put(sitk.GetImageFromArray(winner))


def _array(file: Path) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(str(file), sitk.sitkUInt16))


def _box(labels: np.ndarray, num_labels: int) -> tuple[slice, ...] | None:
    """Around all organs; None: there are none."""
    return next(iter(find_objects(((labels > 0) & (labels <= num_labels)).astype(np.uint8))), None)
