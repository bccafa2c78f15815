"""Where errors come from: what was raised on purpose was written for users, what a library says of itself wasn't."""

from __future__ import annotations

import re
from pathlib import Path
from traceback import FrameSummary, extract_tb

PACKAGE = Path(__file__).parents[1]  # not resolved, as frames name files by the way they were imported
_FRAME = re.compile(r'^  File "(.+)", line (\d+), in .+(?:\n    (.*))?', re.MULTILINE)


def is_for_users(error: Exception) -> bool:
    """Whether the message is for users: the error is of a type of this package, or a ValueError that it raises."""
    is_own = any(base.__module__.startswith(f"{PACKAGE.name}.") for base in type(error).mro())
    return is_own or (type(error) is ValueError and is_raised_in(PACKAGE, error))


def is_raised_in(package: Path, error: Exception) -> bool:
    """Whether a line of a package raises an error that was caught, and not a library that this line calls."""
    frame = frames_of(error)[-1]
    return package in Path(frame.filename).parents and (frame.line or "").startswith(("raise", "assert"))


def frames_of(error: Exception) -> list[FrameSummary]:
    """The calls that led to an error that was caught, the innermost last, also where that is in a pool's worker."""
    in_worker = _FRAME.findall(str(error.__cause__))  # to which pools attach the worker's traceback, as a text
    return [
        *extract_tb(error.__traceback__),
        *(FrameSummary(file, int(number), "", line=code) for file, number, code in in_worker),
    ]
