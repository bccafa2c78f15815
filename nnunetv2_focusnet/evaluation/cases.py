"""From folders of label maps to metrics per case, organ and model; one faulty case doesn't stop the others."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy.ndimage import find_objects

from nnunetv2_focusnet.evaluation.metrics import OrganMetrics, compare_masks
from nnunetv2_focusnet.grids import grid_difference
from nnunetv2_focusnet.processes import map_in_processes


@dataclass(frozen=True)
class Comparison:
    """What is compared.

    Attributes:
        reference: folder of reference label maps.
        predictions: folder of predicted label maps by model name.
        labels: organ name to label value, without background and ignore label.
        file_ending: of all label maps.
        tolerances_mm: of the normalised surface Dice, by organ name.
        unannotated: labels that the reference of a case doesn't have annotated, by case; they aren't counted there.
    """

    reference: Path
    predictions: Mapping[str, Path]
    labels: Mapping[str, int]
    file_ending: str
    tolerances_mm: Mapping[str, float]
    unannotated: Mapping[str, Collection[int]] = field(default_factory=dict)

    def reference_file(self, case: str) -> Path:
        """The reference label map of a case."""
        return self.reference / f"{case}{self.file_ending}"

    def prediction_file(self, model: str, case: str) -> Path:
        """The label map that a model predicted for a case."""
        return self.predictions[model] / f"{case}{self.file_ending}"


@dataclass(frozen=True)
class Row:
    """Metrics of one organ in one case by one model."""

    case: str
    organ: str
    model: str
    metrics: OrganMetrics


@dataclass(frozen=True)
class CaseResult:
    """The rows of a case, or why it has none."""

    case: str
    rows: tuple[Row, ...] = ()
    error: str | None = None


def find_cases(comparison: Comparison) -> tuple[list[str], list[str]]:
    """Cases that the reference and every model have, and one message for each file without a partner.

    Raises:
        ValueError: the reference folder has no label maps, or no case is complete.
    """
    ending = comparison.file_ending

    def cases_in(folder: Path) -> set[str]:
        return {path.name.removesuffix(ending) for path in folder.glob(f"*{ending}")}

    wanted = cases_in(comparison.reference)
    if not wanted:
        raise ValueError(f"{comparison.reference} holds no label maps (*{ending}): name the folder of references")
    complete, messages = set(wanted), []
    for model, folder in comparison.predictions.items():
        found = cases_in(folder)
        complete &= found
        messages += [f"{folder} has no prediction of {case} by {model}" for case in sorted(wanted - found)]
        messages += [
            f"{folder / (case + ending)} has no reference in {comparison.reference}" for case in sorted(found - wanted)
        ]
    if not complete:
        raise ValueError(f"no case of {comparison.reference} was predicted by all models: check the folders")
    return sorted(complete), messages


def evaluate_cases(comparison: Comparison, cases: Sequence[str], num_processes: int) -> Iterator[CaseResult]:
    """Yield the result of each case, in the order of ``cases``."""
    return map_in_processes(partial(evaluate_case, comparison), cases, num_processes)


def evaluate_case(comparison: Comparison, case: str) -> CaseResult:
    """Metrics of all organs and models in one case; what is wrong with its files becomes its error."""
    try:
        reference, image = read_labels(comparison.reference_file(case), comparison.labels)
        rows: list[Row] = []
        for model in comparison.predictions:
            file = comparison.prediction_file(model, case)
            prediction, predicted_image = read_labels(file, comparison.labels)
            check_geometry(comparison.reference_file(case), image, file, predicted_image)
            rows += _rows(comparison, case, model, reference, prediction, image.GetSpacing()[::-1])
    except ValueError as error:
        return CaseResult(case, error=str(error))
    return CaseResult(case, tuple(rows))


def read_labels(path: Path, labels: Mapping[str, int]) -> tuple[np.ndarray, sitk.Image]:
    """A label map (Z, Y, X) and the image it comes from.

    Raises:
        ValueError: it can't be read, isn't 3D, or holds other values than 0 and those of ``labels``.
    """
    try:
        image = sitk.ReadImage(str(path))
    except RuntimeError as error:
        last = str(error).strip().splitlines()[-1]
        raise ValueError(f"{path} can't be read: mend or replace it ({last})") from None
    array = sitk.GetArrayFromImage(image)
    if array.ndim != 3:
        raise ValueError(f"{path} has {array.ndim} axes, but label maps have 3: replace it")
    if not np.issubdtype(array.dtype, np.integer):
        integers = array.astype(np.int32)
        if not np.array_equal(integers, array):
            raise ValueError(f"{path} holds values that aren't integers: save labels, not probabilities or images")
        array = integers
    unknown = sorted(set(np.unique(array).tolist()) - set(labels.values()) - {0})
    if unknown:
        listed = ", ".join(map(str, unknown))
        raise ValueError(f"{path} holds the label values {listed}, which dataset.json doesn't have: correct either")
    return array, image


def check_geometry(reference_file: Path, reference: sitk.Image, prediction_file: Path, prediction: sitk.Image) -> None:
    """Raise a ValueError that names both files and what differs, unless both lie on the same grid."""
    if difference := grid_difference(prediction, reference):
        name, ours, theirs = difference
        raise ValueError(
            f"{prediction_file} has {name} {ours}, but {reference_file} has {theirs}: "
            "bring the prediction to the grid of the reference (x, y, z)"
        )


def _rows(
    comparison: Comparison,
    case: str,
    model: str,
    reference: np.ndarray,
    prediction: np.ndarray,
    spacing_mm: tuple[float, ...],
) -> Iterator[Row]:
    # Both label maps' boxes in one pass each: a lens must not cost a full volume.
    highest = max(comparison.labels.values())
    boxes = [find_objects(labels, highest) for labels in (reference, prediction)]
    unannotated = comparison.unannotated.get(case, ())
    for organ, label in comparison.labels.items():
        if label in unannotated:
            continue
        found = [box for box in (boxes[0][label - 1], boxes[1][label - 1]) if box is not None]
        if not found:
            continue
        box = tuple(slice(min(b[axis].start for b in found), max(b[axis].stop for b in found)) for axis in range(3))
        metrics = compare_masks(
            reference[box] == label, prediction[box] == label, spacing_mm, comparison.tolerances_mm[organ]
        )
        if metrics is not None:
            yield Row(case, organ, model, metrics)
