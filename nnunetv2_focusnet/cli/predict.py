"""``nnUNetv2_focusnet_predict``: nnU-Net's command, with FocusNet's predictor."""

from __future__ import annotations

import sys

from nnunetv2_focusnet.cli.command import as_command
from nnunetv2_focusnet.inference.host import predict_with
from nnunetv2_focusnet.inference.predictor import FocusNetPredictor
from nnunetv2_focusnet.system.folders import folder_from_environment

COMMAND = "nnUNetv2_focusnet_predict"


@as_command(COMMAND, when_stopped="--continue_prediction goes on with the cases that are left")
def main() -> None:
    """Predict what the command line names, in the place of nnUNetv2_predict and with its flags."""
    sys.argv = [COMMAND, *sys.argv[1:]]  # nnU-Net's parser takes its name from it
    if not {"-h", "--help"} & set(sys.argv):
        folder_from_environment("nnUNet_results")
    try:
        predict_with(FocusNetPredictor)
    except AssertionError as error:  # this is how nnU-Net refuses what it was given
        if not str(error):
            raise
        raise ValueError(error) from None


if __name__ == "__main__":
    main()
