"""Steps in half precision whose loss or gradient overflowed: the gradient scaler skips their update."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

# After so many steps in a row the scaler has come from its first 65536 = 2^16 down to 1: scaling isn't the cause.
MOST_IN_A_ROW = 16
COUNTS = ("tp_hard", "fp_hard", "fn_hard")


class SkippedSteps:
    """Counts them, and collects their cases.

    Attributes:
        in_a_row: those since the last step that was finite.
    """

    def __init__(self) -> None:
        self.in_a_row = 0
        self._number = 0
        self._cases: set[str] = set()

    def count(self, skipped: bool, cases: Sequence[str]) -> bool:
        """Count a step; true if by now there were too many in a row."""
        self.in_a_row = self.in_a_row + 1 if skipped else 0
        if skipped:
            self._number += 1
            self._cases.update(cases)
        return self.in_a_row >= MOST_IN_A_ROW

    def reset(self) -> tuple[int, list[str]]:
        """Number and cases of the steps skipped since the last call."""
        number, cases = self._number, sorted(self._cases)
        self._number, self._cases = 0, set()
        return number, cases


def without_skipped(outputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Outputs of an epoch's steps in which those without a finite loss count for nothing.

    There are as many as before, since nnU-Net stacks those of all processes: such a step has the mean loss of the
    others, and no voxels. If none is finite, they stay as they are.
    """
    finite = [output["loss"] for output in outputs if np.isfinite(output["loss"])]
    if not finite:
        return outputs
    nothing = {"loss": np.mean(finite, 0)} | {
        key: np.zeros_like(outputs[0][key]) for key in COUNTS if key in outputs[0]
    }
    return [output if np.isfinite(output["loss"]) else output | nothing for output in outputs]


def mean_of_finite(values: Sequence[float]) -> float:
    """Mean of the values that are finite; NaN if none is."""
    finite = [value for value in values if math.isfinite(value)]
    return math.fsum(finite) / len(finite) if finite else math.nan
