"""The validation predictions of a cross-validation, none of them by a model that was trained on the case."""

from __future__ import annotations

from pathlib import Path

from nnunetv2_focusnet.compare.cases import LabelMaps
from nnunetv2_focusnet.organs.splits import read_splits
from nnunetv2_focusnet.system.folders import list_folder


def find_validations(model: Path, preprocessed: Path, file_ending: str) -> LabelMaps:
    """The validation predictions of all folds that a trainer has.

    nnU-Net validates ``fold_all`` on its training cases, so that this one is no part of a cross-validation.

    Args:
        model: a trainer's folder in nnUNet_results.
        preprocessed: folder of the dataset in nnUNet_preprocessed. The splits there are all that tells what a fold was
            trained on; folds beyond them are split at random by nnU-Net and aren't checked.
        file_ending: of label maps.

    Raises:
        ValueError: there is no fold with a validation, or a case was validated twice or by a model that was trained on
            it, a folder can't be listed, or splits_final.json has another form.
    """
    splits_file = preprocessed / "splits_final.json"
    trained_on = [set(fold["train"]) for fold in read_splits(splits_file)] if splits_file.is_file() else []
    files: dict[str, Path] = {}
    for fold in list_folder(model):
        number = fold.name.removeprefix("fold_")
        if not (fold.name.startswith("fold_") and number.isdigit()):
            continue
        of_fold = LabelMaps.in_folder(fold / "validation", file_ending).files
        if int(number) < len(trained_on) and (seen := sorted(of_fold.keys() & trained_on[int(number)])):
            raise ValueError(
                f"{of_fold[seen[0]]} is of a training case, as {splits_file} tells: delete what an earlier split left, "
                "train the fold anew, or name folders with -ref and -pred"
            )
        if twice := sorted(of_fold.keys() & files.keys()):
            raise ValueError(
                f"{of_fold[twice[0]]} was validated in another fold, too ({files[twice[0]]}): folds must not share "
                "cases"
            )
        files |= of_fold
    if not files and list_folder(model / "fold_all" / "validation"):
        raise ValueError(
            f"{model} has fold_all alone, whose validation is on its training cases: train the folds 0 to 4 to compare "
            "a cross-validation"
        )
    if not files:
        raise ValueError(f"{model} has no fold with a validation: train it, or name other plans with -p or -c")
    return LabelMaps(model, dict(sorted(files.items())))
