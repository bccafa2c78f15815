"""What ANTs does: registrations, and images and label maps warped by them. No other module knows its interface.

This module imports no torch, as each worker imports it; and ANTs, an extra, only where it is used.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import SimpleITK as sitk
from scipy.ndimage import find_objects

from nnunetv2_focusnet.images.grid import Grid
from nnunetv2_focusnet.system.text import last_line

THREADS = "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"
SEED = 1  # of the voxels at which the affine stage compares images
OUTSIDE = -1.0  # marks what an image doesn't cover; prepared images have 0 to 1
CT_WINDOW = -300.0, 700.0  # HU, of soft tissue and bone: air and metal count as the window's ends
PERCENTILES = 0.5, 99.5  # of other images, whose units mean nothing
AIR = 0.05  # of grey values from 0 to 1: of CT -250 HU
MARGIN_MM = 10.0  # of air around the patient, an edge to be found
LARGEST_SHRINKING = 8  # fewer voxels along an axis than this tell nothing of the position along it
LEAST_SIMILARITY = 0.5  # parts of heads that ANTs had put on each other had 0.78 to 0.90, others -0.07 and 0.34
AFFINE, WARP = "0GenericAffine.mat", "1Warp.nii.gz"
Image = Any  # ANTs' own


@dataclass(frozen=True)
class Effort:
    """How finely images are registered.

    Attributes:
        spacing_mm: of the voxels that are compared, along all axes; an axis with larger voxels keeps them.
        syn_iterations: SyN's at most on each level, from coarse to fine; each level has voxels of half the size.
    """

    spacing_mm: float
    syn_iterations: tuple[int, ...]


def limit_threads(threads: int) -> None:
    """Set ITK's threads of this process and of those that it starts, before the first registration.

    With one, which is the default of the command, registrations are the same each time.
    """
    os.environ[THREADS] = str(threads)


def prepare(image: sitk.Image, effort: Effort, *, is_ct: bool) -> sitk.Image:
    """An image as it is registered: the patient, in grey values from 0 to 1, no voxels finer than those of the effort.

    Args:
        image: of one channel.
        effort: whose spacing is used.
        is_ct: grey values are HU.
    """
    return _patient(_coarser(grey_values(image, is_ct=is_ct), effort.spacing_mm))


def grey_values(image: sitk.Image, *, is_ct: bool) -> sitk.Image:
    """An image's grey values as 0 to 1, of float32: CT's in a window of soft tissue and bone, others' without outliers.

    Args:
        image: of one channel.
        is_ct: grey values are HU.
    """
    grey = sitk.GetArrayFromImage(image).astype(np.float32)
    low, high = CT_WINDOW if is_ct else np.percentile(grey, PERCENTILES).tolist()
    scaled = (np.clip(grey, low, high) - low) / (high - low or 1.0)
    return Grid.of(image).put(sitk.GetImageFromArray(scaled.astype(np.float32)))


def register(fixed: sitk.Image, moving: sitk.Image, folder: Path, effort: Effort, *, deformable: bool) -> list[Path]:
    """Find the way from a fixed image to a moving one: rigid, then affine, then, where deformable, SyN.

    It begins with the centres of mass on each other, or with those of the images, whichever leaves the images more
    alike after the affine stage: the former lie elsewhere in one part of a head than in another, the latter where
    fields of view differ.

    Args:
        fixed: prepared.
        moving: prepared.
        folder: gets the transforms.
        effort: whose iterations are used.
        deformable: whether SyN follows.

    Returns:
        The transforms, in the order that `warp_image` takes.

    Raises:
        ValueError: ANTs can't register them.
    """
    import ants

    ants.config.set_ants_deterministic(False, SEED)  # True would forbid all but two kinds of registration

    def run(kind: str, start: list[str] | None, into: Path, **options: Any) -> None:
        images = ants.from_sitk(fixed), ants.from_sitk(moving)
        try:
            ants.registration(*images, kind, initial_transform=start, outprefix=f"{into}{os.sep}", **options)
        except RuntimeError as error:
            raise ValueError(f"ANTs can't register them ({last_line(error)})") from None

    starts, faults = dict[Path, list[str] | None](), list[ValueError]()  # the former by the folder of what came of them
    with TemporaryDirectory(dir=folder) as scratch:
        shift = Path(scratch) / "shift.mat"
        write_shift_of_centres(fixed, moving, shift)
        for name, start in (("mass", None), ("centres", [str(shift)])):  # None: ANTs' own, centres of mass
            trial = Path(scratch) / name
            trial.mkdir()
            try:
                run("Affine", start, trial)
                starts[trial] = start
            except ValueError as error:
                faults.append(error)
        if not starts:
            raise faults[0]
        best = max(starts, key=lambda trial: similarity(fixed, moving, transforms_in(trial)))
        if deformable:
            # CC within a radius of 2 voxels, as in ANTs' own antsRegistrationSyN.sh
            iterations = levels(effort.syn_iterations, fixed)
            run("SyNRA", starts[best], best, syn_metric="CC", syn_sampling=2, reg_iterations=iterations)
        for file in transforms_in(best):
            file.rename(folder / file.name)
    return transforms_in(folder)


def similarity(fixed: sitk.Image, moving: sitk.Image, transforms: Sequence[Path]) -> float:
    """Correlation of a fixed image with a moving one on its grid; what the latter doesn't cover counts as air.

    It is 0 where either image is the same everywhere, as where the moving one covers nothing.
    """
    there = sitk.GetArrayFromImage(fixed).ravel()
    warped = sitk.GetArrayFromImage(warp_image(moving, Grid.of(fixed), transforms)).clip(0).ravel()
    return float(np.corrcoef(warped, there)[0, 1]) if warped.std() and there.std() else 0.0


def warning_of(image: Path, similarity: float) -> str | None:
    """What to say of an image that a template was registered to, or that was registered to one."""
    if similarity >= LEAST_SIMILARITY:
        return None
    return (
        f"WARNING: {image}: template and image are poorly aligned (correlation {similarity:.2f}), labels may be wrong"
        " throughout: look at them"
    )


def transforms_in(folder: Path) -> list[Path]:
    """The transforms that `register` left there."""
    return [path for path in (folder / WARP, folder / AFFINE) if path.exists()]


def warp_image(
    moving: sitk.Image, grid: Grid, transforms: Sequence[Path], inverted: Sequence[bool] | None = None
) -> sitk.Image:
    """An image on another grid, linearly interpolated, `OUTSIDE` where it isn't known.

    Args:
        moving: of float32.
        grid: to fill.
        transforms: the last one is applied to the image first.
        inverted: which of them are to be inverted, none where left out; affine ones can be.
    """
    return _warp(moving, grid, transforms, inverted, "linear", OUTSIDE)


def warp_labels(
    moving: sitk.Image,
    grid: Grid,
    transforms: Sequence[Path],
    inverted: Sequence[bool] | None = None,
    *,
    outside: int = 0,
    smooth: bool = False,
) -> sitk.Image:
    """A label map on another grid.

    Args:
        moving: of an integer type.
        grid: to fill.
        transforms: as `warp_image`.
        inverted: as `warp_image`.
        outside: label of what isn't known.
        smooth: each voxel gets the label with the largest share in its surroundings, not that of the nearest voxel.
    """
    kind = moving.GetPixelID()
    way = "genericLabel" if smooth else "nearestNeighbor"
    warped = _warp(sitk.Cast(moving, sitk.sitkFloat32), grid, transforms, inverted, way, float(outside))
    return sitk.Cast(sitk.Round(warped), kind)


def write_mean_affine(files: Sequence[Path], to: Path) -> None:
    """Average affine transforms, without the rotations and shifts in them, which say nothing about shape."""
    import ants

    with _quiet():
        mean = ants.average_affine_transform_no_rigid([str(file) for file in files])
    ants.write_transform(mean, str(to))


def write_mean_warp(files: Sequence[Path], affine: Path, step: float, to: Path) -> None:
    """Average displacements, and write a step of them in the opposite sense, seen from the other side of ``affine``."""
    import ants

    mean = ants.image_read(str(files[0])) * 0
    for file in files:
        mean = mean + ants.image_read(str(file)) * (1 / len(files))
    back = ants.apply_transforms(mean, mean * -step, [str(affine)], whichtoinvert=[True], imagetype=1)
    ants.image_write(back, str(to))


def sharpen(image: sitk.Image, share: float) -> sitk.Image:
    """An image with its edges stressed: averaging has blurred them."""
    import ants

    blurred = ants.from_sitk(image)
    return _to_sitk(blurred * (1 - share) + ants.iMath(blurred, "Sharpen") * share)


def write_shift_of_centres(fixed: sitk.Image, moving: sitk.Image, to: Path) -> None:
    """Write the transform that puts the centres of both images on each other, without a turn."""
    way = sitk.CenteredTransformInitializerFilter.GEOMETRY
    shift = sitk.CenteredTransformInitializer(fixed, moving, sitk.Euler3DTransform(), way)
    sitk.WriteTransform(shift, str(to))


def levels(iterations: tuple[int, ...], image: sitk.Image) -> tuple[int, ...]:
    """The finer levels alone, where the coarse ones would leave too few voxels along an axis.

    Where none of them has iterations, the first gets those of the last level that has: SyN isn't left out unasked.

    Args:
        iterations: on each level, from coarse to fine.
        image: prepared.
    """
    largest = max(1, min(image.GetSize()) // LARGEST_SHRINKING)
    left = iterations[-largest.bit_length() :]
    return left if any(left) else (next(filter(None, reversed(iterations)), 0), *left[1:])


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what ANTs' native code prints from the user's screen."""
    sys.stdout.flush()
    kept = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)


def _warp(
    moving: sitk.Image,
    grid: Grid,
    transforms: Sequence[Path],
    inverted: Sequence[bool] | None,
    interpolator: str,
    outside: float,
) -> sitk.Image:
    import ants

    onto = grid.put(sitk.Image(grid.size, sitk.sitkFloat32))
    warped = ants.apply_transforms(
        fixed=ants.from_sitk(onto),
        moving=ants.from_sitk(moving),
        transformlist=[str(file) for file in transforms],
        whichtoinvert=list(inverted or [False] * len(transforms)),
        interpolator=interpolator,
        defaultvalue=outside,
    )
    return grid.put(_to_sitk(warped))


def _to_sitk(image: Image) -> sitk.Image:
    import ants

    return sitk.Cast(ants.to_sitk(image), sitk.sitkFloat32)


def _coarser(image: sitk.Image, spacing_mm: float) -> sitk.Image:
    """The image with voxels of at least that size, blurred before, lest what lies between them be passed over."""
    grid = Grid.of(image)
    spacing = [max(mm, spacing_mm) for mm in grid.spacing]
    size = [max(1, round(number * mm / to)) for number, mm, to in zip(grid.size, grid.spacing, spacing, strict=True)]
    centre = grid.points_mm((np.array(grid.size) - 1)[None] / 2)[0]
    axes = np.reshape(grid.direction, (3, 3))
    origin = centre - axes @ ((np.array(size) - 1) / 2 * spacing)
    variance = [max(0.0, (to**2 - mm**2) / 12) for mm, to in zip(grid.spacing, spacing, strict=True)]  # of a box
    blurred = sitk.DiscreteGaussian(image, variance)
    return sitk.Resample(
        blurred,
        size,
        sitk.Transform(),
        sitk.sitkLinear,
        origin.tolist(),
        spacing,
        grid.direction,
        0.0,
        sitk.sitkFloat32,
    )


def _patient(image: sitk.Image) -> sitk.Image:
    """The part around the largest thing that isn't air: most of a usual CT shows air and table."""
    things = sitk.RelabelComponent(sitk.ConnectedComponent(image > AIR), sortByObjectSize=True)
    box = find_objects(sitk.GetArrayFromImage(things), 1)
    if not box or box[0] is None:
        return image
    margins = [math.ceil(MARGIN_MM / mm) for mm in image.GetSpacing()]
    z, y, x = box[0]
    starts = [max(0, side.start - margin) for side, margin in zip((x, y, z), margins, strict=True)]
    stops = [side.stop + margin for side, margin in zip((x, y, z), margins, strict=True)]
    sizes = [min(stop, end) - start for start, stop, end in zip(starts, stops, image.GetSize(), strict=True)]
    return sitk.RegionOfInterest(image, sizes, starts)
