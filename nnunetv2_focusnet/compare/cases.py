"""From folders of label maps to metrics per case, organ and model; one faulty case doesn't stop the others."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy.ndimage import find_objects

from nnunetv2_focusnet.compare.metrics import OrganMetrics, compare_masks
from nnunetv2_focusnet.images.grid import Grid
from nnunetv2_focusnet.images.reading import read_labels
from nnunetv2_focusnet.system.folders import files_with_ending
from nnunetv2_focusnet.system.processes import map_in_processes

Boxes = list[tuple[slice, ...] | None]  # of each label from 1 on


@dataclass(frozen=True)
class LabelMaps:
    """Label maps of a model, or those of the reference.

    Attributes:
        folder: where they are.
        files: by case.
    """

    folder: Path
    files: Mapping[str, Path]

    @classmethod
    def in_folder(cls, folder: Path, file_ending: str) -> LabelMaps:
        """All label maps of a folder.

        Raises:
            ValueError: the folder can't be listed.
        """
        files = files_with_ending(folder, file_ending)
        return cls(folder, {path.name.removesuffix(file_ending): path for path in files})

    def of_cases(self, cases: Collection[str]) -> LabelMaps:
        """Those of these cases."""
        return LabelMaps(self.folder, {case: file for case, file in self.files.items() if case in cases})


@dataclass(frozen=True)
class Comparison:
    """What is compared.

    Attributes:
        reference: reference label maps.
        predictions: predicted label maps by model name.
        labels: organ name to label value, without background and ignore label.
        file_ending: of images and label maps.
        tolerances_mm: of the normalised surface Dice, by organ name.
        unannotated: labels that the reference of a case doesn't have annotated, by case; they aren't counted there.
        ignore_label: value of the reference's voxels that aren't counted, whatever is predicted there; None: all count.
    """

    reference: LabelMaps
    predictions: Mapping[str, LabelMaps]
    labels: Mapping[str, int]
    file_ending: str
    tolerances_mm: Mapping[str, float]
    unannotated: Mapping[str, Collection[int]] = field(default_factory=dict)
    ignore_label: int | None = None

    def reference_file(self, case: str) -> Path:
        """The reference label map of a case."""
        return self.reference.files[case]

    def prediction_file(self, model: str, case: str) -> Path:
        """The label map that a model predicted for a case."""
        return self.predictions[model].files[case]


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
        ValueError: no case is complete.
    """
    reference = comparison.reference
    wanted = reference.files.keys()
    complete, messages = set(wanted), []
    for model, maps in comparison.predictions.items():
        found = maps.files.keys()
        if not wanted & found:
            raise ValueError(
                f"{maps.folder} has no prediction of a case of {reference.folder}, but of {min(found)}, say: name "
                "predictions as their references, or correct the folders"
            )
        complete &= found
        messages += [f"{maps.folder} has no prediction of {case} by {model}" for case in sorted(wanted - found)]
        messages += [f"{maps.files[case]} has no reference in {reference.folder}" for case in sorted(found - wanted)]
    if not complete:
        raise ValueError(
            f"no case of {reference.folder} was predicted by all models: leave out the one that lacks them"
        )
    return sorted(complete), messages


def evaluate_cases(
    comparison: Comparison, cases: Sequence[str], num_processes: int
) -> Generator[CaseResult, None, None]:
    """Yield the result of each case, in the order of ``cases``."""
    return map_in_processes(partial(evaluate_case, comparison), cases, num_processes)


def evaluate_case(comparison: Comparison, case: str) -> CaseResult:
    """Metrics of all organs and models in one case; what is wrong with its files becomes its error."""
    try:
        return CaseResult(case, tuple(_evaluate(comparison, case)))
    except ValueError as error:
        return CaseResult(case, error=str(error))
    except Exception as error:  # whatever it is, the results of other cases must not be lost for it
        return CaseResult(case, error=f"{case} can't be evaluated: {type(error).__name__}: {error}")


def _evaluate(comparison: Comparison, case: str) -> Iterator[Row]:
    reference_file, ignore_label = comparison.reference_file(case), comparison.ignore_label
    values = comparison.labels if ignore_label is None else {**comparison.labels, "ignore": ignore_label}
    reference, image = read_labels(reference_file, values)
    # As nnU-Net's evaluation: neither side has an organ where the reference doesn't say what is there.
    ignored = reference == ignore_label
    reference = np.where(ignored, 0, reference)
    boxes = find_objects(reference, max(comparison.labels.values()))
    for model in comparison.predictions:
        file = comparison.prediction_file(model, case)
        prediction, predicted_image = read_labels(file, values)
        check_geometry(reference_file, image, file, predicted_image)
        if ignore_label is not None and (prediction == ignore_label).any():
            raise ValueError(
                f"{file} holds the ignore label {ignore_label}, which only references have: is it a prediction?"
            )
        counted = np.where(ignored, 0, prediction)
        yield from _rows(comparison, case, model, reference, boxes, counted, image.GetSpacing()[::-1])


def check_geometry(reference_file: Path, reference: sitk.Image, prediction_file: Path, prediction: sitk.Image) -> None:
    """Raise a ValueError that names both files and what differs, unless both lie on the same grid."""
    if difference := Grid.of(prediction).difference_from(Grid.of(reference)):
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
    reference_boxes: Boxes,
    prediction: np.ndarray,
    spacing_mm: tuple[float, ...],
) -> Iterator[Row]:
    # Both label maps' boxes in one pass each: a lens must not cost a full volume.
    boxes = (reference_boxes, find_objects(prediction, len(reference_boxes)))
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
