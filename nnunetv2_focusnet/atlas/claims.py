"""What a folder was made with: files in it count as finished for the same alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nnunetv2_focusnet.system.files import make_folder, write_text
from nnunetv2_focusnet.system.json_files import read_object

CLAIM = "atlas.json"
CASES = "cases"


def claim(folder: Path, made_with: Mapping[str, Any]) -> None:
    """Write what a folder is made with, or compare it with what is there.

    Args:
        folder: made where it doesn't exist.
        made_with: all that decides about the files in it, as JSON; of cases, which files they are.

    Raises:
        ValueError: the folder holds what was made otherwise.
    """
    check_claim(folder, made_with)
    if not (folder / CLAIM).exists():
        write_claim(folder, made_with)


def check_claim(folder: Path, made_with: Mapping[str, Any]) -> None:
    """As `claim`, but write nothing: called before hours of registrations.

    Raises:
        ValueError: the folder holds what was made otherwise.
    """
    file = folder / CLAIM
    if not file.exists():
        return
    there = read_object(file)
    keys = [*made_with, *(key for key in there if key not in made_with)]
    different = [key for key in keys if there.get(key) != made_with.get(key)]
    if CASES in different and (case := _changed_case(there.get(CASES), made_with[CASES])):
        raise ValueError(
            f"{folder} was made with another image or label map of {case}: put that back, or delete that folder"
        )
    if different:
        raise ValueError(
            f"{folder} was made with other {', '.join(different)} (see {CLAIM}): give the same flags as then, or"
            " delete that folder"
        )


def write_claim(folder: Path, made_with: Mapping[str, Any]) -> None:
    """Write what a folder, which is made where it doesn't exist, is made with."""
    make_folder(folder)
    write_text(folder / CLAIM, json.dumps(made_with, indent=1))


def _changed_case(there: Any, wanted: Mapping[str, Any]) -> str | None:
    """The first case whose files have changed, where the cases are the same."""
    if not isinstance(there, dict) or there.keys() != wanted.keys():
        return None
    return next((case for case in wanted if there[case] != wanted[case]), None)
