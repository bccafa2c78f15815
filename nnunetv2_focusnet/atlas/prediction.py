"""Segmentation by an atlas: the template is registered to each image, and its label goes the same way."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import SimpleITK as sitk

from nnunetv2_focusnet.atlas import registration
from nnunetv2_focusnet.atlas.cases import Case, read_case_image
from nnunetv2_focusnet.atlas.template import RECIPE, Atlas, Recipe, claim, for_each
from nnunetv2_focusnet.images.grid import Grid
from nnunetv2_focusnet.images.writing import write_image
from nnunetv2_focusnet.system.files import make_folder, write_bytes
from nnunetv2_focusnet.system.folders import files_with_ending

LARGEST_IN_8_BITS = 255


def predict_cases(
    atlas: Atlas,
    cases: Sequence[Case],
    folder: Path,
    dataset_json: Path,
    file_ending: str,
    num_processes: int,
    *,
    show_progress: bool = True,
) -> list[str]:
    """Segment cases into ``FOLDER/CASE.ENDING``, with the dataset.json beside them as nnU-Net leaves it.

    Cases that are there are passed over, so that a run that was stopped goes on.

    Args:
        atlas: whose label is transferred.
        cases: to segment.
        folder: gets the label maps.
        dataset_json: of the raw dataset.
        file_ending: of the label maps.
        num_processes: cases at the same time.
        show_progress: with a bar.

    Returns:
        A message for each case that was left out.

    Raises:
        ValueError: the folder holds other predictions.
    """
    claim_predictions(folder, atlas.recipe, dataset_json, file_ending)
    work = partial(_predict_case, atlas=atlas, folder=folder, file_ending=file_ending)
    return for_each(
        cases,
        work,
        lambda case: folder / f"{case.name}{file_ending}",
        title="Predicting",
        num_processes=num_processes,
        show_progress=show_progress,
    )


def claim_predictions(folder: Path, recipe: Recipe, dataset_json: Path, file_ending: str, **more: Any) -> None:
    """As `claim`, with the dataset.json, for a folder of label maps: those of other models mustn't count as finished.

    Raises:
        ValueError: the folder holds other predictions.
    """
    check_unclaimed(folder, file_ending)
    claim(folder, recipe, **more)
    write_bytes(folder / "dataset.json", dataset_json.read_bytes())


def check_unclaimed(folder: Path, file_ending: str) -> None:
    """Check that a folder, which needn't exist, has no label maps but those of an atlas.

    Raises:
        ValueError: it has.
    """
    if folder.is_dir() and not (folder / RECIPE).exists() and (others := files_with_ending(folder, file_ending)):
        raise ValueError(f"{others[0]} is there already, and not by the atlas: name another folder")


def _predict_case(case: Case, *, atlas: Atlas, folder: Path, file_ending: str) -> str | None:
    transforms = folder / f".{case.name}.registration"  # one that a killed process left is removed by the next one
    shutil.rmtree(transforms, ignore_errors=True)
    make_folder(transforms)
    try:
        write_image(_transferred_labels(atlas, case, transforms), folder / f"{case.name}{file_ending}")
    except ValueError as error:  # those of other cases must not be lost for it
        return str(error)
    finally:
        shutil.rmtree(transforms, ignore_errors=True)
    return None


def _transferred_labels(atlas: Atlas, case: Case, folder: Path) -> sitk.Image:
    """The atlas's label on the grid of a case's image; the folder gets the transforms."""
    image = read_case_image(case)
    recipe, template = atlas.recipe, atlas.read_template()
    fixed = registration.prepare(image, recipe.effort, is_ct=recipe.is_ct)
    try:
        transforms = registration.register(fixed, template, folder, recipe.effort, deformable=True)
    except ValueError as error:
        raise ValueError(f"{case.image}: {error}") from None
    if warning := registration.warning_of(case.image, registration.similarity(fixed, template, transforms)):
        print(warning, file=sys.stderr)
    labels = registration.warp_labels(atlas.read_labels(), Grid.of(image), transforms, smooth=True)
    kind = sitk.sitkUInt8 if max(recipe.labels.values()) <= LARGEST_IN_8_BITS else sitk.sitkUInt16
    return sitk.Cast(labels, kind)
