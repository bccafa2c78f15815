"""The folder of a report: written anew, in one piece, and without touching what else lies there."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nnunetv2_focusnet.system.files import make_folder

# All that a comparison writes, report.html in the end: where it is there, the report is complete. No pattern
# matches more than that, lest a user's own boxes_mine.png be taken for one of an earlier report.
WRITTEN = (
    *("metrics.csv", "summary.csv", "paired.csv", "summary.md", "summary.tex"),
    *("boxes_dsc.png", "boxes_hd95_mm.png", "differences_dsc_[0-9]*.png", "differences_hd95_mm_[0-9]*.png"),
    *("overlay_[0-9][0-9]*.png", "report.html"),
)
UNFINISHED = ".unfinished"


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
    make_folder(folder)
    unfinished = folder / UNFINISHED
    if unfinished.is_dir():
        shutil.rmtree(unfinished)  # of a comparison that was killed
    make_folder(unfinished)
    try:
        yield unfinished
        _replace(folder, unfinished)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        if is_new:
            with suppress(OSError):  # somebody else has put something there
                folder.rmdir()
        raise
    unfinished.rmdir()


def _replace(folder: Path, unfinished: Path) -> None:
    """Old and new files never lie side by side: a kill in these milliseconds leaves new ones without report.html."""
    for pattern in reversed(WRITTEN):
        for file in folder.glob(pattern):
            file.unlink()
    for pattern in WRITTEN:
        for file in unfinished.glob(pattern):
            file.rename(folder / file.name)
