"""Whether what is to be predicted is there and whole: nnU-Net's readers fill what a file lacks, and take no notice."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

from nnunetv2.configuration import default_num_processes

from nnunetv2_focusnet.images.reading import check_file

NAMED = 5  # faults, in the message


def check_names(folder: Path, file_ending: str) -> None:
    """Check that a folder has images, and nothing of their format besides.

    Raises:
        ValueError: it hasn't, or it has.
    """
    names = sorted(path.name for path in folder.iterdir() if path.name.endswith(file_ending)) if folder.is_dir() else []
    image = re.compile(rf"[^.].*_\d{{4}}{re.escape(file_ending)}")
    if not names:
        raise ValueError(f"{folder} has no images to predict (CASE_0000{file_ending})")
    _raise(
        [
            f"{folder / name} isn't named as nnU-Net's images are (CASE_0000{file_ending}): rename it, or take it out"
            for name in names
            if not image.fullmatch(name)
        ]
    )


def check_inputs(cases: Sequence[Sequence[str]], previous: Sequence[str], channels: int | None) -> None:
    """Read all files to their ends.

    Args:
        cases: the files of each case, one for each channel.
        previous: label maps of the previous stage in a cascade.
        channels: of each case; None: a file may have several.

    Raises:
        ValueError: a case lacks channels, or a file is missing, cut off, damaged or no image.
    """
    files = [Path(file) for file in chain(*cases, previous)]
    if files:
        print(f"Reading {len(files)} files to their ends", flush=True)
    faults = [*_incomplete(cases, channels)] if channels else []
    with ThreadPoolExecutor(default_num_processes) as threads:  # zlib lets others work
        faults += filter(None, threads.map(_fault, files))
    _raise(faults)


def _incomplete(cases: Sequence[Sequence[str]], channels: int) -> Iterator[str]:
    for files in cases:
        if len(files) != channels:
            held = ", ".join(Path(file).name for file in files)
            yield f"{Path(files[0]).parent} has {held} alone, of {channels} channels of that case: put the others there"


def _fault(file: Path) -> str | None:
    try:
        check_file(file)
    except ValueError as error:
        return str(error)
    return None


def _raise(faults: Sequence[str]) -> None:
    more = f"; and {len(faults) - NAMED} more" if len(faults) > NAMED else ""
    if faults:
        raise ValueError("; ".join(faults[:NAMED]) + more)
