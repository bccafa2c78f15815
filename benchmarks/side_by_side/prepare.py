"""From a raw nnU-Net dataset to narrow plans, preprocessed data and a split, all in the benchmark's own folder."""

import os
import re
import shutil
from pathlib import Path

from cpu_plans import CONFIGURATION, NAME, write_narrow_plans

from nnunetv2_focusnet.demo.commands import find_command
from nnunetv2_focusnet.organs.dataset_json import DatasetJson
from nnunetv2_focusnet.system.folders import files_with_ending
from side_by_side.state import BenchmarkError, State, read_json, write_json


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
    link_dataset(source, state.raw, state.settings.small_organs)
    number = state.settings.dataset[len("Dataset") :].split("_")[0]
    workers = str(state.settings.threads)
    spacing = state.settings.spacing
    target = ["-overwrite_target_spacing", *map(str, spacing)] if spacing else []
    state.run("prepare", [find_command("nnUNetv2_extract_fingerprint"), "-d", number, "-np", workers])
    state.run("prepare", [find_command("nnUNetv2_plan_experiment"), "-d", number, *target])
    settings = state.settings
    write_narrow_plans(state.preprocessed, settings.patch, settings.batch, settings.features)
    preprocess = ["-d", number, "-plans_name", NAME, "-c", CONFIGURATION, "-np", workers]
    state.run("prepare", [find_command("nnUNetv2_preprocess"), *preprocess])
    cases = [path.stem for path in files_with_ending(state.preprocessed / f"{NAME}_{CONFIGURATION}", ".pkl")]
    if not 0 < settings.unseen < len(cases):
        raise BenchmarkError(
            f"{source} has {len(cases)} cases, of which {settings.unseen} are unseen: leave cases for training and for"
            " judging with --unseen"
        )
    split = {"train": cases[settings.unseen :], "val": cases[: settings.unseen]}
    write_json(state.preprocessed / "splits_final.json", [split])


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
