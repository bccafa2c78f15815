"""What was measured in label files, remembered: a file is measured again when its key has changed."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nnunetv2.imageio.base_reader_writer import BaseReaderWriter

from nnunetv2_focusnet.organs.label_statistics import LabelFile, LabelStatistics, measure_files
from nnunetv2_focusnet.system.files import WriteError, write_text
from nnunetv2_focusnet.system.text import with_kind

CACHE_NAME = "focusnet_organs.json"
CACHE_VERSION = 2  # 1 had sizes from files that were cut off


@dataclass(frozen=True)
class Measured:
    """The statistics of one file by label, and the key of the file they were taken from."""

    key: str
    labels: dict[int, LabelStatistics]


def measure_new_files(
    files: Sequence[LabelFile], folder: Path, *, reader: type[BaseReaderWriter], num_processes: int
) -> dict[Path, dict[int, LabelStatistics]]:
    """Statistics of every label in each file, measured where they aren't remembered.

    Args:
        files: in the order in which they are returned.
        folder: the cache is kept here if it can be written.
        reader: nnU-Net's reader, as named in the plans.
        num_processes: processes that read files.

    Raises:
        ValueError: as :func:`nnunetv2_focusnet.organs.label_statistics.measure_files`.
    """
    cache = folder / CACHE_NAME
    known = _load(cache)
    measured = {file.path.name: known[file.path.name] for file in files if _is_known(file, known)}
    pending = [file for file in files if file.path.name not in measured]
    try:
        for file, labels in zip(pending, measure_files(pending, reader, num_processes), strict=True):
            measured[file.path.name] = Measured(file.key, labels)
    finally:  # what was measured before a faulty file needn't be measured again after it has been mended
        if pending:
            _save(cache, measured)
    return {file.path: measured[file.path.name].labels for file in files}


def _is_known(file: LabelFile, known: dict[str, Measured]) -> bool:
    return file.path.name in known and known[file.path.name].key == file.key


def _load(path: Path) -> dict[str, Measured]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["version"] != CACHE_VERSION:
            return {}
        return {name: _measured(entry) for name, entry in content["files"].items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        warnings.warn(f"{path} can't be used ({with_kind(error)}): the organs are measured anew.", stacklevel=2)
        return {}


def _measured(entry: dict[str, Any]) -> Measured:
    return Measured(entry["key"], {int(label): _statistics(size) for label, size in entry["labels"].items()})


def _statistics(entry: dict[str, Any]) -> LabelStatistics:
    volume, extent = entry["volume_mm3"], entry["extent_mm"]
    if len(extent) != 3 or not all(isinstance(size, float) and 0 < size < math.inf for size in (volume, *extent)):
        raise ValueError(f"{entry} isn't a volume and three extents above 0")
    return LabelStatistics(volume, tuple(extent))


def _save(path: Path, measured: dict[str, Measured]) -> None:
    content = {"version": CACHE_VERSION, "files": {name: asdict(measured[name]) for name in sorted(measured)}}
    try:
        write_text(path, json.dumps(content, indent=1))
    except WriteError as error:
        warnings.warn(f"{error}; until then the organs are measured anew each time.", stacklevel=2)
