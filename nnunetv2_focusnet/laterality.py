"""Left and right: paired organs, and the axis they mirror along."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from batchgenerators.utilities.file_and_folder_operations import load_pickle

from nnunetv2_focusnet.images.properties import direction_of
from nnunetv2_focusnet.organs.case_names import first_few
from nnunetv2_focusnet.organs.dataset_json import organ_labels
from nnunetv2_focusnet.organs.pairs import Pair, Sides, find_sides
from nnunetv2_focusnet.organs.plans_entry import Laterality
from nnunetv2_focusnet.system.folders import files_with_ending

LARGEST_ANGLE_DEGREES = 10.0
SAY_SO = 'name all pairs in dataset.json, "focusnet": {"left_right_pairs": [["LEFT", "RIGHT"], ...]}'


@dataclass(frozen=True)
class LeftRight:
    """What is known about left and right in a dataset.

    Attributes:
        pairs: (left label, right label) of the paired organs.
        laterality: where left and right are in all cases; None: not in the same place, not known, or no organ is on a
            side.
        unsafe_axes: axes along which neither training nor prediction may mirror as stock nnU-Net does, without swapping
            labels. That of ``laterality`` is among them. Empty if no organ is on a side.
        message: one line for the log.
    """

    pairs: tuple[tuple[int, int], ...]
    laterality: Laterality | None
    unsafe_axes: tuple[int, ...]
    message: str

    @property
    def axis(self) -> int | None:
        """The axis along which a flip swaps the pairs; None: none may be made."""
        return self.laterality.axis if self.laterality and self.laterality.may_flip else None


def swap_table(pairs: Iterable[tuple[int, int]], num_labels: int) -> list[int]:
    """The label that each label turns into when the image is flipped left-right."""
    table = list(range(num_labels))
    for left, right in pairs:
        table[left], table[right] = right, left
    return table


def load_properties(preprocessed_configuration_folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (case, properties) of all preprocessed cases, sorted by case."""
    for path in files_with_ending(preprocessed_configuration_folder, ".pkl"):
        yield path.stem, load_pickle(str(path))


def find_left_right(
    cases: Iterable[tuple[str, Mapping[str, Any]]],
    labels: Mapping[str, int],
    transpose_forward: Sequence[int],
    named_pairs: Sequence[Pair] | None = None,
) -> LeftRight:
    """Find the paired organs and the axis along which flipping swaps them.

    Networks see arrays, not directions. So there is such an axis only if all cases have left on the same side of the
    same axis, with at most 10 degrees between that axis and the patient's. And each organ on one side must have its
    partner: a flip would make it an organ of the other side that keeps its name. Where no organ is on a side the
    question doesn't arise.

    Args:
        cases: (case, nnU-Net's properties of it), as :func:`load_properties` yields them.
        labels: organ to label; background and ignore label are left out.
        transpose_forward: of the plans.
        named_pairs: (left, right) organs of all pairs; None: they are read from the names.
    """
    labels = organ_labels(labels)
    sides = find_sides(list(labels), named_pairs)
    hint = _hint(sides)
    if not (sides.pairs or sides.lonely or sides.doubtful or sides.unlike):
        return LeftRight((), None, (), f"No organ's name tells a side, so mirroring is nnU-Net's{hint}.")
    pairs = tuple((labels[left], labels[right]) for left, right in sides.pairs)
    ends, faults = _find_ends(cases, transpose_forward)
    axes = tuple(sorted({axis for axis, _ in ends}))
    faults = _without_partner(sides) + faults
    laterality = Laterality(*ends[0], pairs, may_flip=not faults) if len(ends) == 1 else None
    if faults:
        where = f"axis {axes[0]}" if len(axes) == 1 else f"axes {', '.join(map(str, axes))}"
        return LeftRight(pairs, laterality, axes, f"No mirroring along {where}, as {'; '.join(faults)}{hint}.")
    swapped = ", ".join(f"{left}/{right}" for left, right in sides.pairs)
    return LeftRight(pairs, laterality, axes, f"Left-right flips go along axis {axes[0]} and swap {swapped}{hint}.")


def _without_partner(sides: Sides) -> list[str]:
    """Why organs' names forbid a flip."""
    faults = []
    if sides.lonely:
        lonely = ", ".join(sides.lonely)
        faults.append(f"no partner was found for {lonely}; if there is one, correct its name, or {SAY_SO}")
    if sides.doubtful:
        faults.append(f"{_listed(sides.doubtful)} may be left and right, or not; {SAY_SO}, or [] for none")
    if sides.unlike:
        faults.append(f"{_listed(sides.unlike)} are no mirror images; if a flip may swap them all the same, {SAY_SO}")
    return faults


def _hint(sides: Sides) -> str:
    if not sides.similar:
        return ""
    return f"; {_listed(sides.similar)} are taken for organs without sides; if they are left and right, {SAY_SO}"


def _listed(pairs: Sequence[Pair]) -> str:
    return ", ".join(f"{left}/{right}" for left, right in pairs)


def left_end(properties: Mapping[str, Any], transpose_forward: Sequence[int]) -> tuple[int, bool] | None:
    """The network's axis (0, 1, 2) that leads from right to left, and whether left is at its end; None: not known.

    Args:
        properties: of a case, as nnU-Net's preprocessing returns them.
        transpose_forward: of the plans.
    """
    left = _left_in_array(properties)
    return None if left is None else _end(left[list(transpose_forward)])


def _end(left: np.ndarray) -> tuple[int, bool]:
    axis = int(np.abs(left).argmax())
    return axis, bool(left[axis] > 0)


def _find_ends(
    cases: Iterable[tuple[str, Mapping[str, Any]]], transpose_forward: Sequence[int]
) -> tuple[list[tuple[int, bool]], list[str]]:
    """Axes that may be the left-right axis, whether left is at their end, and why flips don't swap sides everywhere."""
    ends: dict[tuple[int, bool], list[str]] = {}  # axis, and whether left is at its end -> cases
    oblique, unknown = [], []
    for case, properties in cases:
        left = _left_in_array(properties)
        if left is None:
            unknown.append(case)
            continue
        left = left[list(transpose_forward)]
        axis, at_end = _end(left)
        ends.setdefault((axis, at_end), []).append(case)
        if np.degrees(np.arccos(min(1.0, abs(left[axis])))) > LARGEST_ANGLE_DEGREES:
            oblique.append(case)
    if unknown or not ends:
        anywhere = [(axis, False) for axis in range(3)]
        return anywhere, [f"the images' direction isn't known{_of(unknown)}: store it in the images"]
    if len(ends) > 1:
        rare = min(ends.values(), key=len)
        return list(ends), [f"left isn't on the same side of the same axis{_of(rare)}: reorient the images"]
    if oblique:
        angle = f"more than {LARGEST_ANGLE_DEGREES:g} degrees off the grid"
        return list(ends), [f"the left-right axis is {angle}{_of(oblique)}: resample the images to an upright grid"]
    return list(ends), []


def _of(cases: Sequence[str]) -> str:
    return f" in {first_few(cases)}" if cases else ""


def _left_in_array(properties: Mapping[str, Any]) -> np.ndarray | None:
    """Unit vector (z, y, x), in the array as read, that points to the patient's left; None if that isn't known."""
    direction = direction_of(properties)
    return None if direction is None else direction[0, ::-1]
