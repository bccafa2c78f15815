"""Not annotated is not background: ``dataset.json`` and the cases that are there must agree on who has which organs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from nnunetv2_focusnet.organs.case_names import cases_in, first_few, nearest_case, same_case
from nnunetv2_focusnet.organs.dataset_json import ANNOTATED, ANNOTATED_TEST, DatasetJson


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
            near = nearest_case(case, cases, dataset.file_ending)
            raise ValueError(
                f'{dataset.source}: "{ANNOTATED}" of "focusnet" lists {case}, but {folder} has no such case{near}:'
                f' correct the name, or move a test case to "{ANNOTATED_TEST}"'
            )
    for case in dataset.annotated_test:
        training = case if case in cases else same_case(case, cases - dataset.annotated.keys(), dataset.file_ending)
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
        if meant := same_case(case, cases - listed, dataset.file_ending):
            raise ValueError(
                f'{dataset.source}: "{ANNOTATED}" or "{ANNOTATED_TEST}" of "focusnet" lists {case}, but the case in'
                f" {folder} is {meant}: correct the name"
            )
    # Training and test cases are listed apart, and references are of the one kind or the other: where a list has some
    # of them, the other list has others.
    lists = dataset.annotated, dataset.annotated_test
    concerned = [part for part in lists if part.keys() & cases] or lists
    absent = [case for part in concerned for case in part if case not in cases]
    if not absent or not cases:
        return None
    return (
        f"{dataset.source} lists what {first_few(absent)} have annotated, but {folder} has no such"
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
