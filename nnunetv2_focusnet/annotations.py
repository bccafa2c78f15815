"""Not annotated is not background: ``dataset.json`` and the cases that are there must agree on who has which organs."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from pathlib import Path

from nnunetv2_focusnet.dataset_json import ANNOTATED, ANNOTATED_TEST, DatasetJson

NAMED_CASES = 3  # in a warning; the first few show what is meant


def cases_in(folder: Path, file_ending: str) -> set[str]:
    """Cases that have a label map in a folder."""
    return {path.name.removesuffix(file_ending) for path in folder.glob(f"*{file_ending}")}


def check_training_cases(dataset: DatasetJson, folder: Path) -> None:
    """Compare the listed cases with the training cases: one that is misspelt would count as having all organs.

    Args:
        dataset: the dataset.json.
        folder: label maps of all training cases.

    Raises:
        ValueError: ``annotated`` names no training case, or ``annotated_test`` names one; with the case that is meant.
    """
    cases = cases_in(folder, dataset.file_ending)
    if not cases:
        return  # whoever reads them says so
    for case in dataset.annotated:
        if case not in cases:
            raise ValueError(
                f'{dataset.source}: "{ANNOTATED}" of "focusnet" lists {case}, but {folder} has no such case'
                f'{_meant(case, cases, dataset)}: correct the name, or move a test case to "{ANNOTATED_TEST}"'
            )
    for case in dataset.annotated_test:
        training = case if case in cases else _same(case, cases - dataset.annotated.keys(), dataset)
        if training is not None:
            raise ValueError(
                f'{dataset.source}: "{ANNOTATED_TEST}" of "focusnet" lists {case}, but {training} is a training case:'
                f' list it in "{ANNOTATED}"'
            )


def check_reference_cases(dataset: DatasetJson, folder: Path) -> str | None:
    """Compare the listed cases with a folder of references, which may hold some cases only.

    Args:
        dataset: the dataset.json.
        folder: label maps of the references.

    Returns:
        A warning in one line where listed cases have no reference here: whether that is meant can't be told.

    Raises:
        ValueError: a listed case has no reference, but a case that isn't listed has the same name but for its spelling.
    """
    cases = cases_in(folder, dataset.file_ending)
    listed = dataset.unannotated.keys()
    absent = [case for case in listed if case not in cases]
    for case in absent:
        if meant := _same(case, cases - listed, dataset):
            raise ValueError(
                f'{dataset.source}: "{ANNOTATED}" or "{ANNOTATED_TEST}" of "focusnet" lists {case}, but the case in'
                f" {folder} is {meant}: correct the name"
            )
    if not absent or not cases:
        return None
    more = f" and {len(absent) - NAMED_CASES} more" if len(absent) > NAMED_CASES else ""
    return (
        f"{dataset.source} lists what {', '.join(absent[:NAMED_CASES])}{more} have annotated, but {folder} has no such"
        " references: if one of these is to be compared, correct its name, as cases that aren't listed have all organs"
    )


def check_label_files(dataset: DatasetJson, files: Mapping[Path, Collection[int]]) -> None:
    """Compare what isn't annotated with the label files of the training cases.

    Args:
        dataset: the dataset.json.
        files: the labels that each label file holds.

    Raises:
        ValueError: a file holds an organ that isn't annotated there.
    """
    unannotated = dataset.unannotated
    for path, labels in files.items():
        case = path.name.removesuffix(dataset.file_ending)
        missing = unannotated.get(case, ())
        if held := [name for name, label in dataset.labels.items() if label in missing and label in labels]:
            raise ValueError(
                f'{path} holds {", ".join(held)}, but "{ANNOTATED}" of "focusnet" in dataset.json leaves them out for'
                f" {case}: add them there, or remove them from the file in labelsTr of nnUNet_raw, then plan and"
                " preprocess again."
            )


def _meant(case: str, cases: Collection[str], dataset: DatasetJson) -> str:
    same = _same(case, cases, dataset)
    nearest = [same] if same else get_close_matches(case, sorted(cases), n=1)
    return f" (nearest: {nearest[0]})" if nearest else ""


def _same(case: str, cases: Collection[str], dataset: DatasetJson) -> str | None:
    """The case whose name differs in spelling alone: file ending, channel, case, separators, zeros before a number."""
    spelt = _bare(case, dataset.file_ending)
    return next((other for other in sorted(cases) if _bare(other, dataset.file_ending) == spelt), None)


def _bare(case: str, file_ending: str) -> tuple[str, ...]:
    name = unicodedata.normalize("NFKC", case).strip().casefold()
    name = re.sub(r"(_0000)?(\.nii|\.nrrd|\.mha)?(\.gz)?$", "", name.removesuffix(file_ending.casefold()))
    words = re.findall(r"\d+|[^\W\d_]+", name)
    return tuple(word.lstrip("0") or "0" for word in words)
