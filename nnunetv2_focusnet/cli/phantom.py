"""``nnUNetv2_focusnet_phantom``: write a simulated head CT dataset into nnUNet_raw."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from nnunetv2.utilities.dataset_name_id_conversion import find_candidate_datasets

from nnunetv2_focusnet.datasets.phantom import write_phantom_dataset

FEWEST_CASES = 5


def phantom_folder(dataset_id: int, raw_folder: Path) -> Path:
    """The folder of the phantom with this ID.

    Raises:
        ValueError: for an ID nnU-Net can't have, or one that a dataset, or the traces of one, has taken.
    """
    if not 1 <= dataset_id <= 999:
        raise ValueError(f"-d must be between 1 and 999, got {dataset_id}")
    folder = raw_folder / f"Dataset{dataset_id:03d}_HeadPhantom"
    if folder.exists():
        raise ValueError(f"{folder} exists already: delete it or choose another ID with -d")
    # nnU-Net resolves an ID by all of its folders and refuses one that stands for two names.
    names = {path.name for path in raw_folder.glob(f"Dataset{dataset_id:03d}*")}
    others = sorted(names.union(find_candidate_datasets(dataset_id)) - {folder.name})
    if others:
        raise ValueError(f"ID {dataset_id} is taken by {', '.join(others)}: choose another with -d")
    return folder


def main() -> None:
    """Write the phantom that the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="nnUNetv2_focusnet_phantom",
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
    try:
        if args.n < FEWEST_CASES:
            raise ValueError(f"nnU-Net's 5-fold cross-validation needs at least {FEWEST_CASES} cases, got -n {args.n}")
        if args.test < 0 or args.seed < 0:
            raise ValueError(f"--test and --seed must not be negative, got --test {args.test} --seed {args.seed}")
        raw_folder = args.o or os.environ.get("nnUNet_raw")
        if not raw_folder:
            raise ValueError("nnUNet_raw is not set: set it, or name a folder with -o")
        folder = phantom_folder(args.d, Path(raw_folder))
        write_phantom_dataset(folder, args.n, args.test, args.seed, progress=True)
    except (ValueError, OSError) as error:
        sys.exit(f"nnUNetv2_focusnet_phantom: {error}")
    print(f"{folder}: {args.n} training and {args.test} test cases")


if __name__ == "__main__":
    main()
