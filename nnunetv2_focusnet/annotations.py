"""Not annotated is not background: which organs nobody has contoured in a case, as ``dataset.json`` tells."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

ANNOTATED = "annotated"  # key in dataset.json["focusnet"]


def find_unannotated(dataset_json: Mapping[str, Any], organs: Mapping[str, int]) -> dict[str, frozenset[int]]:
    """Labels of the organs that aren't annotated in each case; a case that isn't a key has all of them annotated.

    Args:
        dataset_json: its ``["focusnet"]["annotated"]`` is ``{case: [names of annotated organs]}``. A case that isn't
            listed has all organs annotated, a listed organ without a voxel was looked for and isn't there.
        organs: name to label, without background and ignore label.

    Raises:
        ValueError: the entry has another form, or names an unknown organ.
    """
    entry = dataset_json.get("focusnet")
    annotated = entry.get(ANNOTATED, {}) if isinstance(entry, dict) else {}
    if not isinstance(annotated, dict):
        raise ValueError(
            f'dataset.json: "{ANNOTATED}" of "focusnet" must be an object of cases with lists of organs, '
            f"got {annotated!r}."
        )
    unannotated = {}
    for case, names in annotated.items():
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValueError(
                f'dataset.json: "{ANNOTATED}" of "focusnet" must have a list of names for {case}, got {names!r}.'
            )
        if unknown := [name for name in names if name not in organs]:
            raise ValueError(
                f'dataset.json: "{ANNOTATED}" of "focusnet" has {", ".join(unknown)} for {case}, but the organs are'
                f" {', '.join(organs)}."
            )
        unannotated[case] = frozenset(label for name, label in organs.items() if name not in names)
    return unannotated


def check_unannotated(
    unannotated: Mapping[str, Collection[int]],
    organs: Mapping[str, int],
    files: Mapping[Path, Collection[int]],
    file_ending: str,
) -> None:
    """Compare what isn't annotated with the label files of the training cases.

    Args:
        unannotated: labels of the organs that aren't annotated, by case; test cases may be among them.
        organs: name to label.
        files: the labels that each label file holds.
        file_ending: of the label files.

    Raises:
        ValueError: a file holds an organ that isn't annotated there.
    """
    for path, labels in files.items():
        case = path.name.removesuffix(file_ending)
        missing = unannotated.get(case, ())
        if held := [name for name, label in organs.items() if label in missing and label in labels]:
            raise ValueError(
                f'{path} holds {", ".join(held)}, but "{ANNOTATED}" of "focusnet" in dataset.json leaves them out for'
                f" {case}: add them there, or remove them from the file in labelsTr of nnUNet_raw, then plan and"
                " preprocess again."
            )
