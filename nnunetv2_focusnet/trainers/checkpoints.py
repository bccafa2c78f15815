"""Reading nnU-Net's checkpoints: whole ones, and a line about those that aren't."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import torch

from nnunetv2_focusnet.system.text import with_kind
from nnunetv2_focusnet.trainers.host import NEEDED_TO_RESUME


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
