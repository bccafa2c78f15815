"""``nnUNetv2_focusnet_convert``: real head-and-neck data, with what nobody annotated, as a raw dataset of nnU-Net."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from nnunetv2.configuration import default_num_processes

from nnunetv2_focusnet.cli.command import as_command, check_num_processes, folder_from_environment
from nnunetv2_focusnet.convert.conversion import Options, convert
from nnunetv2_focusnet.convert.dataset_folder import new_dataset_folder
from nnunetv2_focusnet.convert.layouts import LAYOUTS
from nnunetv2_focusnet.convert.report import summary_lines

COMMAND = "nnUNetv2_focusnet_convert"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=COMMAND,
        description="Write head-and-neck data as a raw dataset into $nnUNet_raw, with the organs that each case has "
        "annotated, official splits, and a report on overlaps and geometry.",
    )
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("source", type=Path, metavar="SRC", help="folder with the cases")
    common.add_argument("-d", type=int, required=True, metavar="ID", help="dataset ID, 1 to 999")
    common.add_argument("-n", metavar="NAME", help="name of the dataset (default: the layout's)")
    common.add_argument("-np", type=int, default=default_num_processes, help="cases converted at the same time")
    common.add_argument(
        "--symlink", action="store_true", help="link images instead of rewriting them; they keep their headers"
    )
    common.add_argument(
        "--organs", nargs="+", default=[], metavar="ORGAN", help="take these alone, in the order of their labels"
    )
    common.add_argument(
        "--resample_labels", action="store_true", help="bring masks on another grid to that of the image (nearest)"
    )
    layouts = parser.add_subparsers(dest="layout", required=True, metavar="LAYOUT")
    for name, layout in LAYOUTS.items():
        text = f"{layout.title}: {layout.about}"
        layout.add_options(layouts.add_parser(name, parents=[common], help=text, description=text))
    return parser


@as_command(COMMAND)
def main() -> None:
    """Convert what the command line names."""
    args = _parser().parse_args()
    layout = LAYOUTS[args.layout].from_options(args)
    folder = new_dataset_folder(args.d, args.n or layout.title, folder_from_environment("nnUNet_raw"))
    options = Options(tuple(args.organs), args.symlink, args.resample_labels, check_num_processes(args.np))
    conversion, folds = convert(layout, args.source, folder, options)
    print(*summary_lines(conversion, folds, folder), sep="\n")
    faults = [f"left out: {why}" for why in conversion.left_out.values()]
    if never := conversion.never_there():
        faults.append(
            f"nothing can be trained on {', '.join(never)}, without a voxel in any training case: delete {folder} and "
            "convert again with the other organs, see --organs"
        )
    if faults:
        sys.exit("\n".join(f"{COMMAND}: {fault}" for fault in faults))


if __name__ == "__main__":
    main()
