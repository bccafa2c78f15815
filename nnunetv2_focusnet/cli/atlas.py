"""``nnUNetv2_focusnet_atlas``: segmentation by registration with ANTs, to compare networks with."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from nnunetv2.configuration import default_num_processes

from nnunetv2_focusnet.atlas import check_library
from nnunetv2_focusnet.atlas.cases import ALL
from nnunetv2_focusnet.atlas.registration import Effort, limit_threads
from nnunetv2_focusnet.atlas.run import ATLAS, INTERLEAVED, Job, run
from nnunetv2_focusnet.cli.command import as_command, check_num_processes, exit_with
from nnunetv2_focusnet.planning.preparation import find_raw_dataset
from nnunetv2_focusnet.system.folders import folder_from_environment

COMMAND = "nnUNetv2_focusnet_atlas"


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
    return parser


@as_command(COMMAND, when_stopped="the same command goes on where this one was")
def main() -> None:
    """Build an atlas and segment what the command line names."""
    args = _parser().parse_args()
    check_library()
    _check_flags(args)
    limit_threads(args.threads)
    outcome = run(
        Job(
            dataset=_dataset_name(args.d),
            fold=args.f,
            num_cases=args.num_cases,
            iterations=args.iterations,
            effort=Effort(args.spacing, tuple(args.syn_iterations)),
            steps=args.steps if args.interleaved else None,
            images=args.i,
            output=args.o,
            plans=args.p,
            configuration=args.c,
            num_processes=args.np,
        )
    )
    print(f"Atlas: {outcome.atlas}\nLabel maps: {outcome.label_maps}")
    exit_with(COMMAND, [f"left out: {fault}" for fault in outcome.faults])


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
