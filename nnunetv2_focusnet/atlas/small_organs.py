"""The interleaved networks on cases: regions from the atlas, small organs from the networks, the others from it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from nnunetv2_focusnet.atlas.cases import Case, read_case_image, read_case_labels
from nnunetv2_focusnet.atlas.claims import claim
from nnunetv2_focusnet.atlas.interleaved import InterleavedNetworks, Sample
from nnunetv2_focusnet.atlas.label_maps import LabelMaps
from nnunetv2_focusnet.atlas.regions import Region, cut, cut_labels, neighbours, paste
from nnunetv2_focusnet.atlas.registration import grey_values
from nnunetv2_focusnet.atlas.template import Atlas, Recipe
from nnunetv2_focusnet.images.writing import write_image
from nnunetv2_focusnet.organs.dataset_json import DatasetJson
from nnunetv2_focusnet.system.json_objects import as_json


def made_with(recipe: Recipe, regions: Sequence[Region], steps: int) -> dict[str, Any]:
    """What decides about the weights of networks, and besides images about their label maps, as JSON."""
    return {**as_json(recipe), "steps": steps, "regions": [as_json(region) for region in regions]}


def train_small_organs(
    atlas: Atlas,
    regions: Sequence[Region],
    cases: Sequence[Case],
    dataset: DatasetJson,
    transferred: LabelMaps,
    folder: Path,
    steps: int,
) -> InterleavedNetworks:
    """Train the networks of all small organs, or those that are missing.

    Args:
        atlas: that finds the regions.
        regions: of the small organs.
        cases: of training.
        dataset: the dataset.json.
        transferred: the atlas's label maps of these cases.
        folder: gets the weights.
        steps: of each network.

    Raises:
        ValueError: the atlas has lost one of the organs, or the folder has networks that were made otherwise.
    """
    if lost := sorted(set(atlas.lost_organs()) & {region.name for region in regions}):
        raise ValueError(f"the atlas has no voxel of {', '.join(lost)}: build it of more cases or with finer voxels")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    networks = InterleavedNetworks(regions, neighbours(regions, atlas.read_labels()), folder, device, steps)
    claim(folder, made_with(atlas.recipe, regions, steps))
    if not networks.are_trained:  # otherwise no training image need be read
        networks.train([_sample(case, regions, dataset, transferred) for case in cases])
    return networks


def predict_small_organs(
    atlas: Atlas,
    networks: InterleavedNetworks,
    cases: Sequence[Case],
    dataset: DatasetJson,
    transferred: LabelMaps,
    label_maps: LabelMaps,
    dataset_json: Path,
) -> None:
    """Segment cases; those that are there, or that the atlas left out, are passed over.

    Args:
        atlas: that finds the regions.
        networks: of the small organs.
        cases: to segment.
        dataset: the dataset.json.
        transferred: the atlas's label maps of these cases.
        label_maps: where theirs go.
        dataset_json: of the raw dataset.

    Raises:
        ValueError: the folder holds other predictions.
    """
    label_maps.claim(cases, made_with(atlas.recipe, networks.regions, networks.steps), dataset_json)
    labels = [region.label for region in networks.regions]
    pending = [case for case in cases if transferred.has(case) and not label_maps.has(case)]
    for case in tqdm(pending, desc="Small organs", unit="case", disable=not pending or None):
        maps = networks.predict(_sample(case, networks.regions, dataset, transferred, with_targets=False))
        write_image(paste(transferred.read(case), maps, labels), label_maps.file(case))


def _sample(
    case: Case, regions: Sequence[Region], dataset: DatasetJson, transferred: LabelMaps, *, with_targets: bool = True
) -> Sample:
    of_atlas = transferred.read(case)
    placed = {region.label: region.place(of_atlas) for region in regions}
    grids = {label: grid for label, grid in placed.items() if grid is not None}
    targets = {}
    if with_targets:
        drawn = read_case_labels(case, dataset)
        for label in grids.keys() - dataset.unannotated.get(case.name, frozenset()):
            here = cut_labels(drawn, grids[label])
            targets[label] = here == label, here != (dataset.ignore_label or -1)
    grey = grey_values(read_case_image(case), is_ct=dataset.is_ct)
    return Sample({label: cut(grey, grid) for label, grid in grids.items()}, grids, targets)
