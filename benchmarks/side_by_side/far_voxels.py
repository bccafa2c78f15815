"""Voxels that are predicted far away from their organ, which overlaps hardly show."""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd
from scipy.ndimage import distance_transform_edt, find_objects

from nnunetv2_focusnet.compare.cases import Comparison
from nnunetv2_focusnet.images.reading import read_labels
from nnunetv2_focusnet.system.processes import map_in_processes

FAR_MM = 10.0


def count_far(
    reference: np.ndarray, predictions: Mapping[str, np.ndarray], spacing_mm: Sequence[float]
) -> dict[str, int]:
    """Voxels that each model predicts more than 10 mm away from an organ; all of them where there is no organ.

    Args:
        reference: bool (Z, Y, X).
        predictions: bool (Z, Y, X), by model.
        spacing_mm: size of a voxel (z, y, x) in mm, between whose centres distances are.
    """
    boxes = find_objects(reference.astype(np.uint8))
    if not boxes:
        return {model: int(predicted.sum()) for model, predicted in predictions.items()}
    margins = [int(FAR_MM / mm) + 1 for mm in spacing_mm]
    box = tuple(slice(max(0, s.start - m), s.stop + m) for s, m in zip(boxes[0], margins, strict=True))
    near = distance_transform_edt(~reference[box], sampling=spacing_mm) <= FAR_MM
    return {model: int(predicted.sum() - predicted[box][near].sum()) for model, predicted in predictions.items()}


def add_far_voxels(measurements: pd.DataFrame, comparison: Comparison, num_processes: int) -> pd.DataFrame:
    """The measurements of a comparison with one more column, ``far_voxels``."""
    organs = {case: sorted(set(of_case["organ"])) for case, of_case in measurements.groupby("case")}
    counted = map_in_processes(partial(_count_in_case, comparison), list(organs.items()), num_processes)
    rows = [row for of_case in counted for row in of_case]
    return measurements.merge(pd.DataFrame(rows), on=["case", "organ", "model"], validate="one_to_one")


def _count_in_case(comparison: Comparison, case_and_organs: tuple[str, Sequence[str]]) -> list[dict[str, object]]:
    case, organs = case_and_organs
    values = dict(comparison.labels)
    if comparison.ignore_label is not None:
        values["ignore"] = comparison.ignore_label
    reference, image = read_labels(comparison.reference_file(case), values)
    spacing_mm = image.GetSpacing()[::-1]
    counted = reference != comparison.ignore_label
    predictions = {
        model: np.where(counted, read_labels(comparison.prediction_file(model, case), values)[0], 0)
        for model in comparison.predictions
    }
    rows: list[dict[str, object]] = []
    for organ in organs:
        label = comparison.labels[organ]
        far = count_far(reference == label, {model: map_ == label for model, map_ in predictions.items()}, spacing_mm)
        rows += [{"case": case, "organ": organ, "model": model, "far_voxels": n} for model, n in far.items()]
    return rows
