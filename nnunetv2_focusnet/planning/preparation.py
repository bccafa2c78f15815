"""From a raw dataset to plans and preprocessed data, in the steps of ``nnUNetv2_plan_and_preprocess``."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from batchgenerators.utilities.file_and_folder_operations import load_json
from nnunetv2.experiment_planning.plan_and_preprocess_api import extract_fingerprint_dataset, preprocess_dataset
from nnunetv2.paths import nnUNet_preprocessed, nnUNet_raw
from nnunetv2.utilities.dataset_name_id_conversion import find_candidate_datasets
from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name

from nnunetv2_focusnet.organs.dataset_json import DatasetJson
from nnunetv2_focusnet.organs.measuring import measure_organs
from nnunetv2_focusnet.organs.splits import read_splits
from nnunetv2_focusnet.planning.costs import describe_plans
from nnunetv2_focusnet.planning.finer_spacing import propose_finer_spacing
from nnunetv2_focusnet.planning.planner import FocusNetPlanner, read_configurations
from nnunetv2_focusnet.system.json_files import read_object
from nnunetv2_focusnet.system.origins import is_for_users
from nnunetv2_focusnet.system.text import with_kind
from nnunetv2_focusnet.trainers.base import BaseTrainer

FINGERPRINT, SPLITS = "dataset_fingerprint.json", "splits_final.json"
FOLDS = 5  # of nnU-Net's cross-validation


def find_trainer(name: str) -> type[BaseTrainer]:
    """The trainer of that name, wherever nnU-Net finds it.

    Raises:
        ValueError: there is none, it isn't one of this package's, or it is for nnU-Net's own plans.
    """
    with contextlib.redirect_stdout(io.StringIO()):  # of a search
        try:
            trainer = recursive_find_trainer_class_by_name(name)
        except (RuntimeError, AssertionError):
            raise ValueError(f"-tr {name}: nnU-Net finds no such trainer, correct its name") from None
    if not issubclass(trainer, BaseTrainer):
        raise ValueError(f"-tr {name} isn't a trainer of FocusNet: plan for it with nnUNetv2_plan_and_preprocess")
    if not trainer.trains_patch_of_plans:
        raise ValueError(
            f"-tr {name} makes a larger patch of that of nnU-Net's plans, for the same memory: plan for it with"
            " nnUNetv2_plan_and_preprocess"
        )
    return trainer


def find_raw_dataset(dataset_id: int) -> str:
    """The name of the raw dataset with that ID.

    Raises:
        ValueError: there is none, or there are two; its dataset.json isn't as :class:`DatasetJson` needs it.
    """
    names = sorted(map(str, find_candidate_datasets(dataset_id)))
    if len(names) > 1:
        raise ValueError(f"-d {dataset_id} stands for {' and '.join(names)}: give one of them another ID")
    if not names or not Path(nnUNet_raw, names[0]).is_dir():
        raise ValueError(f"-d {dataset_id}: {nnUNet_raw} has no dataset of that ID, give another or set nnUNet_raw")
    DatasetJson.read(Path(nnUNet_raw, names[0], "dataset.json"))
    return names[0]


def check_earlier_files(name: str, plans_name: str, *, clean: bool) -> None:
    """Refuse what an earlier run has left where nnU-Net, which reads it, would end without naming it.

    Args:
        name: of the dataset.
        plans_name: of its plans.
        clean: the fingerprint is extracted anew.

    Raises:
        ValueError: fingerprint or plans can't be read, or nnUNet_raw has other folds than nnUNet_preprocessed.
    """
    if not nnUNet_preprocessed.is_set():
        return  # a dry run needs no such folder
    folder = Path(nnUNet_preprocessed, name)
    if not clean:
        _check_readable(read_object, folder / FINGERPRINT, "or let --clean extract it again")
    _check_readable(read_configurations, folder / f"{plans_name}.json", "or delete it, as it is planned anew")
    _check_folds(Path(nnUNet_raw, name, SPLITS), folder / SPLITS)


@contextlib.contextmanager
def leaving_no_trace(name: str) -> Iterator[None]:
    """In the block, what nnU-Net writes while it plans goes into a folder that is removed afterwards.

    Args:
        name: of the dataset, whose fingerprint is taken along if there is one: to extract it takes minutes.
    """
    before = os.environ.get("nnUNet_preprocessed")
    with tempfile.TemporaryDirectory() as folder:
        fingerprint = Path(before or "", name, FINGERPRINT)
        Path(folder, name).mkdir()
        if before and fingerprint.is_file():
            shutil.copy(fingerprint, Path(folder, name))
        os.environ["nnUNet_preprocessed"] = folder
        try:
            yield
        finally:
            if before is None:
                del os.environ["nnUNet_preprocessed"]
            else:
                os.environ["nnUNet_preprocessed"] = before


def extract_fingerprint(
    name: str, num_processes: int, *, verify: bool, clean: bool, verbose: bool, progress: bool
) -> None:
    """As nnU-Net does: measure spacings, shapes and intensities of the images, unless that was done before.

    Args:
        name: of the dataset.
        num_processes: processes that read images.
        verify: check images and labels first.
        clean: measure again what was measured.
        verbose: as nnU-Net has it.
        progress: show a progress bar.

    Raises:
        ValueError: nnU-Net can't.
    """
    with _step(name, "extracting the fingerprint"):
        extract_fingerprint_dataset(
            int(name[len("Dataset") :].split("_")[0]),
            num_processes=num_processes,
            check_dataset_integrity=verify,
            clean=clean,
            verbose=verbose,
            show_progress_bar=progress,
        )


def plan(
    name: str,
    gpu_memory_target: float,
    *,
    plans_name: str,
    target_spacing: Sequence[float] | None,
    trainer: type[BaseTrainer],
    num_processes: int,
) -> list[str]:
    """Plan a dataset, and return paragraphs on organs, ROIs, costs and what to think of before training.

    Args:
        name: of the dataset.
        gpu_memory_target: memory (GiB) that a training step may hold.
        plans_name: of its plans.
        target_spacing: in mm, in the images' order of axes; None: as nnU-Net's planner.
        trainer: what to plan for.
        num_processes: processes that read label files.

    Raises:
        ValueError: as :class:`FocusNetPlanner` and its ``plan_experiment``, or nnU-Net can't.
    """
    # nnU-Net prints each configuration as a dictionary, and each attempt at 3d_lowres.
    with _step(name, "planning"), contextlib.redirect_stdout(io.StringIO()):
        planner = FocusNetPlanner(
            name,
            gpu_memory_target,
            plans_name=plans_name,
            overwrite_target_spacing=target_spacing,
            trainer=trainer,
            num_processes=num_processes,
        )
        plans = planner.plan_experiment()
        paragraphs = describe_plans(planner, plans)
        if proposal := propose_finer_spacing(planner, plans):
            paragraphs.append(proposal)
    if len(planner.dataset) < FOLDS:
        paragraphs.append(
            f"{name} has fewer than {FOLDS} training cases, too few for nnU-Net's cross-validation:"
            " train fold all, or add cases."
        )
    return paragraphs


def preprocess(
    name: str,
    plans_name: str,
    configurations: Sequence[str],
    num_processes: Sequence[int],
    *,
    verbose: bool,
    progress: bool,
) -> None:
    """As nnU-Net does, then measure the organs, now on the grids of their images, as training will ask for it.

    Args:
        name: of the dataset.
        plans_name: of its plans.
        configurations: those that the plans don't have are passed over.
        num_processes: one number, or one for each configuration.
        verbose: as nnU-Net has it.
        progress: show a progress bar.

    Raises:
        ValueError: nnU-Net can't, or as :func:`measure_organs`.
    """
    with _step(name, "preprocessing"):
        preprocess_dataset(
            int(name[len("Dataset") :].split("_")[0]), plans_name, configurations, num_processes, verbose, progress
        )
    folder = Path(nnUNet_preprocessed, name)
    plans: dict[str, Any] = load_json(str(folder / f"{plans_name}.json"))
    measure_organs(folder, plans, DatasetJson.read(folder / "dataset.json"), max(num_processes))


@contextlib.contextmanager
def _step(name: str, step: str) -> Iterator[None]:
    """Let what nnU-Net raises, of whatever kind, say of which dataset and in which step."""
    try:
        yield
    except (OSError, MemoryError):
        raise
    except Exception as error:
        if is_for_users(error):
            raise  # it says where, unlike KeyErrors, failed assertions or ValueErrors of libraries
        raise ValueError(f"{name}: {step} failed ({with_kind(error)})") from error


def _check_readable(read: Callable[[Path], object], file: Path, remedy: str) -> None:
    if file.is_file():
        try:
            read(file)
        except ValueError as error:
            raise ValueError(f"{error}, {remedy}") from None


def _check_folds(raw: Path, preprocessed: Path) -> None:
    """Those of the raw dataset must be the first ones of the preprocessed one, as nnU-Net compares them."""
    if not (raw.is_file() and preprocessed.is_file()):
        return
    given, copied = (
        [{part: set(fold[part]) for part in ("train", "val")} for fold in read_splits(file)]
        for file in (raw, preprocessed)
    )
    if given != copied[: len(given)]:
        raise ValueError(
            f"{raw} and {preprocessed} have different folds: delete the second to train those of the first, or the"
            " first to keep those that models may have been trained on"
        )
