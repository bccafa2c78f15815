"""Left and right: paired organs, the axis they mirror along, and a flip that keeps their labels true."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from batchgenerators.utilities.file_and_folder_operations import load_pickle
from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform

from nnunetv2_focusnet.folders import files_with_ending
from nnunetv2_focusnet.organ_names import RIGHT_OF_LEFT, tokens

LARGEST_ANGLE_DEGREES = 10.0
NAMED_CASES = 3  # in messages; the first few show what is wrong


@dataclass(frozen=True)
class LeftRight:
    """What is known about left and right in a dataset.

    Attributes:
        pairs: (left label, right label) of the paired organs.
        axis: the network's axis (0, 1, 2 for z, y, x) to flip along with swapped labels; None: don't.
        unsafe_axes: axes along which neither training nor prediction may mirror as stock nnU-Net does, without swapping
            labels. ``axis`` is among them.
        message: one line for the log.
    """

    pairs: tuple[tuple[int, int], ...]
    axis: int | None
    unsafe_axes: tuple[int, ...]
    message: str


class LeftRightFlipTransform(BasicTransform):  # type: ignore[misc]
    """Flips along the left-right axis and swaps paired labels, with probability 0.5, as MirrorTransform flips an axis.

    Works on (C, z, y, x) images and segmentations; every channel of a segmentation holds labels. Labels without a
    partner, the ignore label and -1 (outside of the image) stay what they are.

    Args:
        axis: spatial axis to flip along, 0, 1, 2 for z, y, x.
        pairs: (left label, right label) of the paired organs.
    """

    def __init__(self, axis: int, pairs: Sequence[tuple[int, int]]) -> None:
        super().__init__()
        self.axis = axis
        self.table = torch.tensor(swap_table(pairs, 1 + max((label for pair in pairs for label in pair), default=0)))

    def get_parameters(self, **data_dict: Any) -> dict[str, bool]:
        """Draw whether to flip this sample."""
        return {"flip": bool(torch.rand(1) < 0.5)}

    def _apply_to_image(self, img: torch.Tensor, **params: bool) -> torch.Tensor:
        return torch.flip(img, [self.axis + 1]) if params["flip"] else img

    def _apply_to_regr_target(self, regression_target: torch.Tensor, **params: bool) -> torch.Tensor:
        return self._apply_to_image(regression_target, **params)

    def _apply_to_segmentation(self, segmentation: torch.Tensor, **params: bool) -> torch.Tensor:
        if not params["flip"]:
            return segmentation
        flipped = torch.flip(segmentation, [self.axis + 1])
        largest = len(self.table) - 1
        swapped = self.table[flipped.clamp(0, largest).long()].to(flipped.dtype)
        return torch.where((flipped >= 0) & (flipped <= largest), swapped, flipped)

    def _apply_to_bbox(self, bbox: Any, **params: bool) -> Any:
        raise NotImplementedError

    def _apply_to_keypoints(self, keypoints: Any, **params: bool) -> Any:
        raise NotImplementedError


def find_pairs(labels: Mapping[str, int]) -> list[tuple[int, int]]:
    """Pairs of (left label, right label), read from names such as ``Parotid_L``, ``Lens-Lt``, ``LeftEye``, ``Eye_AL``.

    A label is paired only if the name that has right in place of left is another label's, whatever their case and
    separators.

    Args:
        labels: name to label, as in dataset.json; background and ignore label are never paired.
    """
    by_tokens = {tokens(name): name for name in _organ_names(labels)}
    mirrored = {name: by_tokens.get(_mirrored(words)) for words, name in by_tokens.items()}
    return sorted(
        (labels[left], labels[right]) for left, right in mirrored.items() if right is not None and right != left
    )


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
    cases: Iterable[tuple[str, Mapping[str, Any]]], labels: Mapping[str, int], transpose_forward: Sequence[int]
) -> LeftRight:
    """Find the paired organs and the axis along which flipping swaps them.

    Networks see arrays, not directions. So there is such an axis only if all cases have left on the same side of the
    same axis, with at most 10 degrees between that axis and the patient's. Without pairs the question doesn't arise.

    Args:
        cases: (case, nnU-Net's properties of it), as :func:`load_properties` yields them.
        labels: name to label, as in dataset.json.
        transpose_forward: of the plans.
    """
    pairs = tuple(find_pairs(labels))
    if not pairs:
        return LeftRight((), None, (), "No left-right pairs among the label names: mirroring is nnU-Net's.")

    sides: dict[tuple[int, bool], list[str]] = {}  # axis, and whether left is at its end -> cases
    oblique, unknown = [], []
    for case, properties in cases:
        left = _left_in_array(properties)
        if left is None:
            unknown.append(case)
            continue
        left = left[list(transpose_forward)]
        axis = int(np.abs(left).argmax())
        sides.setdefault((axis, bool(left[axis] > 0)), []).append(case)
        if np.degrees(np.arccos(min(1.0, abs(left[axis])))) > LARGEST_ANGLE_DEGREES:
            oblique.append(case)

    if unknown or not sides:
        return _unsafe(pairs, (0, 1, 2), f"the images' direction isn't known{_of(unknown)}", "store it in the images")
    axes = tuple(sorted({axis for axis, _ in sides}))
    if len(sides) > 1:
        rare = min(sides.values(), key=len)
        return _unsafe(pairs, axes, f"left isn't on the same side of the same axis{_of(rare)}", "reorient the images")
    if oblique:
        reason = f"the left-right axis is more than {LARGEST_ANGLE_DEGREES:g} degrees off the grid{_of(oblique)}"
        return _unsafe(pairs, axes, reason, "resample the images to an upright grid")
    names = {label: name for name, label in labels.items()}
    swapped = ", ".join(f"{names[left]}/{names[right]}" for left, right in pairs)
    return LeftRight(
        pairs, axes[0], axes, f"Left-right flips go along axis {axes[0]} and swap {swapped}{_unpaired(labels, pairs)}."
    )


def _unsafe(pairs: tuple[tuple[int, int], ...], axes: tuple[int, ...], reason: str, remedy: str) -> LeftRight:
    where = f"axis {axes[0]}" if len(axes) == 1 else f"axes {', '.join(map(str, axes))}"
    message = f"No mirroring along {where}, as organs come in left-right pairs but {reason}: {remedy} for such flips."
    return LeftRight(pairs, None, axes, message)


def _of(cases: Sequence[str]) -> str:
    if not cases:
        return ""
    more = f" and {len(cases) - NAMED_CASES} more" if len(cases) > NAMED_CASES else ""
    return f" in {', '.join(cases[:NAMED_CASES])}{more}"


def _left_in_array(properties: Mapping[str, Any]) -> np.ndarray | None:
    """Unit vector (z, y, x), in the array as read, that points to the patient's left; None if that isn't known."""
    if "sitk_stuff" in properties:
        direction = np.asarray(properties["sitk_stuff"]["direction"])
        if direction.size != 9:
            return None
        left = direction.reshape(3, 3)[0]  # world coordinates are LPS, columns belong to the axes x, y, z
    elif "nibabel_stuff" in properties:
        affines = properties["nibabel_stuff"]
        columns = np.asarray(affines.get("reoriented_affine", affines["original_affine"]))[:3, :3]
        left = -columns[0] / np.linalg.norm(columns, axis=0)  # world coordinates are RAS
    else:
        return None
    return left[::-1]


def _mirrored(words: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(RIGHT_OF_LEFT.get(word, word) for word in words)


def _organ_names(labels: Mapping[str, int]) -> list[str]:
    return [name for name in labels if name not in ("background", "ignore")]


def _unpaired(labels: Mapping[str, int], pairs: Sequence[tuple[int, int]]) -> str:
    """A hint at misspelt partners: an organ that is named for one side, but isn't paired, keeps its label in a flip."""
    paired = {label for pair in pairs for label in pair}
    sides = RIGHT_OF_LEFT.keys() | set(RIGHT_OF_LEFT.values())
    lonely = [n for n in _organ_names(labels) if labels[n] not in paired and sides.intersection(tokens(n))]
    return f"; no partner was found for {', '.join(lonely)}" if lonely else ""
