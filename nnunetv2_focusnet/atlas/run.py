"""The whole way from nnU-Net's folders to label maps: an atlas, networks in its regions, and what they segment."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from nnunetv2_focusnet.atlas.cases import Case, cases_to_segment, evenly_chosen, split, training_cases
from nnunetv2_focusnet.atlas.claims import check_claim
from nnunetv2_focusnet.atlas.interleaved import InterleavedNetworks
from nnunetv2_focusnet.atlas.label_maps import LabelMaps
from nnunetv2_focusnet.atlas.prediction import predict_cases
from nnunetv2_focusnet.atlas.regions import Region, plan_regions
from nnunetv2_focusnet.atlas.registration import Effort
from nnunetv2_focusnet.atlas.small_organs import made_with, predict_small_organs, train_small_organs
from nnunetv2_focusnet.atlas.template import Atlas, Recipe, build_atlas
from nnunetv2_focusnet.organs.dataset_json import DatasetJson
from nnunetv2_focusnet.system.folders import folder_from_environment
from nnunetv2_focusnet.system.json_objects import as_json

ATLAS, INTERLEAVED = "Atlas", "AtlasInterleaved"  # where trainers' names stand in nnU-Net's folders


@dataclass(frozen=True)
class Job:
    """What is to be done.

    Attributes:
        dataset: name of the raw one.
        fold: whose training cases make the atlas; its number, or ``all``.
        num_cases: of these, evenly chosen; None: all.
        iterations: of the template, by SyN.
        effort: of each registration.
        steps: of each network for small organs; None: the atlas segments them, too.
        images: a folder of images to segment; None: the fold's validation cases.
        output: where their label maps go; None: where nnU-Net has those of a validation.
        plans: of the trainers to compare with.
        configuration: of these.
        num_processes: cases at the same time.
    """

    dataset: str
    fold: str
    num_cases: int | None
    iterations: int
    effort: Effort
    steps: int | None
    images: Path | None
    output: Path | None
    plans: str
    configuration: str
    num_processes: int


@dataclass(frozen=True)
class Outcome:
    """What was made.

    Attributes:
        atlas: its folder.
        label_maps: their folder.
        faults: a message for each case that was left out.
    """

    atlas: Path
    label_maps: Path
    faults: list[str]


@dataclass(frozen=True)
class _Cases:
    """Training cases of the dataset, those among them that make the atlas, and the cases to segment."""

    dataset: DatasetJson
    dataset_json: Path
    of_dataset: list[Case]
    of_atlas: list[Case]
    to_segment: list[Case]


@dataclass(frozen=True)
class _Places:
    """Of the atlas and its label maps; of the networks, the label maps in which they find regions, and their own."""

    atlas: Path
    by_atlas: LabelMaps
    networks: Path
    for_networks: LabelMaps
    by_networks: LabelMaps


def run(job: Job) -> Outcome:
    """Do a job, or what is missing of it: a run that was stopped goes on.

    Raises:
        ValueError: a flag, the dataset or a training case has a fault, or a folder holds what was made otherwise.
    """
    cases = _find_cases(job)
    places = _places(job, cases.dataset.file_ending)
    recipe = Recipe.of(cases.of_atlas, cases.dataset, job.iterations, job.effort)
    regions = [] if job.steps is None else plan_regions(cases.of_dataset, cases.dataset, job.num_processes)
    _check_places(places, cases, recipe, regions, job.steps)
    atlas = build_atlas(cases.of_atlas, cases.dataset, recipe, places.atlas, job.num_processes)
    _warn_of_lost_organs(atlas)
    networks = None
    if job.steps is not None:  # before images that may be faulty, and which networks don't depend on
        networks = _train(atlas, regions, cases, places, job.steps, job.num_processes)
    faults = predict_cases(atlas, cases.to_segment, places.by_atlas, cases.dataset_json, job.num_processes)
    if networks is None:
        return Outcome(atlas.folder, places.by_atlas.folder, faults)
    predict_small_organs(
        atlas, networks, cases.to_segment, cases.dataset, places.by_atlas, places.by_networks, cases.dataset_json
    )
    return Outcome(atlas.folder, places.by_networks.folder, faults)


def _find_cases(job: Job) -> _Cases:
    raw, preprocessed = (folder_from_environment(f"nnUNet_{name}") / job.dataset for name in ("raw", "preprocessed"))
    dataset_json = raw / "dataset.json"
    dataset = DatasetJson.read(dataset_json)
    cases = training_cases(raw, dataset)
    training, validation = split(list(cases), job.fold, [preprocessed, raw], dataset.file_ending)
    return _Cases(
        dataset,
        dataset_json,
        list(cases.values()),
        [cases[name] for name in evenly_chosen(training, job.num_cases)],
        cases_to_segment(job.images, dataset.file_ending) if job.images else [cases[name] for name in validation],
    )


def _places(job: Job, file_ending: str) -> _Places:
    results = folder_from_environment("nnUNet_results") / job.dataset
    of_atlas, of_networks = (
        results / f"{name}__{job.plans}__{job.configuration}" / f"fold_{job.fold}" for name in (ATLAS, INTERLEAVED)
    )
    by_atlas, by_networks = of_atlas / "validation", of_networks / "validation"
    if job.output is not None:
        by_atlas, by_networks = job.output if job.steps is None else job.output / "atlas", job.output
    return _Places(
        of_atlas / "atlas",
        LabelMaps(by_atlas, file_ending),
        of_networks / "networks",
        LabelMaps(of_networks / "regions", file_ending),
        LabelMaps(by_networks, file_ending),
    )


def _check_places(places: _Places, cases: _Cases, recipe: Recipe, regions: list[Region], steps: int | None) -> None:
    """Before hours of registrations."""
    of_atlas = as_json(recipe)
    check_claim(places.atlas, of_atlas)
    places.by_atlas.check(cases.to_segment, of_atlas)
    if steps is not None:
        of_networks = made_with(recipe, regions, steps)
        check_claim(places.networks, of_networks)
        places.for_networks.check(cases.of_atlas, of_atlas)
        places.by_networks.check(cases.to_segment, of_networks)


def _warn_of_lost_organs(atlas: Atlas) -> None:
    if lost := atlas.lost_organs():
        print(
            f"WARNING: no voxel of the atlas has a majority for {', '.join(lost)}: it never finds them", file=sys.stderr
        )


def _train(
    atlas: Atlas, regions: list[Region], cases: _Cases, places: _Places, steps: int, num_processes: int
) -> InterleavedNetworks:
    if faults := predict_cases(atlas, cases.of_atlas, places.for_networks, cases.dataset_json, num_processes):
        raise ValueError("; ".join(faults))
    return train_small_organs(
        atlas, regions, cases.of_atlas, cases.dataset, places.for_networks, places.networks, steps
    )
