"""Cases of any layout as a raw dataset of nnU-Net."""

from __future__ import annotations

import json
from collections.abc import Generator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from nnunetv2_focusnet.convert.label_maps import OrganMask, Overlap, merge, read_organ_mask
from nnunetv2_focusnet.convert.layouts.base import Channel, Layout
from nnunetv2_focusnet.convert.selection import SelectedCase
from nnunetv2_focusnet.images.writing import write_image
from nnunetv2_focusnet.organs.dataset_json import ANNOTATED, ANNOTATED_TEST
from nnunetv2_focusnet.system.files import WriteError, naming, write_text
from nnunetv2_focusnet.system.processes import map_in_processes
from nnunetv2_focusnet.system.text import last_line

PARTS = {"train": "Tr", "test": "Ts"}
ANNOTATED_KEYS = {"train": ANNOTATED, "test": ANNOTATED_TEST}


@dataclass(frozen=True)
class RawDataset:
    """A raw dataset that is being written.

    Attributes:
        folder: where its files go.
        organs: label 1 is the first.
        num_channels: of every case.
        file_ending: of images and labels.
        symlink: link images that need no change.
        resample_labels: masks on another grid than the image are resampled.
    """

    folder: Path
    organs: tuple[str, ...]
    num_channels: int
    file_ending: str
    symlink: bool
    resample_labels: bool

    def image_file(self, split: str, case: str, channel: int) -> Path:
        """The file of one channel."""
        return self.folder / f"images{PARTS[split]}" / f"{case}_{channel:04d}{self.file_ending}"

    def label_file(self, split: str, case: str) -> Path:
        """The file of the label map."""
        return self.folder / f"labels{PARTS[split]}" / f"{case}{self.file_ending}"


@dataclass(frozen=True)
class ConvertedCase:
    """What became of one case.

    Attributes:
        case: its identifier.
        split: "train" or "test".
        voxels: organ to voxels in the label map, for each organ that is annotated; 0: it was looked for and is absent.
        overlaps: what smaller organs covered.
        geometry: a line for each mask that wasn't on the grid of the image.
        notes: further lines.
        error: why there is no such case in the dataset.
    """

    case: str
    split: str
    voxels: dict[str, int] = field(default_factory=dict)
    overlaps: tuple[Overlap, ...] = ()
    geometry: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    error: str | None = None


def convert_cases(
    dataset: RawDataset, cases: list[SelectedCase], num_processes: int
) -> Generator[ConvertedCase, None, None]:
    """Write the cases, and yield what became of each, in their order.

    A case that can't be converted leaves no file behind and doesn't stop the others.

    Raises:
        WriteError: a case can't be written, which is no fault of its own.
    """
    return map_in_processes(partial(convert_case, dataset), cases, num_processes)


def convert_case(dataset: RawDataset, selected: SelectedCase) -> ConvertedCase:
    """Write images and label map of one case; what is wrong with its files becomes its error."""
    case = selected.case
    try:
        channels = case.channels()
        reference = channels[0].image
        organs = {name: organ for organ, name in selected.structures.items()}
        structures = case.structures(list(organs))
        masks = {organs[each.name]: read_organ_mask(each, reference, dataset.resample_labels) for each in structures}
        labels, overlaps = merge(masks, dataset.organs, reference.GetSize()[::-1])
        for number, channel in enumerate(channels):
            _write_image(channel, dataset.image_file(case.split, case.identifier, number), dataset.symlink)
        if masks:
            _write(_labels_on(reference, labels), dataset.label_file(case.split, case.identifier))
    except WriteError:
        raise
    except (ValueError, OSError, RuntimeError) as error:
        _remove(dataset, selected)
        line = last_line(error)
        if isinstance(error, RuntimeError):  # SimpleITK's: several lines, and none of them names the file
            line = f"{case.identifier}: {line}"
        return ConvertedCase(case.identifier, case.split, error=line)
    return _describe(dataset, selected, masks, labels, overlaps)


def write_description(
    dataset: RawDataset, layout: Layout, name: str, converted: list[ConvertedCase], version: str
) -> list[dict[str, list[str]]]:
    """Write dataset.json, and splits_final.json where the layout has official folds, which are returned."""
    training = [case.case for case in converted if case.split == "train"]
    annotated: dict[str, dict[str, list[str]]] = {}
    for case in converted:
        if len(case.voxels) < len(dataset.organs) and dataset.label_file(case.split, case.case).is_file():
            annotated.setdefault(ANNOTATED_KEYS[case.split], {})[case.case] = list(case.voxels)
    # generate_dataset_json of nnU-Net 2.8 stores the release as citation, hence not by it.
    description: dict[str, Any] = {
        "name": name,
        "channel_names": {str(number): channel for number, channel in enumerate(layout.channel_names)},
        "labels": {"background": 0} | {organ: label for label, organ in enumerate(dataset.organs, start=1)},
        "numTraining": len(training),
        "file_ending": dataset.file_ending,
        "overwrite_image_reader_writer": "SimpleITKIO",
        "description": layout.description,
        "reference": layout.reference,
        "licence": layout.licence,
        "citation": layout.citation,
        "converted_by": f"nnunetv2-focusnet {version}",
    }
    if annotated:
        description["focusnet"] = annotated
    write_json(dataset.folder / "dataset.json", description)
    folds = layout.folds(training)
    if folds:
        write_json(dataset.folder / "splits_final.json", folds)
    return folds


def write_json(file: Path, content: Any) -> None:
    """Write a file that people read, too, in ASCII: nnU-Net opens it in the locale's encoding, whatever that is."""
    write_text(file, json.dumps(content, indent=2) + "\n")


def _describe(
    dataset: RawDataset,
    selected: SelectedCase,
    masks: dict[str, OrganMask],
    labels: np.ndarray,
    overlaps: list[Overlap],
) -> ConvertedCase:
    counts = np.bincount(labels.ravel(), minlength=len(dataset.organs) + 1)
    voxels = {organ: int(counts[dataset.organs.index(organ) + 1]) for organ in dataset.organs if organ in masks}
    notes = list(selected.case.notes())
    for organ, mask in masks.items():
        name = selected.structures[organ]
        if mask.source_voxels == 0:
            notes.append(f"{name} is empty: the organ counts as annotated and absent")
        elif voxels[organ] == 0:  # what is there mustn't be trained as absent
            notes.append(f"{name} has no voxel left in the label map: the organ counts as not annotated")
            del voxels[organ]
    return ConvertedCase(
        selected.case.identifier,
        selected.case.split,
        voxels,
        tuple(overlaps),
        tuple(f"{selected.structures[organ]} {mask.geometry}" for organ, mask in masks.items() if mask.geometry),
        tuple(notes),
    )


def _labels_on(reference: sitk.Image, labels: np.ndarray) -> sitk.Image:
    image = sitk.GetImageFromArray(labels)
    image.CopyInformation(reference)
    return image


def _write_image(channel: Channel, file: Path, symlink: bool) -> None:
    if symlink and channel.file is not None:
        with naming(file):
            file.symlink_to(channel.file.resolve())
    else:
        _write(channel.image, file)


def _write(image: sitk.Image, file: Path) -> None:
    """Write without what the source's header holds beside geometry: among that may be a patient's name."""
    for key in image.GetMetaDataKeys():
        image.EraseMetaData(key)
    write_image(image, file)


def _remove(dataset: RawDataset, selected: SelectedCase) -> None:
    split, case = selected.case.split, selected.case.identifier
    for number in range(dataset.num_channels):
        dataset.image_file(split, case, number).unlink(missing_ok=True)
    dataset.label_file(split, case).unlink(missing_ok=True)
