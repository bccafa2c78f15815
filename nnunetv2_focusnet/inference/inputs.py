"""Whether what is to be predicted is whole: nnU-Net's readers fill what a file lacks, and take no notice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

from nnunetv2.configuration import default_num_processes

from nnunetv2_focusnet.images.reading import check_file

NAMED = 5  # faults, in the message


def check_inputs(cases: Sequence[Sequence[str]], previous: Sequence[str]) -> None:
    """Read all files to their ends.

    Args:
        cases: the files of each case, one for each channel.
        previous: label maps of the previous stage in a cascade.

    Raises:
        ValueError: a case has fewer channels than another one, or a file is missing, cut off or damaged.
    """
    faults = [*_incomplete(cases)]
    with ThreadPoolExecutor(default_num_processes) as threads:  # zlib lets others work
        faults += filter(None, threads.map(_fault, map(Path, chain(*cases, previous))))
    if faults:
        more = f"; and {len(faults) - NAMED} more" if len(faults) > NAMED else ""
        raise ValueError("; ".join(faults[:NAMED]) + more)


def _incomplete(cases: Sequence[Sequence[str]]) -> Iterator[str]:
    channels = max(map(len, cases), default=0)  # dataset.json may name more: of a picture, three are in one file
    for files in cases:
        if len(files) != channels:
            held = ", ".join(Path(file).name for file in files)
            where = Path(files[0]).parent
            yield f"{where} lacks channels of a case: it has {held} alone, but {channels} of others; put the rest there"


def _fault(file: Path) -> str | None:
    try:
        check_file(file)
    except ValueError as error:
        return str(error)
    return None
