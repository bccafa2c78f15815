"""Reading nnU-Net's checkpoints: whole ones, and a line about those that aren't."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import torch

from nnunetv2_focusnet.organs.plans_entry import PlansEntry, has_entry
from nnunetv2_focusnet.system.text import with_kind
from nnunetv2_focusnet.trainers.host import NEEDED_TO_RESUME, RESUME_ORDER


def read_checkpoint(path: Path, wanted: Sequence[str] = NEEDED_TO_RESUME) -> dict[str, Any]:
    """Read a checkpoint on the CPU; its tensors stay in the file until somebody asks for their values.

    Args:
        path: of the checkpoint.
        wanted: entries that it has to have.

    Raises:
        ValueError: the file is no checkpoint, damaged, cut off, or lacks an entry.
    """
    try:
        with ZipFile(path) as archive:
            damaged = archive.testzip()  # torch doesn't look at the check sums that it writes
        checkpoint = torch.load(path, map_location="cpu", mmap=True, weights_only=False)
    except BadZipFile:
        raise ValueError(f"{path} can't be read as a checkpoint: it is cut off, or none") from None
    except Exception as error:  # unpickling a damaged file raises nearly anything
        raise ValueError(f"{path} can't be read as a checkpoint ({with_kind(error)})") from None
    if damaged is not None:
        raise ValueError(f"{path} is damaged (check sum of {damaged})")
    entries = checkpoint if isinstance(checkpoint, dict) else {}
    if missing := [name for name in wanted if name not in entries]:
        raise ValueError(f"{path} is no checkpoint of this version of nnU-Net: it lacks {', '.join(missing)}")
    return checkpoint


def trained_checkpoint(
    model_folder: Path, fold_folder: Path, trainer_name: str, configuration: str
) -> dict[str, Any] | None:
    """A checkpoint of a fold of the model that was trained; of this fold if it has any.

    It tells what the fold was trained with: the ``plans.json`` beside it is rewritten at each start, and may be cut off
    by a kill.

    Args:
        model_folder: ``<nnUNet_results>/DatasetXXX_Name/TRAINER__PLANS__CONFIGURATION``.
        fold_folder: folder in it of the fold that is about to be trained.
        trainer_name: of the model; what another trainer has left there isn't it.
        configuration: whose entry in its plans is wanted.

    Returns:
        None if there is no checkpoint of this trainer that is whole.
    """
    own = [fold_folder / name for name in RESUME_ORDER]
    others = [path for path in sorted(model_folder.glob("fold_*/checkpoint_*.pth")) if path not in own]
    for path in (*filter(Path.is_file, own), *others):
        try:
            checkpoint = read_checkpoint(path)
            if checkpoint["trainer_name"] == trainer_name and has_entry(_planned(checkpoint, configuration)):
                return checkpoint
        except (ValueError, KeyError, TypeError):
            continue
    return None


def entry_of(checkpoint: dict[str, Any], configuration: str) -> PlansEntry:
    """The plans' entry that a checkpoint was trained with.

    Raises:
        ValueError: it is of another version's form.
    """
    return PlansEntry.of(_planned(checkpoint, configuration))


def _planned(checkpoint: dict[str, Any], configuration: str) -> dict[str, Any]:
    return checkpoint["init_args"]["plans"]["configurations"][configuration]
