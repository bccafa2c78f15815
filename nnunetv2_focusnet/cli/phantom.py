"""``nnUNetv2_focusnet_phantom``: write a simulated head CT dataset into nnUNet_raw."""

from __future__ import annotations

import argparse
from pathlib import Path

from nnunetv2_focusnet.cli.command import as_command
from nnunetv2_focusnet.convert.dataset_folder import new_dataset_folder
from nnunetv2_focusnet.demo.phantom import write_phantom_dataset
from nnunetv2_focusnet.system.folders import folder_from_environment

COMMAND = "nnUNetv2_focusnet_phantom"
FEWEST_CASES = 5


@as_command(COMMAND)
def main() -> None:
    """Write the phantom that the command line asks for."""
    parser = argparse.ArgumentParser(
        prog=COMMAND,
        description="Write a simulated head CT dataset (brain, eyes, lenses, optic nerves, parotids) in nnU-Net's raw "
        "format. Case i of a seed is always the same image.",
    )
    parser.add_argument("-d", type=int, required=True, metavar="ID", help="dataset ID, 1 to 999")
    parser.add_argument("-n", type=int, required=True, metavar="CASES", help=f"training cases, at least {FEWEST_CASES}")
    parser.add_argument("-o", type=Path, metavar="RAW_FOLDER", help="where to write it (default: $nnUNet_raw)")
    parser.add_argument("--seed", type=int, default=0, help="which patients (default: 0)")
    parser.add_argument(
        "--test", type=int, default=0, metavar="CASES", help="cases for imagesTs and labelsTs (default: 0)"
    )
    args = parser.parse_args()
    if args.n < FEWEST_CASES:
        raise ValueError(f"nnU-Net's 5-fold cross-validation needs at least {FEWEST_CASES} cases, got -n {args.n}")
    if args.test < 0 or args.seed < 0:
        raise ValueError(f"--test and --seed must not be negative, got --test {args.test} --seed {args.seed}")
    folder = new_dataset_folder(args.d, "HeadPhantom", args.o or folder_from_environment("nnUNet_raw"))
    write_phantom_dataset(folder, args.n, args.test, args.seed, progress=True)
    print(f"{folder}: {args.n} training and {args.test} test cases")


if __name__ == "__main__":
    main()
