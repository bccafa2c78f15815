"""What ``dataset.json`` says, checked: the one place where this package reads it."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nnunetv2_focusnet.organs.names import words_and_side
from nnunetv2_focusnet.system.json_files import read_object

BACKGROUND, IGNORE = "background", "ignore"
ROI_SCALE = 3.0  # paper, section 2 (SOS-Net) and table 2
ANNOTATED, ANNOTATED_TEST = "annotated", "annotated_test"
SETTINGS = ("small_organs", "roi_scale", ANNOTATED, ANNOTATED_TEST, "left_right_pairs")
LONGEST_VALUE = 80  # characters of it in a message
Cases = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class DatasetJson:
    """A ``dataset.json`` that holds what nnU-Net and this package need, made by :meth:`read` or :meth:`check`.

    Attributes:
        source: the file, for messages.
        labels: organ to its value in the label maps, from 1 without a gap; background and ignore label aren't among
            them. In the file's order.
        ignore_label: value of voxels that are neither trained nor counted: the highest one. None: there is no such.
        file_ending: of images and label maps, with its dot.
        small_organs: organs that are named as small; None: their size decides.
        roi_scale: length of an organ's ROI by that of the organ.
        annotated: training case to the organs that it has annotated. Cases that aren't listed have all organs; a
            listed organ without a voxel was looked for and isn't there.
        annotated_test: the same of test cases, whose names training can't know.
        left_right_pairs: (left organ, right organ) of all pairs; None: they are read from the organs' names.
        is_ct: the first channel is called CT, as nnU-Net has to find it for its normalisation.
    """

    source: str
    labels: Mapping[str, int]
    file_ending: str
    ignore_label: int | None = None
    small_organs: tuple[str, ...] | None = None
    roi_scale: float = ROI_SCALE
    annotated: Cases = field(default_factory=dict)
    annotated_test: Cases = field(default_factory=dict)
    left_right_pairs: tuple[tuple[str, str], ...] | None = None
    is_ct: bool = False

    @classmethod
    def read(cls, file: Path, remedy: str = "") -> DatasetJson:
        """Read and check a file.

        Args:
            file: a dataset.json.
            remedy: what to do if there is none.

        Raises:
            ValueError: as :func:`nnunetv2_focusnet.system.json_files.read_object` and :meth:`check`.
        """
        return cls.check(read_object(file, remedy), file)

    @classmethod
    def check(cls, content: Any, source: Path | str = "dataset.json") -> DatasetJson:
        """Check what nnU-Net read from a dataset.json.

        Args:
            content: what the file holds.
            source: the file, for messages.

        Raises:
            ValueError: something is missing, is of another kind, or contradicts itself; one line with file, key and
                what it has to be.
        """
        try:
            if not isinstance(content, dict):
                raise ValueError(f"must be an object with labels and file_ending, got {_shown(content)}")
            labels, ignore_label = _labels(content)
            settings = _settings(content, labels)
            return cls(str(source), labels, _file_ending(content), ignore_label, **settings, is_ct=_is_ct(content))
        except ValueError as error:
            # names may have line breaks
            raise ValueError(f"{source}: {' '.join(str(error).splitlines())}") from None

    @property
    def values(self) -> frozenset[int]:
        """All values that label maps may hold."""
        return frozenset({0, *self.labels.values()} | ({self.ignore_label} if self.ignore_label is not None else set()))

    @property
    def unannotated(self) -> dict[str, frozenset[int]]:
        """Labels of the organs that aren't annotated, by listed case, be it of training or of test."""
        return {
            case: frozenset(label for organ, label in self.labels.items() if organ not in organs)
            for case, organs in (*self.annotated.items(), *self.annotated_test.items())
        }


def channels_of(content: Mapping[str, Any]) -> Mapping[str, str]:
    """Name of each channel by its number, of a dataset.json that nnU-Net has taken; its older files say "modality"."""
    channels: Mapping[str, str] = content.get("channel_names") or content["modality"]
    return channels


def organ_labels(labels: Mapping[str, int]) -> dict[str, int]:
    """Labels without background and ignore label."""
    return {name: value for name, value in labels.items() if name not in (BACKGROUND, IGNORE)}


def _labels(content: Mapping[str, Any]) -> tuple[dict[str, int], int | None]:
    """Values of the organs, and that of the ignore label."""
    labels = _required(content, "labels", "the values of background and organs by name")
    if not isinstance(labels, dict):
        raise ValueError(f'"labels" must be an object of names with their values, got {_shown(labels)}')
    _check_names(list(labels))
    if regions := [name for name, value in labels.items() if isinstance(value, list | tuple)]:
        raise ValueError(
            f'"labels" has regions (lists of values) for {", ".join(regions)}: give each organ one value of its own'
        )
    for name, value in labels.items():
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f'"labels" must have an integer for {name}, got {_shown(value)}')
    if labels.get(BACKGROUND) != 0:
        raise ValueError(f'"labels" must have "{BACKGROUND}": 0, got {_shown(labels.get(BACKGROUND))} for it')
    _check_values(labels)
    organs = organ_labels(labels)
    if not organs:
        raise ValueError('"labels" has no organ: add one')
    return organs, labels.get(IGNORE)


def _check_names(names: Sequence[str]) -> None:
    if not all(isinstance(name, str) and name.strip() for name in names):
        raise ValueError('"labels" has a name without a character: name the organ')
    spellings: dict[str, str] = {}
    for name in names:
        bare = " ".join(name.split())
        reserved = bare.casefold()
        if reserved in (BACKGROUND, IGNORE) and name != reserved:
            raise ValueError(f'"labels" has {_shown(name)}, which nnU-Net takes for an organ: write "{reserved}"')
        if bare in spellings:
            raise ValueError(f'"labels" has {_shown([spellings[bare], name])}, which differ in spaces only: rename one')
        spellings[bare] = name


def _check_values(labels: Mapping[str, int]) -> None:
    """As nnU-Net counts them: from 0 without a gap, the ignore label last."""
    for value, times in Counter(labels.values()).items():
        if times > 1:
            names = ", ".join(name for name, other in labels.items() if other == value)
            raise ValueError(f'"labels" has the value {value} for {names}: give each a value of its own')
    highest = max(labels.values())
    if labels.get(IGNORE, highest) != highest:
        raise ValueError(f'"labels" must have the highest value for "{IGNORE}", got {labels[IGNORE]} below {highest}')
    values, expected = set(labels.values()), set(range(len(labels)))
    if values != expected:
        wrong, unused = min(values - expected), sorted(expected - values)
        raise ValueError(
            f'"labels" must have the values 0 to {len(labels) - 1} without a gap, got {wrong} for'
            f" {', '.join(name for name in labels if labels[name] == wrong)} and none of {', '.join(map(str, unused))}:"
            " number the organs anew, in the label maps, too"
        )


def _file_ending(content: Mapping[str, Any]) -> str:
    ending = _required(content, "file_ending", 'that of images and label maps, such as ".nii.gz"')
    if not isinstance(ending, str) or not ending.startswith(".") or len(ending) == 1:
        raise ValueError(f'"file_ending" must be one such as ".nii.gz", got {_shown(ending)}')
    return ending


def _is_ct(content: Mapping[str, Any]) -> bool:
    channels = content.get("channel_names") or content.get("modality")
    return isinstance(channels, dict) and str(channels.get("0")).casefold() == "ct"


def _required(content: Mapping[str, Any], key: str, meaning: str) -> Any:
    if key not in content:
        raise ValueError(f'has no "{key}" ({meaning}): add it')
    return content[key]


def _settings(content: Mapping[str, Any], organs: Mapping[str, int]) -> dict[str, Any]:
    """What "focusnet" sets, by attribute."""
    given = content.get("focusnet", {})
    if not isinstance(given, dict):
        raise ValueError(f'"focusnet" must be an object with {", ".join(SETTINGS)}, got {_shown(given)}')
    if unknown := [key for key in given if key not in SETTINGS]:
        raise ValueError(f'"focusnet" has unknown keys {", ".join(unknown)}; it knows {", ".join(SETTINGS)}')
    settings: dict[str, Any] = {}
    if "small_organs" in given:
        settings["small_organs"] = _organ_list(given["small_organs"], '"small_organs" of "focusnet"', organs)
    if "roi_scale" in given:
        settings["roi_scale"] = _roi_scale(given["roi_scale"])
    for key in (ANNOTATED, ANNOTATED_TEST):
        settings[key] = _cases(given.get(key, {}), key, organs)
    if both := sorted(settings[ANNOTATED].keys() & settings[ANNOTATED_TEST].keys()):
        raise ValueError(f'"{ANNOTATED}" and "{ANNOTATED_TEST}" of "focusnet" both list {", ".join(both)}: keep one')
    if "left_right_pairs" in given:
        settings["left_right_pairs"] = _pairs(given["left_right_pairs"], organs)
    return settings


def _roi_scale(scale: Any) -> float:
    if isinstance(scale, bool) or not isinstance(scale, int | float) or not 1 < scale < math.inf:
        raise ValueError(f'"roi_scale" of "focusnet" must be a number above 1, got {_shown(scale)}')
    return float(scale)


def _cases(given: Any, key: str, organs: Mapping[str, int]) -> dict[str, tuple[str, ...]]:
    if not isinstance(given, dict):
        raise ValueError(f'"{key}" of "focusnet" must be an object of cases with lists of organs, got {_shown(given)}')
    return {case: _organ_list(names, f'"{key}" of "focusnet", for {case},', organs) for case, names in given.items()}


def _pairs(given: Any, organs: Mapping[str, int]) -> tuple[tuple[str, str], ...]:
    where = '"left_right_pairs" of "focusnet"'
    if not isinstance(given, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in given):
        raise ValueError(f'{where} must be a list of ["LEFT ORGAN", "RIGHT ORGAN"], got {_shown(given)}')
    _organ_list([name for pair in given for name in pair], where, organs)
    for left, right in given:
        if words_and_side(left)[1] == "r" or words_and_side(right)[1] == "l":
            raise ValueError(f"{where} has {_shown([left, right])}, but the left organ comes first: turn them round")
    return tuple((left, right) for left, right in given)


def _organ_list(given: Any, where: str, organs: Mapping[str, int]) -> tuple[str, ...]:
    """Organs that are named, each once."""
    if not isinstance(given, list) or not all(isinstance(name, str) for name in given):
        raise ValueError(f"{where} must be a list of organs, got {_shown(given)}")
    if unknown := [name for name in given if name not in organs]:
        raise ValueError(f"{where} has {', '.join(unknown)}, but the organs are {', '.join(organs)}")
    if twice := [name for name, times in Counter(given).items() if times > 1]:
        raise ValueError(f"{where} has {', '.join(twice)} twice: name each organ once")
    return tuple(given)


def _shown(value: Any) -> str:
    """As the file has it, but not longer than a line."""
    text = json.dumps(value, ensure_ascii=False, default=repr)
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]} ..."
