"""The cases that an atlas is made from, and those that it is to segment, as nnU-Net lays them out."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from nnunetv2.utilities.crossval_split import generate_crossval_split

from nnunetv2_focusnet.images.grid import Grid
from nnunetv2_focusnet.images.reading import check_has_geometry, read_header, read_labels, read_volume
from nnunetv2_focusnet.organs.annotations import check_training_cases
from nnunetv2_focusnet.organs.case_names import cases_in
from nnunetv2_focusnet.organs.dataset_json import DatasetJson
from nnunetv2_focusnet.organs.splits import check_splits, read_splits
from nnunetv2_focusnet.system.folders import list_folder

FOLDS = 5  # of nnU-Net's cross-validation
ALL = "all"


@dataclass(frozen=True)
class Case:
    """A case with its files.

    Attributes:
        name: nnU-Net's identifier.
        image: the first channel; registration reads no other.
        labels: the label map of a training case.
    """

    name: str
    image: Path
    labels: Path | None = None

    @cached_property
    def image_digest(self) -> str | None:
        """Of the image's bytes: another patient's, or a corrected one, has another; None: it can't be read."""
        return _digest(self.image)

    @cached_property
    def labels_digest(self) -> str | None:
        """Likewise of the label map; None where there is none, too."""
        return None if self.labels is None else _digest(self.labels)


def training_cases(raw: Path, dataset: DatasetJson) -> dict[str, Case]:
    """All training cases of a raw dataset, by name.

    Raises:
        ValueError: there are none, one lacks its label map or its image, or dataset.json lists one that isn't there.
    """
    images, labels = raw / "imagesTr", raw / "labelsTr"
    check_training_cases(dataset, labels)
    cases = {
        case.name: Case(case.name, case.image, labels / f"{case.name}{dataset.file_ending}")
        for case in cases_to_segment(images, dataset.file_ending)
    }
    drawn = cases_in(labels, dataset.file_ending)
    if without := sorted(cases.keys() ^ drawn):
        what, where = ("label map", labels) if without[0] in cases else ("image", images)
        raise ValueError(f"{without[0]} has no {what} in {where}: add it, or move the case away")
    return cases


def cases_to_segment(folder: Path, file_ending: str) -> list[Case]:
    """All cases of a folder of images, sorted by name.

    Raises:
        ValueError: there are none, one lacks its first channel, or the format has no geometry.
    """
    check_has_geometry(file_ending)
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder: name one with images")
    channel = re.compile(r"(.+)_(\d{4})" + re.escape(file_ending))
    found: dict[str, dict[int, Path]] = {}
    for path in list_folder(folder):
        if match := channel.fullmatch(path.name):
            found.setdefault(match[1], {})[int(match[2])] = path
    if not found:
        raise ValueError(f"{folder} holds no images (*_0000{file_ending}): name nnU-Net's folder of images")
    for name, channels in found.items():
        if 0 not in channels:
            raise ValueError(f"{folder} has no {name}_0000{file_ending}, the first channel of {name}: add it")
    return [Case(name, channels[0]) for name, channels in sorted(found.items())]


def split(cases: Sequence[str], fold: str, folders: Sequence[Path], file_ending: str) -> tuple[list[str], list[str]]:
    """Training and validation cases of a fold.

    Where there are no splits yet, they are those that nnU-Net is going to make.

    Args:
        cases: all training cases.
        fold: its number, or ``all``: every case is a training case, and none is validated.
        folders: that may have a splits_final.json, the first of which counts: the preprocessed dataset's, and the raw
            one's, which nnU-Net copies there when it plans.
        file_ending: of label maps.

    Raises:
        ValueError: there is no such fold, or the splits name cases that aren't there.
    """
    if fold == ALL:
        return sorted(cases), []
    files = [folder / "splits_final.json" for folder in folders]
    splits_file = next((file for file in files if file.exists()), files[0])
    if warning := check_splits(splits_file, cases, file_ending):
        print(f"WARNING: {warning}", file=sys.stderr)
    if splits_file.exists():
        folds = read_splits(splits_file)
    elif len(cases) >= FOLDS:
        folds = generate_crossval_split(sorted(cases), n_splits=FOLDS)
    else:
        raise ValueError(f"-f {fold}: {len(cases)} cases are too few for {FOLDS} folds, take -f {ALL}")
    if not fold.isdecimal() or int(fold) >= len(folds):
        raise ValueError(f"-f {fold}: give 0 to {len(folds) - 1}, or {ALL}")
    chosen = folds[int(fold)]
    return sorted(map(str, chosen["train"])), sorted(map(str, chosen["val"]))


def evenly_chosen(cases: Sequence[str], number: int | None) -> list[str]:
    """So many of the cases, from all parts of the list, as names often go by hospital or year; None: all of them."""
    if number is None or number >= len(cases):
        return list(cases)
    return [cases[index] for index in np.linspace(0, len(cases) - 1, number).round().astype(int)]


def middle_sized(cases: Sequence[Case]) -> Case:
    """The case whose image covers the median volume: the first target of a template.

    Raises:
        ValueError: an image can't be read.
    """
    volumes = []
    for case in cases:
        header = read_header(case.image)
        volumes.append((float(np.prod(np.multiply(header.GetSize(), header.GetSpacing()))), case.name))
    name = sorted(volumes)[len(volumes) // 2][1]
    return next(case for case in cases if case.name == name)


def read_case_image(case: Case) -> sitk.Image:
    """The first channel of a case.

    Raises:
        ValueError: it can't be read, or isn't 3D.
    """
    return read_volume(case.image)


def read_case_labels(case: Case, dataset: DatasetJson) -> sitk.Image:
    """The label map of a training case, of 16 bits.

    Raises:
        ValueError: it can't be read, holds labels that dataset.json doesn't have or that aren't annotated in this
            case, or lies on another grid than the image.
    """
    assert case.labels is not None
    values = dict(dataset.labels)
    if dataset.ignore_label is not None:
        values["ignore"] = dataset.ignore_label
    labels, image = read_labels(case.labels, values)
    if difference := Grid.of(image).difference_from(Grid.of(read_header(case.image))):
        name, ours, theirs = difference
        raise ValueError(f"{case.labels} has {name} {ours}, but its image has {theirs}: they must lie on the same grid")
    held = set(np.unique(labels).tolist()) & dataset.unannotated.get(case.name, frozenset())
    if held:
        organs = ", ".join(organ for organ, value in dataset.labels.items() if value in held)
        raise ValueError(
            f'{case.labels} holds {organs}, but "annotated" of "focusnet" in dataset.json leaves them out: correct'
            " either"
        )
    return Grid.of(image).put(sitk.GetImageFromArray(labels.astype(np.uint16)))


def _digest(file: Path) -> str | None:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError:  # whoever needs more of the file than this says so
        return None
