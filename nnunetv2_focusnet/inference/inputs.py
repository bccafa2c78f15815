"""Whether what is to be predicted is there and whole: nnU-Net's readers fill what a file lacks, and take no notice."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from nnunetv2.configuration import default_num_processes

from nnunetv2_focusnet.images.reading import check_file

NAMED = 5  # faults, in the message


def check_names(folder: Path, file_ending: str, channels: int | None) -> None:
    """Check that a folder has images, each with all channels, and nothing of their format besides.

    Args:
        folder: that is to be predicted.
        file_ending: of the model's images.
        channels: that each case has, a file for each; None: a file may have several.

    Raises:
        ValueError: it hasn't, or it has.
    """
    names = sorted(path.name for path in folder.iterdir() if path.name.endswith(file_ending)) if folder.is_dir() else []
    if not names:
        raise ValueError(f"{folder} has no images to predict (CASE_0000{file_ending})")
    parts = {name: re.fullmatch(rf"([^.].*)_(\d{{4}}){re.escape(file_ending)}", name) for name in names}
    faults = [
        f"{folder / name} isn't named as nnU-Net's images are (CASE_0000{file_ending}): rename it, or take it out"
        for name, match in parts.items()
        if match is None
    ]
    of_cases: dict[str, list[str]] = {}
    for match in filter(None, parts.values()):
        of_cases.setdefault(match[1], []).append(match[2])
    if channels is not None:
        faults += _wrong_channels(folder, of_cases, [f"{i:04d}" for i in range(channels)])
    _raise(faults)


def check_inputs(files: Sequence[Path]) -> None:
    """Read all files to their ends.

    Raises:
        ValueError: one is missing, cut off, damaged or no image.
    """
    if files:
        print(f"Reading {len(files)} files to their ends", flush=True)
    with ThreadPoolExecutor(default_num_processes) as threads:  # zlib lets others work
        _raise([*filter(None, threads.map(_fault, files))])


def _wrong_channels(folder: Path, of_cases: Mapping[str, Sequence[str]], wanted: Sequence[str]) -> Iterator[str]:
    for case, numbers in of_cases.items():
        if list(numbers) != list(wanted):
            yield (
                f"{folder} has {', '.join(numbers)} of {case}, and the model takes {', '.join(wanted)}: that number is"
                " the channel's, so add what is missing, or name patients otherwise"
            )


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
