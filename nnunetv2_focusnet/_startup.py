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

    It takes the place of another installation's, which a Jupyter server hands on to kernels of other environments: the
    trainers that are named there needn't exist here.

    Calling it again changes nothing, and it does nothing where ``NNUNETV2_FOCUSNET_NO_AUTOREGISTER`` is ``1``.
    """
    if os.environ.get(OPT_OUT) == "1":
        return
    ours = discovery_folder()
    given = filter(None, os.environ.get(EXT_TRAINER, "").split(os.pathsep))
    folders = [ours if _last_names(folder) == _last_names(ours) else folder for folder in given]
    os.environ[EXT_TRAINER] = os.pathsep.join(dict.fromkeys([*folders, ours]))


def _last_names(folder: str) -> list[str]:
    """Of the package and of its folder."""
    return os.path.normpath(folder).split(os.sep)[-2:]
