"""``nnUNetv2_focusnet_plan_and_preprocess``: nnU-Net's command, with FocusNet's planner."""

from __future__ import annotations

import argparse
from contextlib import nullcontext

from nnunetv2_focusnet.cli.command import as_command, check_num_processes
from nnunetv2_focusnet.planning import preparation
from nnunetv2_focusnet.planning.planner import PLANS_NAME
from nnunetv2_focusnet.system.folders import folder_from_environment

COMMAND = "nnUNetv2_focusnet_plan_and_preprocess"
NUM_PROCESSES = {"2d": 8, "3d_fullres": 4, "3d_lowres": 8}  # as nnU-Net's command has them


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=COMMAND,
        description="Plan for FocusNet and preprocess, in place of nnUNetv2_plan_and_preprocess and with its flags. "
        f"Stock commands use the plans with -p {PLANS_NAME}.",
    )
    parser.add_argument("-d", type=int, nargs="+", required=True, metavar="ID", help="dataset IDs")
    parser.add_argument(
        "-c",
        nargs="+",
        default=["3d_fullres", "3d_lowres"],
        metavar="CONFIGURATION",
        help="configurations to preprocess; those that the plans don't have are passed over (default: 3d_fullres "
        "3d_lowres; FocusNet's trainers have no use for 2d)",
    )
    parser.add_argument(
        "-tr",
        default="FocusNetTrainer",
        metavar="TRAINER",
        help="trainer whose memory decides on patch and batch (default: FocusNetTrainer)",
    )
    parser.add_argument(
        "-gpu_memory_target", type=float, default=8.0, metavar="GB", help="memory for a training step (default: 8)"
    )
    parser.add_argument(
        "-overwrite_target_spacing",
        type=float,
        nargs=3,
        metavar="MM",
        help="spacing of 3d_fullres, in the images' order of axes (default: as nnU-Net's planner)",
    )
    parser.add_argument(
        "-overwrite_plans_name", default=PLANS_NAME, metavar="PLANS", help=f"name of the plans (default: {PLANS_NAME})"
    )
    parser.add_argument("-np", type=int, nargs="+", help="processes, one number or one for each configuration")
    parser.add_argument("-npfp", type=int, default=8, help="processes for fingerprint and organs (default: 8)")
    parser.add_argument("--verify_dataset_integrity", action="store_true", help="check images and labels first")
    parser.add_argument("--clean", action="store_true", help="extract the fingerprint again: images have changed")
    parser.add_argument("--no_pp", action="store_true", help="plan only")
    parser.add_argument(
        "--dry_run", action="store_true", help="print organs, ROIs, patch, batch and costs, and write nothing"
    )
    parser.add_argument("--verbose", action="store_true", help="as nnU-Net's command")
    parser.add_argument("--no_pbar", action="store_true", help="no progress bars")
    return parser


@as_command(COMMAND, when_stopped="the same command starts it again")
def main() -> None:
    """Plan and preprocess what the command line names."""
    args = _parser().parse_args()
    for variable in ("nnUNet_raw", *([] if args.dry_run else ["nnUNet_preprocessed"])):
        folder_from_environment(variable)
    num_processes = args.np or [NUM_PROCESSES.get(name, 4) for name in args.c]
    for number in (*num_processes, args.npfp):
        check_num_processes(number)
    if len(num_processes) not in (1, len(args.c)):
        raise ValueError(f"-np has {len(num_processes)} numbers: give one, or one for each of {' '.join(args.c)}")
    if args.gpu_memory_target <= 0:
        raise ValueError(f"-gpu_memory_target must be above 0, got {args.gpu_memory_target:g}")
    if (spacing := args.overwrite_target_spacing) is not None and min(spacing) <= 0:
        raise ValueError(f"-overwrite_target_spacing must be above 0, got {' '.join(f'{mm:g}' for mm in spacing)}")
    trainer = preparation.find_trainer(args.tr)
    shown = {"verbose": args.verbose, "progress": not args.no_pbar}
    for name in [preparation.find_raw_dataset(dataset_id) for dataset_id in args.d]:
        preparation.check_earlier_files(name, args.overwrite_plans_name, clean=args.clean)
        with preparation.leaving_no_trace(name) if args.dry_run else nullcontext():
            preparation.extract_fingerprint(
                name, args.npfp, verify=args.verify_dataset_integrity, clean=args.clean, **shown
            )
            paragraphs = preparation.plan(
                name,
                args.gpu_memory_target,
                plans_name=args.overwrite_plans_name,
                target_spacing=spacing,
                trainer=trainer,
                num_processes=args.npfp,
            )
            print(*paragraphs, sep="\n\n", flush=True)
            if not args.dry_run and not args.no_pp:
                preparation.preprocess(name, args.overwrite_plans_name, args.c, num_processes, **shown)


if __name__ == "__main__":
    main()
