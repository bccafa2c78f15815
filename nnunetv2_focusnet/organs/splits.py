"""``splits_final.json``, which nnU-Net takes as it is: cases that it misspells or leaves out are never trained."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Any

from nnunetv2_focusnet.organs.case_names import first_few, nearest_case
from nnunetv2_focusnet.system.json_files import read_json


def read_splits(file: Path) -> list[dict[str, list[str]]]:
    """The cases that each fold trains on and validates, ``{"train": [CASES], "val": [CASES]}``.

    Raises:
        ValueError: the file can't be read or has another form.
    """
    try:
        splits = read_json(file)
    except ValueError as error:
        raise ValueError(f"{error}; if it is nnU-Net's own, delete it, and the same split is made again") from None
    if not isinstance(splits, list) or not splits or not all(_is_fold(fold) for fold in splits):
        raise ValueError(f'{file} must be a list of folds {{"train": [CASES], "val": [CASES]}}: correct or delete it')
    return splits


def check_splits(
    file: Path, cases: Collection[str], file_ending: str, not_preprocessed: Collection[str] = ()
) -> str | None:
    """Compare the folds of a cross-validation with the training cases.

    Args:
        file: a splits_final.json; where there is none nnU-Net makes one.
        cases: all training cases.
        file_ending: of their label maps.
        not_preprocessed: cases that have labels, but aren't among those.

    Returns:
        A warning in one line where a fold is validated on cases that it trains on, or cases are in no fold.

    Raises:
        ValueError: the file can't be read or has another form, or a fold names a case that isn't there, or one twice.
    """
    if not file.exists() or not cases:
        return None  # whoever reads the cases says so
    splits = read_splits(file)
    for number, fold in enumerate(splits):
        for part in ("train", "val"):
            for case, times in Counter(fold[part]).items():
                if case in not_preprocessed:
                    raise ValueError(
                        f'{file} has {case} in "{part}" of fold {number}, which isn\'t preprocessed: run'
                        " nnUNetv2_preprocess again, or, if the case was taken out of the dataset, remove it here, too"
                    )
                if case not in cases:
                    near = nearest_case(case, cases, file_ending)
                    raise ValueError(
                        f'{file} has {case} in "{part}" of fold {number}, but there is no such training case{near}:'
                        " correct it, or delete the file, and nnU-Net makes a new one"
                    )
                if times > 1:
                    raise ValueError(f'{file} has {case} in "{part}" of fold {number} twice: name each case once')
    for number, fold in enumerate(splits):
        if both := sorted(set(fold["train"]) & set(fold["val"])):
            return (
                f"{file} has {first_few(both)} among the training and the validation cases of fold {number}: its"
                " validation tells nothing of unseen cases"
            )
    used = {case for fold in splits for part in ("train", "val") for case in fold[part]}
    if unused := sorted(set(cases) - used):
        return f"{file} has {first_few(unused)} in no fold: they are neither trained nor validated"
    return None


def _is_fold(fold: Any) -> bool:
    parts = [fold.get(part) for part in ("train", "val")] if isinstance(fold, dict) else []
    return bool(parts) and all(isinstance(p, list) and p and all(isinstance(c, str) for c in p) for p in parts)
