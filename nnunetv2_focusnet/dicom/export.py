"""Predicted label maps as DICOM files, case by case."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from nnunetv2_focusnet.dicom import SERIES_FILE, check_libraries
from nnunetv2_focusnet.images.grid import Grid, nearest_on_grid
from nnunetv2_focusnet.images.reading import read_labels
from nnunetv2_focusnet.organs.dataset_json import DatasetJson
from nnunetv2_focusnet.system.files import WriteError, make_folder, write_bytes
from nnunetv2_focusnet.system.folders import files_with_ending
from nnunetv2_focusnet.system.json_files import read_object

if TYPE_CHECKING:
    from pydicom import Dataset

    from nnunetv2_focusnet.dicom.organs import DicomOrgan
    from nnunetv2_focusnet.dicom.predictions import Matcher
    from nnunetv2_focusnet.dicom.tree import Series

Make = Callable[["Series", "Grid", np.ndarray, Mapping[str, int]], "Dataset"]


def export(
    predictions: Path,
    output: Path,
    dicom: Path,
    kind: str,
    dataset_json: Path | None = None,
    mapping: Path | None = None,
) -> list[str]:
    """Export all predictions and print a line for each.

    Args:
        predictions: a label map, or a folder of label maps.
        output: folder for the DICOM files.
        dicom: folder with the CT series that were predicted.
        kind: "rtstruct" or "seg".
        dataset_json: names of the labels; None: beside the predictions.
        mapping: how organs are written, see `dicom_organs`; None: as their names say.

    Returns:
        A message for each prediction that could not be exported.

    Raises:
        ValueError: nothing can be exported.
        WriteError: a file can't be written.
    """
    check_libraries()
    from nnunetv2_focusnet.dicom.organs import dicom_organs
    from nnunetv2_focusnet.dicom.predictions import Matcher
    from nnunetv2_focusnet.dicom.privacy import without_warnings
    from nnunetv2_focusnet.dicom.tree import read_tree

    folder = predictions if predictions.is_dir() else predictions.parent
    dataset_json = dataset_json or folder / "dataset.json"
    dataset = DatasetJson.read(dataset_json, "name dataset.json with --dataset_json")
    organs, files = dataset.labels, _prediction_files(predictions, dataset.file_ending)
    make = _maker(kind, dicom_organs(organs, mapping))
    tree = read_tree(dicom)
    matcher = Matcher(tree.series, files, _series_uids(dataset_json))
    make_folder(output)
    messages = list(tree.unreadable)
    for case, file in files.items():
        target = output / f"{case}_{kind}.dcm"
        try:
            with without_warnings():
                text = _export_case(case, file, target, matcher, organs, make)
        except WriteError:  # the next one can't be written either
            raise
        except (ValueError, OSError) as error:
            messages += [str(error)] if str(error) not in messages else []
        else:
            print(f"{target}: {text}", flush=True)
    return messages


def _export_case(case: str, file: Path, target: Path, matcher: Matcher, organs: Mapping[str, int], make: Make) -> str:
    series, grid = matcher.find(case, file)
    _, image = read_labels(file, organs)
    labels = sitk.GetArrayFromImage(nearest_on_grid(image, grid)).astype(np.int32)
    values = set(np.unique(labels).tolist())
    predicted = {name: label for name, label in organs.items() if label in values}
    if not predicted:
        raise ValueError(f"{file} is empty: there is nothing to export")
    _save(make(series, grid, labels, predicted), target)
    found = f"{len(predicted)} organs on {series.name}"
    absent = [name for name in organs if name not in predicted]
    return f"{found}; not predicted: {', '.join(absent)}" if absent else found


def _maker(kind: str, written: Mapping[str, DicomOrgan]) -> Make:
    from nnunetv2_focusnet.dicom.rtstruct import make_rtstruct
    from nnunetv2_focusnet.dicom.segmentation import make_segmentation

    make = {"rtstruct": make_rtstruct, "seg": make_segmentation}[kind]
    return lambda series, grid, labels, predicted: make(series, grid, labels, [written[name] for name in predicted])


def _save(content: Dataset, target: Path) -> None:
    buffer = io.BytesIO()
    content.save_as(buffer, enforce_file_format=True)
    write_bytes(target, buffer.getvalue())


def _prediction_files(predictions: Path, file_ending: str) -> dict[str, Path]:
    if not predictions.exists():
        raise ValueError(f"{predictions} doesn't exist: name a label map or a folder of them")
    if predictions.is_file() and not predictions.name.endswith(file_ending):
        raise ValueError(f"{predictions} isn't {file_ending}, as label maps are by dataset.json: save it as such")
    found = files_with_ending(predictions, file_ending) if predictions.is_dir() else [predictions]
    if not found:
        raise ValueError(f"{predictions} holds no label maps (*{file_ending}): name the folder of predictions")
    return {path.name.removesuffix(file_ending): path for path in found}


def _series_uids(dataset_json: Path) -> dict[str, str]:
    file = dataset_json.with_name(SERIES_FILE)
    uids = read_object(file) if file.is_file() else {}
    if not all(isinstance(uid, str) for uid in uids.values()):
        raise ValueError(f"{file} has to be an object, case to SeriesInstanceUID: correct or delete it")
    return uids
