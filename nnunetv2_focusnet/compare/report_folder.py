"""The folder of a report: written anew, in one piece, and without touching what else lies there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nnunetv2_focusnet.system.new_folder import hidden_folder

# All that a comparison writes, report.html in the end: where it is there, the report is complete. No pattern
# matches more than that, lest a user's own boxes_mine.png be taken for one of an earlier report.
WRITTEN = (
    *(r"metrics\.csv", r"summary\.csv", r"paired\.csv", r"summary\.md", r"summary\.tex"),
    *(r"boxes_(dsc|hd95_mm)\.png", r"differences_(dsc|hd95_mm)_\d+\.png", r"overlay_\d{2,}\.png", r"report\.html"),
)


@contextmanager
def new_report(folder: Path) -> Iterator[Path]:
    """A folder to write a report to, which replaces an earlier one in ``folder`` when the block ends without an error.

    Until then the earlier report stays as it was. Files of other names stay in any case. What is new is written inside
    the folder, as that may be a mount point or the working folder, which can't be exchanged for another one.

    Args:
        folder: made if it doesn't exist.

    Raises:
        WriteError: it can't be made.
    """
    is_new = not folder.exists()
    try:
        with hidden_folder(folder / "report") as unfinished:
            yield unfinished
            _replace(folder, unfinished)
    except BaseException:
        if is_new:
            with suppress(OSError):  # somebody else has put something there
                folder.rmdir()
        raise


def _replace(folder: Path, unfinished: Path) -> None:
    """Old and new files never lie side by side: a kill in these milliseconds leaves new ones without report.html."""
    for file in reversed(_written(folder)):
        file.unlink()
    for file in _written(unfinished):
        file.rename(folder / file.name)


def _written(folder: Path) -> list[Path]:
    """What a comparison has written into a folder, in the order of the patterns."""
    files = sorted(folder.iterdir())
    return [file for pattern in WRITTEN for file in files if re.fullmatch(pattern, file.name)]
