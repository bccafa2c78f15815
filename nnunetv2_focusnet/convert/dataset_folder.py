"""Where a new raw dataset goes."""

from __future__ import annotations

import re
from pathlib import Path

from nnunetv2.utilities.dataset_name_id_conversion import find_candidate_datasets

from nnunetv2_focusnet.system.folders import list_folder


def new_dataset_folder(dataset_id: int, name: str, raw_folder: Path) -> Path:
    """The folder of a raw dataset that doesn't exist yet.

    Raises:
        ValueError: for an ID or a name nnU-Net can't have, or an ID that a dataset, or the traces of one, has taken.
    """
    if not 1 <= dataset_id <= 999:
        raise ValueError(f"-d must be between 1 and 999, got {dataset_id}")
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise ValueError(f"a dataset's name has letters, digits, - and _ only, got {name!r}")
    folder = raw_folder / f"Dataset{dataset_id:03d}_{name}"
    if folder.exists():
        raise ValueError(f"{folder} exists already: delete it or choose another ID with -d")
    # nnU-Net resolves an ID by all of its folders and refuses one that stands for two names.
    names = {path.name for path in list_folder(raw_folder) if path.name.startswith(f"Dataset{dataset_id:03d}")}
    others = sorted(names.union(find_candidate_datasets(dataset_id)) - {folder.name})
    if others:
        raise ValueError(f"ID {dataset_id} is taken by {', '.join(others)}: choose another with -d")
    return folder
