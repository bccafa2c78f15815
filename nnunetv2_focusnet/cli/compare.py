"""``nnUNetv2_focusnet_compare``: compare models organ by organ, with surface metrics, statistics and a report."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from nnunetv2.configuration import default_num_processes

from nnunetv2_focusnet.cli.command import as_command, check_num_processes, exit_with
from nnunetv2_focusnet.compare.comparison import compare
from nnunetv2_focusnet.compare.inputs import read_cross_validation, read_folders

COMMAND = "nnUNetv2_focusnet_compare"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=COMMAND,
        description="Compare models organ by organ (DSC, HD95, NSD, volumes), with paired statistics, tables, plots "
        "and an HTML report. Either name folders with -ref and -pred, or trainers with --cv and -tr.",
    )
    parser.add_argument("-ref", type=Path, metavar="FOLDER", help="reference label maps")
    parser.add_argument(
        "-pred", nargs="+", default=[], metavar="NAME=FOLDER", help="predictions; the first model is the baseline"
    )
    parser.add_argument("--cv", metavar="DATASET_ID", help="compare the cross-validation of trainers of this dataset")
    parser.add_argument("-tr", nargs="+", default=[], metavar="TRAINER", help="trainers, with --cv")
    parser.add_argument("-p", default="nnUNetPlans", metavar="PLANS", help="plans, with --cv (default: nnUNetPlans)")
    parser.add_argument("-c", default="3d_fullres", help="configuration, with --cv (default: 3d_fullres)")
    parser.add_argument("-o", type=Path, required=True, metavar="FOLDER", help="where to write the comparison")
    parser.add_argument(
        "--dataset_json", type=Path, metavar="FILE", help="default: beside the predictions or the references"
    )
    parser.add_argument(
        "--tolerance_mm",
        default="1.0",
        metavar="MM",
        help="of the NSD: a number, or a JSON file {organ: mm} (default: 1)",
    )
    parser.add_argument("--images", type=Path, metavar="FOLDER", help="images to draw below the contours")
    parser.add_argument("--published", choices=["pddca"], help="put published figures beside yours, marked as such")
    parser.add_argument("-np", type=int, default=default_num_processes, help="cases evaluated at the same time")
    parser.add_argument("--disable_progress_bar", action="store_true", help="as of nnU-Net's commands")
    return parser


@as_command(COMMAND)
def main() -> None:
    """Compare what the command line names."""
    args = _parser().parse_args()
    num_processes = check_num_processes(args.np)
    if args.cv is not None:
        if args.ref or args.pred or args.dataset_json:
            raise ValueError("--cv finds its files in nnU-Net's folders: leave out -ref, -pred and --dataset_json")
        inputs = read_cross_validation(args.cv, args.tr, args.p, args.c, args.tolerance_mm)
    else:
        if args.tr:
            raise ValueError("-tr names trainers for --cv: add --cv, or leave out -tr")
        inputs = read_folders(args.ref, args.pred, args.dataset_json, args.tolerance_mm)
    command = shlex.join([COMMAND, *sys.argv[1:]])
    published = args.published is not None
    show_progress = not args.disable_progress_bar
    results = compare(inputs, args.o, args.images, published, num_processes, command, show_progress)
    print((args.o / "summary.md").read_text(encoding="utf-8"))
    print(f"Report: {args.o / 'report.html'}")
    exit_with(COMMAND, [f"left out: {message}" for message in results.messages])


if __name__ == "__main__":
    main()
