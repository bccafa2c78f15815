"""From a download or an export to a raw dataset of nnU-Net."""

from __future__ import annotations

import os
import re
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from tqdm import tqdm

from nnunetv2_focusnet import __version__
from nnunetv2_focusnet.convert.layouts import LAYOUTS
from nnunetv2_focusnet.convert.layouts.base import Layout, SourceCase, UnusableCase
from nnunetv2_focusnet.convert.raw_dataset import RawDataset, convert_cases, write_description, write_json
from nnunetv2_focusnet.convert.report import Conversion, write_report
from nnunetv2_focusnet.convert.selection import Selection, select
from nnunetv2_focusnet.system.files import make_folder
from nnunetv2_focusnet.system.new_folder import new_folder


@dataclass(frozen=True)
class Options:
    """How to convert, whatever the layout.

    Attributes:
        organs: to take, in the order of their labels; empty: all.
        symlink: link images that need no change.
        resample_labels: masks on another grid than the image are resampled.
        num_processes: cases converted at the same time.
    """

    organs: tuple[str, ...] = ()
    symlink: bool = False
    resample_labels: bool = False
    num_processes: int = 1


def convert(layout: Layout, source: Path, folder: Path, options: Options) -> tuple[Conversion, list]:
    """Write a raw dataset. It has its name only when it is complete; until then its folder is hidden from nnU-Net.

    Args:
        layout: how the source lies on disk.
        source: a folder with cases.
        folder: of the dataset, ``DatasetXXX_NAME``.
        options: how to convert.

    Returns:
        What happened, and the official folds, as in splits_final.json.

    Raises:
        ValueError: there is nothing to convert, or no training case could be.
        WriteError: the dataset can't be written.
    """
    if options.symlink and layout.image_ending is None:
        raise ValueError(f"images of the layout {layout.name} have to be put together: leave out --symlink")
    selection = select(layout, _find_cases(layout, source), options.organs)
    with new_folder(folder) as unfinished:
        dataset = RawDataset(
            folder=unfinished,
            organs=selection.organs,
            num_channels=len(layout.channel_names),
            file_ending=layout.image_ending if options.symlink and layout.image_ending else ".nii.gz",
            symlink=options.symlink,
            resample_labels=options.resample_labels,
        )
        return _write(dataset, layout, source, folder.name, selection, options.num_processes)


def _find_cases(layout: Layout, source: Path) -> list[SourceCase]:
    if not source.is_dir():
        raise ValueError(f"{source} is no folder")
    cases = layout.find_cases(source)
    if not cases:
        others = [name for name, other in LAYOUTS.items() if name != layout.name and _holds_cases(other(), source)]
        hint = f"it looks like {' or '.join(others)}" if others else "check the folder"
        raise ValueError(f"{source} holds no case of the layout {layout.name} ({layout.about}): {hint}")
    return cases


def _holds_cases(layout: Layout, source: Path) -> bool:
    try:
        return not all(isinstance(case, UnusableCase) for case in layout.find_cases(source))
    except ValueError:
        return False


def _write(
    dataset: RawDataset, layout: Layout, source: Path, name: str, selection: Selection, num_processes: int
) -> tuple[Conversion, list]:
    for split in {each.case.split for each in selection.cases}:
        make_folder(dataset.image_file(split, "", 0).parent)
        make_folder(dataset.label_file(split, "").parent)
    with (
        closing(convert_cases(dataset, selection.cases, num_processes)) as cases,
        tqdm(cases, total=len(selection.cases), desc="Converting", unit="case", disable=None) as progress,
    ):
        converted = list(progress)

    done = tuple(case for case in converted if case.error is None)
    left_out = selection.left_out | {case.case: case.error for case in converted if case.error is not None}
    if not any(case.split == "train" for case in done):
        raise ValueError(f"no training case could be converted: {next(iter(left_out.values()))}")
    folds = write_description(dataset, layout, name, list(done), __version__)
    written = {case.case for case in done}
    for file, content in layout.json_files([e.case for e in selection.cases if e.case.identifier in written]).items():
        write_json(dataset.folder / file, content)
    ignored = Counter(name for each in selection.cases for name in each.ignored)
    conversion = Conversion(
        name, layout.name, selection.organs, done, left_out, dict(sorted(ignored.items())), tuple(selection.notes)
    )
    write_report(_without_source(conversion, source), dataset.folder)
    return conversion, folds


def _without_source(conversion: Conversion, source: Path) -> Conversion:
    """Reports go with the data: they name files from the source folder on, as what is above it may name people."""
    whole = re.compile(rf"(?<![\w.{re.escape(os.sep)}-]){re.escape(f'{source}{os.sep}')}")  # no end of another path
    left_out = {case: whole.sub("", why) for case, why in conversion.left_out.items()}
    return replace(conversion, left_out=left_out)
