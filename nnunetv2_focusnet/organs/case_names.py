"""Names of cases: those that are there, and the one that is meant by a name that isn't."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Sequence
from difflib import get_close_matches
from pathlib import Path

from nnunetv2_focusnet.system.folders import files_with_ending

NAMED_CASES = 3  # of many, in a message: the first few show what is meant


def cases_in(folder: Path, file_ending: str) -> set[str]:
    """Cases that have a file in a folder: a label map, or the properties that preprocessing keeps."""
    return {path.name.removesuffix(file_ending) for path in files_with_ending(folder, file_ending)}


def first_few(cases: Sequence[str]) -> str:
    """Names for a message: a, b, c and 7 more."""
    more = f" and {len(cases) - NAMED_CASES} more" if len(cases) > NAMED_CASES else ""
    return ", ".join(cases[:NAMED_CASES]) + more


def same_case(name: str, cases: Collection[str], file_ending: str) -> str | None:
    """The case whose name differs in spelling alone: file ending, channel, case, separators, zeros before a number."""
    spelt = _bare(name, file_ending)
    return next((case for case in sorted(cases) if _bare(case, file_ending) == spelt), None)


def nearest_case(name: str, cases: Collection[str], file_ending: str) -> str:
    """`` (nearest: CASE)`` for a message, or nothing where no case is near."""
    same = same_case(name, cases, file_ending)
    nearest = [same] if same else get_close_matches(name, sorted(cases), n=1)
    return f" (nearest: {nearest[0]})" if nearest else ""


def _bare(case: str, file_ending: str) -> tuple[str, ...]:
    name = unicodedata.normalize("NFKC", case).strip().casefold()
    name = re.sub(r"(_0000)?(\.nii|\.nrrd|\.mha)?(\.gz)?$", "", name.removesuffix(file_ending.casefold()))
    return tuple(word.lstrip("0") or "0" for word in re.findall(r"\d+|[^\W\d_]+", name))
