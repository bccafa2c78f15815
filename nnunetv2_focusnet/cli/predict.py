"""``nnUNetv2_focusnet_predict``: nnU-Net's command, with FocusNet's predictor."""

from __future__ import annotations

import sys
from pathlib import Path

import nnunetv2

from nnunetv2_focusnet.cli.command import as_command
from nnunetv2_focusnet.inference.host import predict_with
from nnunetv2_focusnet.inference.predictor import FocusNetPredictor
from nnunetv2_focusnet.system.folders import folder_from_environment
from nnunetv2_focusnet.system.origins import is_raised_in

COMMAND = "nnUNetv2_focusnet_predict"


@as_command(COMMAND, when_stopped="--continue_prediction goes on with the cases that are left")
def main() -> None:
    """Predict what the command line names, in the place of nnUNetv2_predict and with its flags."""
    sys.argv = [COMMAND, *sys.argv[1:]]  # nnU-Net's parser takes its name from it
    if not {"-h", "--help"} & set(sys.argv):
        folder_from_environment("nnUNet_results")
    try:
        predict_with(FocusNetPredictor)
    except (AssertionError, RuntimeError, ValueError) as error:  # this is how nnU-Net refuses what it was given
        if not str(error) or not _is_refusal_by_nnunet(error):
            raise
        raise ValueError(error) from error


def _is_refusal_by_nnunet(error: Exception) -> bool:
    """Whether nnU-Net has raised it on purpose, or a fold that -f names is no number."""
    return is_raised_in(Path(nnunetv2.__file__).parent, error) or str(error).startswith("invalid literal for int()")


if __name__ == "__main__":
    main()
