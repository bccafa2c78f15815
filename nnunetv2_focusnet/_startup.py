"""Tells nnU-Net where the trainers of this package are.

nnU-Net searches its own trainers first and then each folder of the environment variable ``nnUNet_extTrainer``. A
``.pth`` file (from Python 3.15 on a ``.start`` file) calls :func:`register` whenever an interpreter starts, so this
module imports nothing but ``os``, which every interpreter has loaded by then.
"""

import os

EXT_TRAINER = "nnUNet_extTrainer"
OPT_OUT = "NNUNETV2_FOCUSNET_NO_AUTOREGISTER"


def discovery_folder() -> str:
    """Absolute path of the folder that makes this package's trainers visible to nnU-Net."""
    return os.path.join(os.path.dirname(os.path.abspath(__file__)), "_discovery")


def register() -> None:
    """Append :func:`discovery_folder` to ``nnUNet_extTrainer``, after the folders the user has put there.

    Calling it again changes nothing, and it does nothing where ``NNUNETV2_FOCUSNET_NO_AUTOREGISTER`` is ``1``.
    """
    if os.environ.get(OPT_OUT) == "1":
        return
    folders = os.environ.get(EXT_TRAINER, "")
    if discovery_folder() not in folders.split(os.pathsep):
        os.environ[EXT_TRAINER] = os.pathsep.join(filter(None, (folders, discovery_folder())))
