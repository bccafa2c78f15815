"""``nnUNetv2_focusnet_path``: print the folder to put into ``nnUNet_extTrainer`` by hand."""

import argparse

from nnunetv2_focusnet._startup import EXT_TRAINER, OPT_OUT, discovery_folder
from nnunetv2_focusnet.cli.command import as_command

COMMAND = "nnUNetv2_focusnet_path"


@as_command(COMMAND)
def main() -> None:
    """Print the folder in which nnU-Net finds the trainers of this package."""
    argparse.ArgumentParser(
        prog=COMMAND,
        description="Print the folder in which nnU-Net finds the FocusNet trainers. "
        f"It has to be put into {EXT_TRAINER} where {OPT_OUT}=1 is set, where Python reads no .pth files (in folders "
        f"on PYTHONPATH, as of pip install --target, and with python -S), and where {EXT_TRAINER} is set anew after "
        "Python has started.",
    ).parse_args()
    print(discovery_folder())


if __name__ == "__main__":
    main()
