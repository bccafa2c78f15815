"""What a user must look at in a prediction: organs not found, found twice, on the wrong side or of odd size."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import numpy as np

from nnunetv2_focusnet.inference.positions import Positions
from nnunetv2_focusnet.organs.organ import Organ
from nnunetv2_focusnet.organs.plans_entry import Laterality, PlansEntry

SECOND_PEAK = 0.5  # of the first one, from which on it is worth a look
VOLUME_FACTOR = 2.0  # smaller or larger by it than every organ in training
PAIRS_FOR_MIDLINE = 3  # fewer don't tell where it is
SURELY_BESIDE_MIDLINE_MM = 5.0


@dataclass(frozen=True)
class Place:
    """Where heat maps say that an organ is; positions are (z, y, x) in voxels of the preprocessed image.

    Attributes:
        peak: probability of the highest voxel.
        position: of its centre.
        second_peak: the same, outside the organ's ROI and that of the organ on the other side.
        second_position: of this one.
        found: whether the peak is high enough.
        apart_mm: distance of the two.
        inside_mm3: what the main network sees of it in its ROI; 0 if it wasn't segmented there.
        elsewhere_mm3: likewise in no ROI.
    """

    peak: float
    position: Sequence[float]
    second_peak: float
    second_position: Sequence[float]
    found: bool
    apart_mm: float
    inside_mm3: float
    elsewhere_mm3: float

    def moved(self, by: Sequence[int]) -> Place:
        """The same in an image whose voxels count from elsewhere."""
        first, second = (
            [at + step for at, step in zip(each, by, strict=True)] for each in (self.position, self.second_position)
        )
        return replace(self, position=first, second_position=second)


@dataclass(frozen=True)
class PredictedOrgan:
    """An organ as it was predicted.

    Attributes:
        organ: as training had it.
        volume_mm3: predicted.
        centre: mean position of its voxels along the left-right axis, in mm to the left; None: there are none, or left
            isn't known.
        place: None: it has no heat map.
    """

    organ: Organ
    volume_mm3: float
    centre: float | None
    place: Place | None


@dataclass(frozen=True)
class Findings:
    """What to know of a predicted image.

    Attributes:
        organs: sorted by label.
        warnings: a line each.
        laterality: of the plans.
    """

    organs: Sequence[PredictedOrgan]
    warnings: Sequence[str]
    laterality: Laterality | None

    def with_direction(self, left_end: tuple[int, bool] | None) -> Findings:
        """The same, with a warning if the image lies another way than those of training.

        Args:
            left_end: axis of the network from right to left, and whether left is at its end; None: not known.
        """
        trained = self.laterality
        if trained is None or left_end in (None, (trained.axis, trained.left_at_end)):
            return self
        warning = (
            "the patient's left is on another side of the image than in training, where left and right organs may be"
            " taken for each other: reorient the image and predict it again"
        )
        return replace(self, warnings=[*self.warnings, warning])

    def as_json(self, positions: Positions) -> dict[str, Any]:
        """What goes into the file beside the prediction; positions are (x, y, z), of voxels or in mm."""
        return {
            "warnings": list(self.warnings),
            "organs": {each.organ.name: _organ_as_json(each, positions) for each in self.organs},
        }


def measure(labels: np.ndarray, entry: PlansEntry, places: Mapping[int, Place], spacing: Sequence[float]) -> Findings:
    """Look for what a user must look at.

    Args:
        labels: (Z, Y, X), the label map with its axes in the network's order, on the image's own voxels.
        entry: of the model's plans.
        places: of the small organs that have heat maps, by label.
        spacing: of the label map, (z, y, x) in mm.
    """
    sides = entry.laterality
    voxels, centres = _measure_labels(labels, sides.axis if sides else 0, {o.label for o in entry.organs})
    step = (spacing[sides.axis] if sides.left_at_end else -spacing[sides.axis]) if sides else 0.0
    voxel_mm3 = math.prod(spacing)
    organs = [
        PredictedOrgan(
            organ,
            volume_mm3=float(voxels[organ.label] * voxel_mm3),
            centre=float(centres[organ.label] * step) if sides and voxels[organ.label] else None,
            place=places.get(organ.label),
        )
        for organ in entry.organs
    ]
    warnings = [line for each in organs for line in _warnings(each)]
    return Findings(organs, [*warnings, *(_side_warnings(organs, sides) if sides else ())], sides)


def _measure_labels(labels: np.ndarray, axis: int, organs: set[int]) -> tuple[np.ndarray, np.ndarray]:
    """Voxels of each class in the label map, and their mean index along an axis; the map may have other organs, too."""
    slices = np.moveaxis(labels, axis, 0).astype(np.uint16, copy=False)
    classes = 1 + max(*organs, int(slices.max()))
    voxels = np.array([np.bincount(each.ravel(), minlength=classes) for each in slices])
    total = voxels.sum(0)
    return total, np.arange(len(voxels)) @ voxels / total.clip(min=1)


def _warnings(predicted: PredictedOrgan) -> Iterator[str]:
    organ, place = predicted.organ, predicted.place
    smallest, largest = organ.volume_range_mm3
    least = smallest / VOLUME_FACTOR
    if place is not None and not place.found:
        yield f"{organ.name} was not found: the peak of its heat map is {place.peak:.2f}"
    if predicted.volume_mm3 == 0:
        yield f"{organ.name} has no voxel"
    elif not least <= predicted.volume_mm3 <= largest * VOLUME_FACTOR:
        yield (f"{organ.name} has {predicted.volume_mm3:.0f} mm3; in training it had {smallest:.0f} to {largest:.0f}")
    if place is not None and place.found and place.second_peak > SECOND_PEAK * place.peak:
        yield (
            f"{organ.name} may be elsewhere: {place.apart_mm:.0f} mm from its heat map's peak ({place.peak:.2f})"
            f" there is a second one ({place.second_peak:.2f})"
        )
    if place is not None and place.elsewhere_mm3 >= least and place.elsewhere_mm3 > place.inside_mm3:
        yield (
            f"{organ.name} may be elsewhere: the main network sees {place.elsewhere_mm3:.0f} mm3 of it outside of the"
            f" ROI around its heat map's peak, and {place.inside_mm3:.0f} mm3 inside"
        )


def _side_warnings(organs: Sequence[PredictedOrgan], sides: Laterality) -> Iterator[str]:
    known = {each.organ.label: each for each in organs if each.centre is not None}
    pairs = [(known[left], known[right]) for left, right in sides.pairs if left in known and right in known]
    middles = [(left.centre + right.centre) / 2 for left, right in pairs]  # type: ignore[operator]
    for left, right in pairs:
        names = f"{left.organ.name} and {right.organ.name}"
        gap = left.centre - right.centre  # type: ignore[operator]
        thickness = (left.organ.extent_mm[sides.axis] + right.organ.extent_mm[sides.axis]) / 2
        if gap <= -thickness / 2:
            yield f"{names} have changed sides"
        elif gap < thickness / 2:
            yield f"{names} lie on one side: their centres are {abs(gap):.0f} mm apart from left to right"
        elif len(pairs) >= PAIRS_FOR_MIDLINE and sides.may_flip:  # else images may be oblique, and have no such middle
            beside = [each.centre - median(middles) for each in (left, right)]  # type: ignore[operator]
            if min(beside) > SURELY_BESIDE_MIDLINE_MM or max(beside) < -SURELY_BESIDE_MIDLINE_MM:
                yield f"{names} lie on one side of the middle between the other pairs"


def _organ_as_json(predicted: PredictedOrgan, positions: Positions) -> dict[str, Any]:
    organ, place = predicted.organ, predicted.place
    content: dict[str, Any] = {
        "label": organ.label,
        "volume_mm3": round(predicted.volume_mm3, 1),
        "volume_range_in_training_mm3": list(organ.volume_range_mm3),
    }
    if place is not None:
        content["found"] = place.found
        content["peak"] = _peak_as_json(place.peak, place.position, positions)
        content["second_peak"] = _peak_as_json(place.second_peak, place.second_position, positions)
    return content


def _peak_as_json(probability: float, position: Sequence[float], positions: Positions) -> dict[str, Any]:
    mm = positions.patient_mm(position)
    return {
        "probability": round(probability, 3),
        "voxel": positions.index(position).round().astype(int).tolist(),
        "mm": None if mm is None else mm.round(1).tolist(),
    }
