"""What the command line of the comparison names, found and checked."""

from __future__ import annotations

import json
import math
import shutil
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nnunetv2.utilities.dataset_name_id_conversion import maybe_convert_to_dataset_name

from nnunetv2_focusnet.annotations import find_unannotated
from nnunetv2_focusnet.evaluation.cases import Comparison


@dataclass(frozen=True)
class Inputs:
    """A comparison, and what the report says about it.

    Attributes:
        comparison: what is compared.
        small_organs: named by a model's plans; None: told from their size.
        tolerances: one line on the tolerance of the NSD.
        folder: holds what was gathered from several folds until the comparison is done.
    """

    comparison: Comparison
    small_organs: Collection[str] | None
    tolerances: str
    folder: tempfile.TemporaryDirectory[str] | None = field(default=None, repr=False)


def read_folders(
    reference: Path | None, predictions: Sequence[str], dataset_json: Path | None, tolerance: str
) -> Inputs:
    """Inputs from ``-ref FOLDER -pred NAME=FOLDER ...``.

    Raises:
        ValueError: something is missing, or given twice.
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
    for folder_ in (reference, *models.values()):
        if not folder_.is_dir():
            raise ValueError(f"{folder_} is no folder")
    places = (
        [dataset_json]
        if dataset_json
        else [folder / "dataset.json" for folder in (*models.values(), reference, reference.parent)]
    )
    dataset = _first_json(places, "name dataset.json with --dataset_json")
    plans = [json.loads(path.read_text()) for f in models.values() if (path := f / "plans.json").is_file()]
    return _inputs(reference, models, dataset, _small_organs(plans, None), tolerance)


def read_cross_validation(
    dataset: str, trainers: Sequence[str], plans_name: str, configuration: str, tolerance: str
) -> Inputs:
    """Inputs from ``--cv DATASET_ID -tr TRAINER ...``: validation predictions of all folds, references of the dataset.

    Raises:
        ValueError: a trainer has no validation, or a case was validated twice.
    """
    from nnunetv2.paths import nnUNet_preprocessed, nnUNet_results  # only --cv needs these variables

    if not trainers:
        raise ValueError("--cv compares trainers: name them with -tr")
    if nnUNet_preprocessed is None or nnUNet_results is None:
        raise ValueError("--cv needs nnUNet_preprocessed and nnUNet_results: set these variables")
    name = maybe_convert_to_dataset_name(dataset)
    base = Path(nnUNet_preprocessed) / name
    content = _first_json([base / "dataset.json"], "preprocess the dataset")
    gathered = tempfile.TemporaryDirectory()
    models, plans = {}, []
    for trainer in trainers:
        model = Path(nnUNet_results) / name / f"{trainer}__{plans_name}__{configuration}"
        models[trainer] = Path(gathered.name) / trainer
        _gather(model, models[trainer], content["file_ending"])
        plans.append(_first_json([model / "plans.json"], "train the trainer"))
    # Cases that no fold of any trainer validated have nothing to be compared with.
    validated = {path.name for folder in models.values() for path in folder.iterdir()}
    references = Path(gathered.name) / "reference"
    references.mkdir()
    for file in sorted(validated):
        _link(base / "gt_segmentations" / file, references / file)
    inputs = _inputs(references, models, content, _small_organs(plans, configuration), tolerance)
    return Inputs(inputs.comparison, inputs.small_organs, inputs.tolerances, gathered)


def _inputs(
    reference: Path, models: dict[str, Path], dataset: dict[str, Any], small: Collection[str] | None, tolerance: str
) -> Inputs:
    labels = {
        name: value for name, value in dataset["labels"].items() if name not in ("background", "ignore") and value != 0
    }
    if regions := [name for name, value in labels.items() if isinstance(value, list)]:
        raise ValueError(f"dataset.json: {', '.join(regions)} are regions, but only labels with one value are compared")
    tolerances = _tolerances(tolerance, labels)
    distinct = sorted(set(tolerances.values()))
    line = f"{distinct[0]:g} mm" if len(distinct) == 1 else f"{distinct[0]:g} to {distinct[-1]:g} mm, by organ"
    comparison = Comparison(
        reference, models, labels, dataset["file_ending"], tolerances, find_unannotated(dataset, labels)
    )
    return Inputs(comparison, small, line)


def _tolerances(given: str, labels: dict[str, int]) -> dict[str, float]:
    try:
        values: dict[str, Any] = dict.fromkeys(labels, float(given))
    except ValueError:
        content = _first_json([Path(given)], "--tolerance_mm takes a number or a JSON file")
        values = {organ: content.get(organ) for organ in labels}
    for organ, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
            raise ValueError(f"--tolerance_mm needs a number above 0 for {organ}, got {value}")
    return values


def _small_organs(plans: Sequence[dict[str, Any]], configuration: str | None) -> set[str] | None:
    """Small organs that the first FocusNet model among the plans has, as its plans describe them."""
    for content in plans:
        for name, entry in content["configurations"].items():
            if "focusnet" in entry and configuration in (None, name):
                return {organ["name"] for organ in entry["focusnet"]["small_organs"]}
    return None


def _gather(model: Path, folder: Path, file_ending: str) -> None:
    """Link the validation predictions of all folds into one folder."""
    folder.mkdir()
    for prediction in sorted(model.glob(f"fold_*/validation/*{file_ending}")):
        if (folder / prediction.name).exists():
            raise ValueError(f"{prediction} was validated in another fold, too: folds must not share cases")
        _link(prediction, folder / prediction.name)
    if not any(folder.iterdir()):
        raise ValueError(f"{model} has no fold with a validation: train it, or name other plans with -p or -c")


def _link(source: Path, target: Path) -> None:
    try:
        target.symlink_to(source.resolve())
    except OSError:  # Windows needs a right for links
        shutil.copy(source, target)


def _first_json(places: Sequence[Path], remedy: str) -> dict[str, Any]:
    for place in places:
        if place.is_file():
            try:
                return json.loads(place.read_text(encoding="utf-8"))
            except ValueError as error:
                raise ValueError(f"{place} isn't JSON ({error}): correct it") from None
    raise ValueError(f"{places[0]} doesn't exist: {remedy}")
