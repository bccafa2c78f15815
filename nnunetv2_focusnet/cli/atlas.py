"""``nnUNetv2_focusnet_atlas``: segmentation by registration with ANTs, to compare networks with."""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import Any

from nnunetv2.configuration import default_num_processes

from nnunetv2_focusnet.atlas import check_library
from nnunetv2_focusnet.atlas.cases import (
    ALL,
    cases_to_segment,
    evenly_chosen,
    split,
    training_cases,
)
from nnunetv2_focusnet.atlas.prediction import check_unclaimed, predict_cases
from nnunetv2_focusnet.atlas.regions import plan_regions
from nnunetv2_focusnet.atlas.registration import Effort, limit_threads
from nnunetv2_focusnet.atlas.small_organs import AtlasLabels, predict_small_organs, train_small_organs
from nnunetv2_focusnet.atlas.template import Recipe, build_atlas
from nnunetv2_focusnet.cli.command import as_command, check_num_processes, exit_with
from nnunetv2_focusnet.organs.dataset_json import DatasetJson
from nnunetv2_focusnet.planning.preparation import find_raw_dataset
from nnunetv2_focusnet.system.folders import folder_from_environment

COMMAND = "nnUNetv2_focusnet_atlas"
ATLAS, INTERLEAVED = "Atlas", "AtlasInterleaved"  # where trainers' names stand in nnU-Net's folders


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=COMMAND,
        description="Build an atlas (template image and label) from the training cases of a fold, and segment images "
        "by registering it to them with ANTs (SyN). Of several channels the first is read. Without -i and -o, the "
        "fold's validation cases are segmented, where nnUNetv2_focusnet_compare --cv finds them as those of the "
        f"trainer {ATLAS} or {INTERLEAVED}. The same command goes on with a run that was stopped.",
    )
    parser.add_argument("-d", required=True, metavar="DATASET", help="ID or name of a raw dataset")
    parser.add_argument("-f", required=True, metavar="FOLD", help="fold whose training cases make the atlas, or all")
    parser.add_argument("-i", type=Path, metavar="FOLDER", help="images to segment, as nnUNetv2_predict takes them")
    parser.add_argument("-o", type=Path, metavar="FOLDER", help="where their label maps go")
    parser.add_argument(
        "--num_cases", type=int, metavar="N", help="training cases the atlas is made from (default: all of the fold)"
    )
    parser.add_argument("--iterations", type=int, default=3, help="of the template, by SyN (default: 3)")
    parser.add_argument(
        "--spacing", type=float, default=3.0, metavar="MM", help="of the voxels that are registered (default: 3)"
    )
    parser.add_argument(
        "--syn_iterations",
        type=int,
        nargs="+",
        default=[100, 70, 20],
        metavar="N",
        help="of SyN at most on each level, from coarse to fine (default: 100 70 20)",
    )
    parser.add_argument("-p", default="nnUNetPlans", metavar="PLANS", help="plans of the trainers to compare with")
    parser.add_argument("-c", default="3d_fullres", help="their configuration (-p and -c name the folder alone)")
    parser.add_argument("-np", type=int, default=default_num_processes, help="cases registered at the same time")
    parser.add_argument(
        "--interleaved",
        action="store_true",
        help="segment small organs by networks in regions that the atlas finds (Ren et al. 2018)",
    )
    parser.add_argument(
        "--steps", type=int, default=500, metavar="N", help="of each of these networks, two an organ (default: 500)"
    )
    parser.add_argument(
        "--threads",
        type=int,
        default=1,
        help="of each registration (default: 1, with which results are the same each time)",
    )
    parser.add_argument("--disable_progress_bar", action="store_true")
    return parser


@as_command(COMMAND, when_stopped="the same command goes on where this one was")
def main() -> None:
    """Build an atlas and segment what the command line names."""
    args = _parser().parse_args()
    check_library()
    _check_flags(args)
    raw, results, preprocessed = (
        folder_from_environment(f"nnUNet_{name}") / _dataset_name(args.d) for name in ("raw", "results", "preprocessed")
    )
    of_atlas, of_networks = (
        results / f"{name}__{args.p}__{args.c}" / f"fold_{args.f}" for name in (ATLAS, INTERLEAVED)
    )
    dataset_json = raw / "dataset.json"
    dataset = DatasetJson.read(dataset_json)
    cases = training_cases(raw, dataset)
    training, validation = split(list(cases), args.f, [preprocessed, raw], dataset.file_ending)
    if args.i is None:
        targets, folder = [cases[name] for name in validation], of_atlas / "validation"
        final = of_networks / "validation" if args.interleaved else folder
    else:
        targets, final = cases_to_segment(args.i, dataset.file_ending), args.o
        folder = args.o / "atlas" if args.interleaved else args.o

    for each in {folder, final}:  # before hours of registrations
        check_unclaimed(each, dataset.file_ending)
    regions = plan_regions(list(cases.values()), dataset, args.np) if args.interleaved else []

    limit_threads(args.threads)
    limits: dict[str, Any] = {"num_processes": args.np, "show_progress": not args.disable_progress_bar}
    chosen = [cases[name] for name in evenly_chosen(training, args.num_cases)]
    effort = Effort(args.spacing, tuple(args.syn_iterations))
    recipe = Recipe.of([case.name for case in chosen], dataset, args.iterations, effort)
    atlas = build_atlas(chosen, dataset, recipe, of_atlas / "atlas", **limits)
    if lost := atlas.lost_organs():
        print(
            f"WARNING: no voxel of the atlas has a majority for {', '.join(lost)}: it never finds them", file=sys.stderr
        )
    if args.interleaved:  # before images that may be faulty, and which networks don't depend on
        found = AtlasLabels(of_networks / "regions", dataset.file_ending)
        exit_with(COMMAND, predict_cases(atlas, chosen, found.folder, dataset_json, dataset.file_ending, **limits))
        bar = limits["show_progress"]
        networks = train_small_organs(
            atlas, regions, chosen, dataset, found, of_networks / "networks", args.steps, show_progress=bar
        )
    faults = predict_cases(atlas, targets, folder, dataset_json, dataset.file_ending, **limits)
    if args.interleaved:
        transferred = AtlasLabels(folder, dataset.file_ending)
        predict_small_organs(atlas, networks, targets, dataset, transferred, final, dataset_json, show_progress=bar)
    print(f"Atlas: {atlas.folder}\nLabel maps: {final}")
    exit_with(COMMAND, [f"left out: {fault}" for fault in faults])


def _check_flags(args: argparse.Namespace) -> None:
    if (args.i is None) != (args.o is None):
        raise ValueError("-i and -o belong together: name both folders, or none")
    if args.i is None and args.f == ALL:
        raise ValueError(f"-f {ALL} leaves no case to validate: name images with -i and -o")
    check_num_processes(args.np)
    for flag in ("threads", "num_cases", "iterations", "steps"):
        number = getattr(args, flag)
        if number is not None and number < 1:
            raise ValueError(f"--{flag} must be 1 or more, got {number}")
    if not 0 < args.spacing < math.inf:
        raise ValueError(f"--spacing must be above 0, got {args.spacing:g}")
    if min(args.syn_iterations) < 0:
        raise ValueError(f"--syn_iterations must be 0 or more, got {min(args.syn_iterations)}")


def _dataset_name(given: str) -> str:
    """The name of the raw dataset that was named or numbered.

    Raises:
        ValueError: there is none.
    """
    if given.isdecimal():
        return find_raw_dataset(int(given))
    if not (folder_from_environment("nnUNet_raw") / given / "dataset.json").is_file():
        raise ValueError(f"-d {given}: nnUNet_raw has no such dataset, give the ID or the name of one")
    return given


if __name__ == "__main__":
    main()
