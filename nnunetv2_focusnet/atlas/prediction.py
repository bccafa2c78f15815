"""Segmentation by an atlas: the template is registered to each image, and its label goes the same way."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import SimpleITK as sitk

from nnunetv2_focusnet.atlas import registration
from nnunetv2_focusnet.atlas.cases import Case, read_case_image
from nnunetv2_focusnet.atlas.label_maps import LabelMaps
from nnunetv2_focusnet.atlas.template import Atlas, for_each
from nnunetv2_focusnet.images.grid import Grid
from nnunetv2_focusnet.images.writing import write_image
from nnunetv2_focusnet.system.json_objects import as_json
from nnunetv2_focusnet.system.new_folder import hidden_folder

LARGEST_IN_8_BITS = 255


def predict_cases(
    atlas: Atlas, cases: Sequence[Case], label_maps: LabelMaps, dataset_json: Path, num_processes: int
) -> list[str]:
    """Segment cases.

    Those that are there are passed over, so that a run that was stopped goes on.

    Args:
        atlas: whose label is transferred.
        cases: to segment.
        label_maps: where theirs go.
        dataset_json: of the raw dataset.
        num_processes: cases at the same time.

    Returns:
        A message for each case that was left out.

    Raises:
        ValueError: the folder holds other predictions.
    """
    label_maps.claim(cases, as_json(atlas.recipe), dataset_json)
    work = partial(_predict_case, atlas=atlas, label_maps=label_maps)
    return for_each(cases, work, label_maps.file, title="Predicting", num_processes=num_processes)


def _predict_case(case: Case, *, atlas: Atlas, label_maps: LabelMaps) -> str | None:
    file = label_maps.file(case)
    try:
        with hidden_folder(file) as transforms:
            write_image(_transferred_labels(atlas, case, transforms), file)
    except ValueError as error:  # those of other cases must not be lost for it
        return str(error)
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
