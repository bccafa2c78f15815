"""What the command line of the comparison names, found and checked."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from nnunetv2.utilities.dataset_name_id_conversion import maybe_convert_to_dataset_name

from nnunetv2_focusnet.compare.cases import Comparison, LabelMaps, find_cases
from nnunetv2_focusnet.compare.folds import find_validations
from nnunetv2_focusnet.images.reading import check_has_geometry
from nnunetv2_focusnet.organs.annotations import check_reference_cases, check_training_cases
from nnunetv2_focusnet.organs.dataset_json import DatasetJson
from nnunetv2_focusnet.organs.plans_entry import has_entry, read_small_organs
from nnunetv2_focusnet.system.folders import folder_from_environment, list_folder
from nnunetv2_focusnet.system.json_files import read_object

NAME_THE_RIGHT_ONE = "name the one that is right with --dataset_json"


@dataclass(frozen=True)
class Inputs:
    """A comparison, and what the report says about it.

    Attributes:
        comparison: what is compared.
        small_organs: named by a model's plans; None: told from their size.
        tolerances: one line on the tolerance of the NSD.
        is_ct: images are of CT, whose grey values are HU.
    """

    comparison: Comparison
    small_organs: Collection[str] | None
    tolerances: str
    is_ct: bool = False


def read_folders(
    reference: Path | None, predictions: Sequence[str], dataset_json: Path | None, tolerance: str
) -> Inputs:
    """Inputs from ``-ref FOLDER -pred NAME=FOLDER ...``.

    Raises:
        ValueError: something is missing, or given twice, or one dataset.json contradicts another.
    """
    if reference is None or not predictions:
        raise ValueError("name references and predictions with -ref and -pred, or trainers with --cv and -tr")
    models: dict[str, Path] = {}
    for given in predictions:
        name, separator, folder = given.partition("=")
        if not (name and separator and folder):
            raise ValueError(f"-pred takes NAME=FOLDER, got {given}")
        if name in models or name == "reference":
            raise ValueError(f"-pred has the name {name} twice, or it is taken: choose another")
        models[name] = Path(folder)
    _check_folders(reference, models)
    beside = [folder / "dataset.json" for folder in (*models.values(), reference, reference.parent)]
    dataset, *others = _read_dataset_json([dataset_json] if dataset_json else beside)
    references = _label_maps(reference, dataset.file_ending)
    if warning := check_reference_cases(dataset, reference):
        print(f"WARNING: {warning}", file=sys.stderr)
    predictions_ = {name: _label_maps(folder, dataset.file_ending) for name, folder in models.items()}
    plans = [path for folder in models.values() if (path := folder / "plans.json").is_file()]
    inputs = _inputs(references, predictions_, dataset, _small_organs(plans, None), tolerance)
    for other in others:
        _check_same_annotations(dataset, other, find_cases(inputs.comparison)[0])
    return inputs


def read_cross_validation(
    dataset: str, trainers: Sequence[str], plans_name: str, configuration: str, tolerance: str
) -> Inputs:
    """Inputs from ``--cv DATASET_ID -tr TRAINER ...``: validation predictions of all folds, references of the dataset.

    Raises:
        ValueError: a trainer is named twice or has no validation, or a case was validated twice or by a model that was
            trained on it.
    """
    if not trainers:
        raise ValueError("--cv compares trainers: name them with -tr")
    if twice := [trainer for trainer in trainers if trainers.count(trainer) > 1]:
        raise ValueError(f"-tr names {twice[0]} twice: name each trainer once")
    preprocessed, results = (folder_from_environment(f"nnUNet_{name}") for name in ("preprocessed", "results"))
    name = _dataset_name(dataset)
    base = preprocessed / name
    content = DatasetJson.read(base / "dataset.json", "preprocess the dataset")
    check_training_cases(content, base / "gt_segmentations")
    models = {t: results / name / f"{t}__{plans_name}__{configuration}" for t in trainers}
    predictions = {t: find_validations(model, base, content.file_ending) for t, model in models.items()}
    for model in models.values():
        if (file := model / "dataset.json").is_file():
            _check_same_labels(content, DatasetJson.read(file), "train with the labels as they are now")
    references = LabelMaps.in_folder(base / "gt_segmentations", content.file_ending)
    if not references.files:
        raise ValueError(f"{references.folder} holds no references: preprocess the dataset")
    # Cases that no fold of any trainer validated have nothing to be compared with.
    validated = {case for maps in predictions.values() for case in maps.files}
    references = references.of_cases(validated)
    plans = [path for model in models.values() if (path := model / "plans.json").is_file()]  # an atlas has none
    return _inputs(references, predictions, content, _small_organs(plans, configuration), tolerance)


def _dataset_name(dataset: str) -> str:
    try:
        return maybe_convert_to_dataset_name(dataset)
    except ValueError:
        raise ValueError(f"--cv takes the ID or the name of a dataset, got {dataset}") from None
    except RuntimeError as error:  # nnU-Net's list of its folders is several lines long
        raise ValueError(
            f"--cv {dataset}: {str(error).splitlines()[0].partition('. ')[0]}; look at nnUNet_raw, nnUNet_preprocessed "
            "and nnUNet_results"
        ) from None


def _check_folders(reference: Path, models: Mapping[str, Path]) -> None:
    """Raise a ValueError unless there is a folder with files for the reference and another one for each model."""
    names = {"the reference": reference} | {f"the model {name}": folder for name, folder in models.items()}
    known: dict[Path, str] = {}
    for name, folder in names.items():
        if not folder.is_dir():
            raise ValueError(f"{folder} is no folder")
        if (other := known.setdefault(folder.resolve(), name)) != name:
            raise ValueError(f"{folder} is given for {other} and for {name}: name the folder of each")
        if not any(path.suffix != ".json" for path in list_folder(folder)):
            raise ValueError(f"{folder}, given for {name}, holds no label maps: correct the folder")


def _label_maps(folder: Path, file_ending: str) -> LabelMaps:
    maps = LabelMaps.in_folder(folder, file_ending)
    if not maps.files:
        others = min(path.name for path in list_folder(folder) if path.suffix != ".json")
        raise ValueError(
            f"{folder} holds no label maps (*{file_ending}, as dataset.json says), but {others}, say: correct the "
            "folder or dataset.json"
        )
    return maps


def _check_same_labels(one: DatasetJson, other: DatasetJson, remedy: str) -> None:
    """Raise a ValueError if an organ has one value in a dataset.json and another in the next, or a value two organs."""
    for (organ, value), (other_organ, other_value) in product(one.labels.items(), other.labels.items()):
        if (organ == other_organ) != (value == other_value):
            raise ValueError(
                f"{organ} is {value} in {one.source}, but {other_organ} is {other_value} in {other.source}: {remedy}"
            )


def _check_same_annotations(one: DatasetJson, other: DatasetJson, cases: Sequence[str]) -> None:
    """Raise a ValueError if a case has an organ annotated in a dataset.json, but not in the next that has this organ.

    Otherwise the order of the models would decide whether it is counted there.
    """
    ours, theirs = one.unannotated, other.unannotated
    for case, (organ, label) in product(cases, one.labels.items()):
        lacking = label in ours.get(case, ())
        if organ in other.labels and lacking != (label in theirs.get(case, ())):
            has, lacks = (other, one) if lacking else (one, other)
            raise ValueError(
                f"{case} has {organ} annotated in {has.source}, but not in {lacks.source}: {NAME_THE_RIGHT_ONE}"
            )


def _inputs(
    reference: LabelMaps,
    models: Mapping[str, LabelMaps],
    dataset: DatasetJson,
    small: Collection[str] | None,
    tolerance: str,
) -> Inputs:
    check_has_geometry(dataset.file_ending)
    tolerances = _tolerances(tolerance, dataset.labels)
    distinct = sorted(set(tolerances.values()))
    line = f"{distinct[0]:g} mm" if len(distinct) == 1 else f"{distinct[0]:g} to {distinct[-1]:g} mm, by organ"
    comparison = Comparison(
        reference, models, dataset.labels, dataset.file_ending, tolerances, dataset.unannotated, dataset.ignore_label
    )
    return Inputs(comparison, small, line, dataset.is_ct)


def _read_dataset_json(places: Sequence[Path]) -> list[DatasetJson]:
    """All that are there; the first decides.

    Raises:
        ValueError: there is none, or another one numbers the organs otherwise: what a model calls 3 isn't what is 3.
    """
    files = [place for place in places if place.is_file()] or places[:1]
    found = [DatasetJson.read(file, "name dataset.json with --dataset_json") for file in files]
    for other in found[1:]:
        _check_same_labels(found[0], other, NAME_THE_RIGHT_ONE)
    return found


def _tolerances(given: str, labels: Mapping[str, int]) -> dict[str, float]:
    try:
        values: dict[str, Any] = dict.fromkeys(labels, float(given))
        source = "--tolerance_mm"
    except ValueError:
        content = read_object(Path(given), "--tolerance_mm takes a number or a JSON file")
        values = {organ: content.get(organ) for organ in labels}
        source = given
    for organ, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
            found = "none" if value is None else json.dumps(value)
            raise ValueError(f"{source} needs a number of mm above 0 for {organ}, but has {found}")
    return values


def _small_organs(plans: Sequence[Path], configuration: str | None) -> set[str] | None:
    """Small organs that the first FocusNet model among the plans has, as its plans describe them.

    Only the configuration that such a model was trained in has an entry.
    """
    for file in plans:
        content = read_object(file, "train the trainer")
        try:
            trained = {name: each for name, each in content["configurations"].items() if has_entry(each)}
            if len(trained) == 1 and configuration in (None, *trained):
                return {organ.name for organ in read_small_organs(*trained.values())}
        except (KeyError, TypeError, AttributeError, ValueError):
            raise ValueError(f"{file} isn't what nnU-Net and FocusNet write: copy it there from the model") from None
    return None
