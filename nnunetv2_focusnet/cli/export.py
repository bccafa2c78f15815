"""``nnUNetv2_focusnet_export``: predictions as DICOM, for planning systems and archives."""

from __future__ import annotations

import argparse
from pathlib import Path

from nnunetv2_focusnet.cli.command import as_command, exit_with
from nnunetv2_focusnet.dicom import SERIES_FILE
from nnunetv2_focusnet.dicom.export import export

COMMAND = "nnUNetv2_focusnet_export"


@as_command(COMMAND, when_stopped="the files that have been named are complete")
def main() -> None:
    """Export what the command line names."""
    parser = argparse.ArgumentParser(
        prog=COMMAND,
        description="Write predicted label maps as DICOM RT structure sets or segmentations of the CT series that "
        "was predicted. One prediction and one series belong together; of several, those with the same voxels.",
    )
    parser.add_argument("predictions", type=Path, metavar="PRED", help="a predicted label map, or a folder of them")
    parser.add_argument("-o", type=Path, required=True, metavar="FOLDER", help="where to write the DICOM files")
    parser.add_argument(
        "--dicom", type=Path, required=True, metavar="FOLDER", help="the CT series, in any subfolders of this folder"
    )
    parser.add_argument("--format", choices=["rtstruct", "seg"], required=True, help="structure sets or segmentations")
    parser.add_argument(
        "--dataset_json",
        type=Path,
        metavar="FILE",
        help=f"names of the labels (default: beside the predictions); a {SERIES_FILE} beside it says which series each "
        "case is from",
    )
    parser.add_argument(
        "--mapping",
        type=Path,
        metavar="FILE",
        help="JSON with the name, type, colour and code of organs in DICOM (default: as their names say)",
    )
    args = parser.parse_args()
    messages = export(args.predictions, args.o, args.dicom, args.format, args.dataset_json, args.mapping)
    exit_with(COMMAND, [f"left out: {message}" for message in messages])


if __name__ == "__main__":
    main()
