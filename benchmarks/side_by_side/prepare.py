"""From a raw nnU-Net dataset to narrow plans, preprocessed data and a split, all in the benchmark's own folder."""

import os
import re
import shutil
from pathlib import Path

from cpu_plans import CONFIGURATION, NAME, write_narrow_plans
from nnunetv2.utilities.crossval_split import generate_crossval_split

from nnunetv2_focusnet.demo.commands import find_command
from nnunetv2_focusnet.organs.dataset_json import DatasetJson
from nnunetv2_focusnet.system.folders import files_with_ending
from side_by_side.jobs import BenchmarkError, run_jobs
from side_by_side.runs import COARSE
from side_by_side.state import State, read_json, write_json


def find_dataset(folder_or_id: str) -> Path:
    """Folder of a raw dataset.

    Raises:
        BenchmarkError: there is none.
    """
    folder = Path(folder_or_id)
    if folder_or_id.isdecimal():
        raw = Path(os.environ.get("nnUNet_raw", ""))
        found = sorted(raw.glob(f"Dataset{int(folder_or_id):03d}_*"))
        if len(found) != 1:
            raise BenchmarkError(f"nnUNet_raw ({raw}) has {len(found)} datasets with ID {folder_or_id}: name a folder")
        folder = found[0]
    if not (folder / "dataset.json").is_file():
        raise BenchmarkError(f"{folder} has no dataset.json: name the folder of a raw nnU-Net dataset, or its ID")
    folder = folder.resolve()
    if not re.fullmatch(r"Dataset\d{3}_.+", folder.name):
        raise BenchmarkError(f"{folder} isn't named DatasetXXX_NAME, as nnU-Net wants it: rename it")
    return folder


def prepare(state: State, source: Path) -> None:
    """Link, plan, narrow the plans, preprocess and split; done once.

    Raises:
        BenchmarkError: a command failed, or there are too few cases.
    """
    if (state.preprocessed / "splits_final.json").is_file():  # comes last
        return
    for folder in (state.raw, state.preprocessed):
        shutil.rmtree(folder, ignore_errors=True)
    settings = state.settings
    link_dataset(source, state.raw, settings.small_organs)
    number = settings.dataset[len("Dataset") :].split("_")[0]
    workers = ["-np", str(settings.threads)]

    def run(command: str, *arguments: str) -> None:
        run_jobs([state.job("prepare", [find_command(command), "-d", number, *arguments])])

    run("nnUNetv2_extract_fingerprint", *workers)
    plans = [(NAME, settings.spacing, settings.patch)]
    if settings.coarse_spacing:
        plans.append((COARSE, settings.coarse_spacing, settings.coarse_patch))
    for name, spacing, patch in plans:
        wide = f"nnUNetPlansFor{name}"
        target = ["-overwrite_target_spacing", *map(str, spacing)] if spacing else []
        run("nnUNetv2_plan_experiment", "-overwrite_plans_name", wide, *target)
        write_narrow_plans(state.preprocessed, patch, settings.batch, settings.features, wide, name)
        run("nnUNetv2_preprocess", "-plans_name", name, "-c", CONFIGURATION, *workers)
    cases = [path.stem for path in files_with_ending(state.preprocessed / f"{NAME}_{CONFIGURATION}", ".pkl")]
    unseen = choose_unseen(cases, settings.unseen, source)
    write_json(state.unseen_file, unseen)
    write_json(state.preprocessed / "splits_final.json", [split(cases, of_fold) for of_fold in unseen])


def choose_unseen(cases: list[str], number: int | None, source: Path) -> list[list[str]]:
    """The first cases in one fold, or the validation cases of nnU-Net's own five folds.

    Raises:
        BenchmarkError: there are too few cases.
    """
    if number is None:
        return [fold["val"] for fold in generate_crossval_split(cases)]
    if not 0 < number < len(cases) - 1:
        raise BenchmarkError(
            f"{source} has {len(cases)} cases, of which {number} are unseen: leave two at least for training and "
            "validation, and one for judging, with --unseen"
        )
    return [cases[:number]]


def split(cases: list[str], unseen: list[str]) -> dict[str, list[str]]:
    """A quarter of the other cases for validation, which chooses checkpoints and whose answer counts."""
    others = [case for case in cases if case not in unseen]
    number = max(1, len(others) // 4)
    return {"train": others[number:], "val": others[:number]}


def link_dataset(source: Path, target: Path, small_organs: list[str] | None) -> None:
    """A dataset folder with links to the images and labels, and its own dataset.json.

    Raises:
        BenchmarkError: dataset.json has no such organ.
    """
    dataset = read_json(source / "dataset.json")
    if small_organs is not None:
        if unknown := sorted(set(small_organs) - set(DatasetJson.read(source / "dataset.json").labels)):
            raise BenchmarkError(f"{source / 'dataset.json'} has no label {', '.join(unknown)}: correct --small_organs")
        dataset["focusnet"] = dataset.get("focusnet", {}) | {"small_organs": small_organs}
    for folder in ("imagesTr", "labelsTr"):
        shutil.copytree(source / folder, target / folder, copy_function=os.symlink)
    write_json(target / "dataset.json", dataset)
