"""Segmentation by an atlas: the template is registered to each image, and its label goes the same way."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import SimpleITK as sitk

from nnunetv2_focusnet.atlas import registration
from nnunetv2_focusnet.atlas.cases import Case, read_case_image
from nnunetv2_focusnet.atlas.template import Atlas, claim, for_each
from nnunetv2_focusnet.images.grid import Grid
from nnunetv2_focusnet.images.writing import write_image
from nnunetv2_focusnet.system.files import write_bytes

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
        ValueError: the folder holds predictions by another atlas.
    """
    claim(folder, atlas.recipe)
    write_bytes(folder / "dataset.json", dataset_json.read_bytes())
    work = partial(_predict_case, atlas=atlas, folder=folder, file_ending=file_ending)
    return for_each(
        cases,
        work,
        lambda case: folder / f"{case.name}{file_ending}",
        title="Predicting",
        num_processes=num_processes,
        show_progress=show_progress,
    )


def _predict_case(case: Case, *, atlas: Atlas, folder: Path, file_ending: str) -> str | None:
    try:
        write_image(transferred_labels(atlas, case), folder / f"{case.name}{file_ending}")
    except ValueError as error:  # those of other cases must not be lost for it
        return str(error)
    return None


def transferred_labels(atlas: Atlas, case: Case) -> sitk.Image:
    """The atlas's label on the grid of a case's image.

    Raises:
        ValueError: the image can't be read or registered.
    """
    image = read_case_image(case)
    recipe = atlas.recipe
    with tempfile.TemporaryDirectory() as folder:
        try:
            fixed = registration.prepare(image, recipe.effort, is_ct=recipe.is_ct)
            transforms = registration.register(
                fixed, atlas.read_template(), Path(folder), recipe.effort, deformable=True
            )
        except ValueError as error:
            raise ValueError(f"{case.image}: {error}") from None
        labels = registration.warp_labels(atlas.read_labels(), Grid.of(image), transforms, smooth=True)
    kind = sitk.sitkUInt8 if max(recipe.labels.values()) <= LARGEST_IN_8_BITS else sitk.sitkUInt16
    return sitk.Cast(labels, kind)
