"""Whether the DSC of online validation has stopped rising."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nnunetv2_focusnet.trainers.skipped_steps import mean_of_finite
from side_by_side.curves import GROUPS, Curve

LEAST_LARGE_DSC = 0.75
LEAST_SMALL_DSC = 0.30  # a curve that hasn't left the ground is flat, too
LARGEST_RISE = 0.01


@dataclass(frozen=True)
class Flatness:
    """Whether a trainer's curves have come to their end: of one training, or the mean over several.

    A few epochs' means differ by more than 0.01 by chance. So the DSC at the end is the mean over the last fifth of the
    training time, and that over the fifth before is what it rose from; an epoch counts by the time of it that lies
    there. Nor are these free of chance: see ``small_rise_error``.

    Attributes:
        small_rise: of the DSC over small organs in the last fifth.
        small_rise_error: its standard error, if the epochs' scatter around a line through both fifths is another one by
            chance in each epoch; NaN where both have fewer than three epochs.
        small_end: DSC over small organs at the end.
        large_end: DSC over large organs at the end; NaN if there are none.
    """

    small_rise: float
    small_rise_error: float
    small_end: float
    large_end: float

    @classmethod
    def of(cls, curve: Curve) -> "Flatness":
        small, large = (np.array(curve.dsc[group]) for group in GROUPS)
        last = _weights(curve, small, 5)
        change = last - _weights(curve, small, 4)
        return cls(
            _sum(change, small),
            _scatter(curve, small) * float(np.linalg.norm(change)),
            _sum(last, small),
            _sum(_weights(curve, large, 5), large),
        )

    @classmethod
    def mean(cls, trainings: Sequence["Flatness"]) -> "Flatness":
        """The mean over trainings of one trainer. Not of their mean curve: their epochs don't end at the same time."""
        return cls(
            mean_of_finite([each.small_rise for each in trainings]),
            math.hypot(*(each.small_rise_error for each in trainings)) / len(trainings),
            mean_of_finite([each.small_end for each in trainings]),
            mean_of_finite([each.large_end for each in trainings]),
        )

    @property
    def is_flat(self) -> bool:
        """Without large organs the small ones decide alone, and the other way round."""
        has_begun = not (self.large_end <= LEAST_LARGE_DSC or self.small_end <= LEAST_SMALL_DSC)
        return has_begun and not self.small_rise >= LARGEST_RISE

    @property
    def reason(self) -> str:
        """Why it is flat, or not."""
        return (
            f"online DSC of small organs {self.small_rise:+.4f} ± {self.small_rise_error:.4f} in the last fifth (flat: "
            f"below +{LARGEST_RISE:.2f}) to {self.small_end:.2f} (above {LEAST_SMALL_DSC:.2f}), of large organs "
            f"{self.large_end:.2f} at the end (above {LEAST_LARGE_DSC:.2f})"
        )


def _weights(curve: Curve, dsc: np.ndarray, fifth: int) -> np.ndarray:
    """Of each epoch's DSC in the mean over a fifth of the time, 1 to 5; all NaN where no epoch of it has one."""
    starts, ends = _bounds(curve)
    low, high = (fifth - 1) / 5 * ends[-1], fifth / 5 * ends[-1]
    minutes = np.clip(np.minimum(ends, high) - np.maximum(starts, low), 0, None) * np.isfinite(dsc)
    return minutes / minutes.sum() if minutes.any() else np.full(len(dsc), math.nan)


def _sum(weights: np.ndarray, dsc: np.ndarray) -> float:
    return float(weights @ np.nan_to_num(dsc))


def _scatter(curve: Curve, dsc: np.ndarray) -> float:
    """Standard deviation of the last two fifths' epochs around a line."""
    starts, ends = _bounds(curve)
    middle = (starts + ends) / 2
    chosen = np.isfinite(dsc) & (middle > 3 / 5 * ends[-1])
    if chosen.sum() < 3:
        return math.nan
    time, values = middle[chosen], dsc[chosen]
    residuals = values - np.polyval(np.polyfit(time, values, 1), time)
    return math.sqrt(residuals @ residuals / (len(values) - 2))


def _bounds(curve: Curve) -> tuple[np.ndarray, np.ndarray]:
    """Minutes at which each epoch starts and ends."""
    ends = np.array(curve.minutes)
    return np.concatenate([[0.0], ends[:-1]]), ends
