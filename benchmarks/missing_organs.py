"""Organs that nobody annotated, trained as what they are and trained as background: what it does to unseen cases.

    python benchmarks/missing_organs.py nnUNet_raw/Dataset701_HaNSim -o FOLDER [-tr SNetTrainerShort] [--seed 0]

In half of the training cases each organ is removed from the label file with probability 0.8. Two arms train on those
same files, from the same weights and on the same patches: "listed", whose dataset.json lists what each case has
annotated, and "background", whose dataset.json doesn't. Both run at the same time on a thread each, and segment the
first 4 cases by name, which they haven't seen and which keep all their labels. Prints DSC and missed organs, and writes
missing-organs.csv and the comparison's report into FOLDER. A run that was stopped goes on where it was.
"""

import argparse
import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from csv_files import write_csv
from side_by_side.jobs import Job, run_jobs
from side_by_side.pipeline import say
from side_by_side.state import BENCHMARKS, claim

from nnunetv2_focusnet._startup import EXT_TRAINER
from nnunetv2_focusnet.cli.command import as_command
from nnunetv2_focusnet.compare.comparison import compare
from nnunetv2_focusnet.compare.inputs import read_folders
from nnunetv2_focusnet.compare.results import Results
from nnunetv2_focusnet.demo.commands import environment, find_command
from nnunetv2_focusnet.images.reading import read_volume
from nnunetv2_focusnet.organs.dataset_json import DatasetJson
from nnunetv2_focusnet.system.folders import files_with_ending

ARMS = ("background", "listed")
PROBABILITY_OF_REMOVAL = 0.8
UNSEEN_CASES = 4
SPACING_MM_ZYX = ("2.5", "2", "2")


def job(folder: Path, arm: str, name: str, command: Sequence[str]) -> Job:
    """A command in an arm's own folders, with the benchmarks' trainers, on one thread; its log is in ``folder``."""
    variables = {
        EXT_TRAINER: str(BENCHMARKS / "trainers"),
        "nnUNet_n_proc_DA": "0",  # augmentation in the trainer's own process: both arms draw the same random numbers
    }
    return Job(name, command, environment(folder / arm) | variables, folder / f"{name}.log")


def remove_organs(source: Path, target: Path, seed: int) -> None:
    """A copy of a raw dataset with organs removed from half of its training cases, and listed in dataset.json."""
    dataset = DatasetJson.read(source / "dataset.json")
    organs, ending = dataset.labels, dataset.file_ending
    cases = [path.name.removesuffix(ending) for path in files_with_ending(source / "labelsTr", ending)]
    training = cases[UNSEEN_CASES:]
    rng = np.random.default_rng(seed)
    reduced = set(rng.choice(training, len(training) // 2, replace=False))
    annotated = {case: [o for o in organs if rng.random() >= PROBABILITY_OF_REMOVAL] for case in sorted(reduced)}
    shutil.copytree(source / "imagesTr", target / "imagesTr", copy_function=os.symlink)
    (target / "labelsTr").mkdir()
    for case in cases:
        image = read_volume(source / "labelsTr" / f"{case}{ending}")
        labels = sitk.GetArrayFromImage(image)
        if case in annotated:
            labels[~np.isin(labels, [organs[name] for name in annotated[case]])] = 0
        reduced_image = sitk.GetImageFromArray(labels)
        reduced_image.CopyInformation(image)
        sitk.WriteImage(reduced_image, str(target / "labelsTr" / f"{case}{ending}"), useCompression=True)
    content = json.loads((source / "dataset.json").read_text())
    content["focusnet"] = content.get("focusnet", {}) | {"annotated": annotated}
    (target / "dataset.json").write_text(json.dumps(content, indent=1))


def prepare(source: Path, folder: Path, seed: int) -> None:
    """Folders of both arms, planned and preprocessed: the same but for what dataset.json lists."""
    DatasetJson.read(source / "dataset.json")
    claim(folder, {"dataset": str(source), "seed": seed})
    listed, background = folder / "listed", folder / "background"
    if (background / "nnUNet_results").is_dir():
        return
    for arm in (listed, background):  # of a preparation that was stopped
        shutil.rmtree(arm, ignore_errors=True)
    number = source.name[len("Dataset") : len("Dataset") + 3]
    say(f"preparing {source.name} ({folder / 'prepare.log'})")
    remove_organs(source, listed / "nnUNet_raw" / source.name, seed)
    for command in (
        [find_command("nnUNetv2_extract_fingerprint"), "-d", number, "-np", "2"],
        [find_command("nnUNetv2_plan_experiment"), "-d", number, "-overwrite_target_spacing", *SPACING_MM_ZYX],
        [sys.executable, str(BENCHMARKS / "cpu_plans.py"), number],
        [find_command("nnUNetv2_preprocess"), "-d", number, "-plans_name", "CpuPlans", "-c", "3d_fullres", "-np", "2"],
    ):
        run_jobs([job(folder, "listed", "prepare", command)])
    preprocessed = listed / "nnUNet_preprocessed" / source.name
    cases = [path.stem for path in files_with_ending(preprocessed / "CpuPlans_3d_fullres", ".pkl")]
    split = {"train": cases[UNSEEN_CASES:], "val": cases[:UNSEEN_CASES]}
    (preprocessed / "splits_final.json").write_text(json.dumps([split]))
    copied = background / "nnUNet_preprocessed" / source.name
    shutil.copytree(preprocessed, copied)
    dataset = json.loads((copied / "dataset.json").read_text())
    del dataset["focusnet"]["annotated"]
    (copied / "dataset.json").write_text(json.dumps(dataset))
    (background / "nnUNet_results").mkdir()


def training(folder: Path, arm: str, dataset: str, trainer: str) -> Job:
    """An arm's training, new or gone on with, which predicts the unseen cases in the end."""
    fold = model_folder(folder, arm, dataset, trainer) / "fold_0"
    command = [find_command("nnUNetv2_train"), dataset, "3d_fullres", "0", "-p", "CpuPlans", "-tr", trainer]
    command += ["-device", "cpu", *(["--c"] if any(fold.glob("checkpoint_*.pth")) else [])]
    return job(folder, arm, arm, command)


def model_folder(folder: Path, arm: str, dataset: str, trainer: str) -> Path:
    return folder / arm / "nnUNet_results" / dataset / f"{trainer}__CpuPlans__3d_fullres"


def collect_references(preprocessed: Path, references: Path) -> None:
    """The label maps of the unseen cases, as they are in the raw dataset, into a folder."""
    references.mkdir(exist_ok=True)
    ending = DatasetJson.read(preprocessed / "dataset.json").file_ending
    for case in json.loads((preprocessed / "splits_final.json").read_text())[0]["val"]:
        shutil.copy(preprocessed / "gt_segmentations" / f"{case}{ending}", references)


def tabulate(results: Results, listed_json: Path) -> list[dict[str, object]]:
    """One row per organ and arm, and the mean over the organs."""
    dataset = DatasetJson.read(listed_json)
    rows: list[dict[str, object]] = []
    for arm in ARMS:
        means, missed = [], 0
        for organ in dataset.labels:
            found = results.of(organ, arm)
            found = found[found["reference_ml"] > 0]
            means.append(float(found["dsc"].mean()))
            missed += int(found["missed"].sum())
            rows.append(
                {
                    "organ": organ,
                    "removed_from": sum(organ not in a for a in dataset.annotated.values()),
                    "arm": arm,
                    "cases": len(found),
                    "mean_dsc": round(means[-1], 3),
                    "missed": int(found["missed"].sum()),
                }
            )
        rows.append({"organ": "mean", "arm": arm, "mean_dsc": round(float(np.mean(means)), 3), "missed": missed})
    return rows


@as_command("missing_organs.py", when_stopped="the same command goes on from here")
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path, help="a raw nnU-Net dataset in which all cases have all labels")
    parser.add_argument("-o", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("-tr", default="SNetTrainerShort")
    parser.add_argument("--seed", type=int, default=0, help="draws what is removed")
    arguments = parser.parse_args()
    name, folder = arguments.dataset.name, arguments.o.resolve()
    prepare(arguments.dataset.resolve(), folder, arguments.seed)
    say(f"training {' and '.join(ARMS)} ({folder})")
    run_jobs([training(folder, arm, name, arguments.tr) for arm in ARMS], at_once=len(ARMS))
    dataset_json = folder / "listed" / "nnUNet_preprocessed" / name / "dataset.json"
    models = [f"{arm}={model_folder(folder, arm, name, arguments.tr) / 'fold_0' / 'validation'}" for arm in ARMS]
    references = folder / "references"
    collect_references(dataset_json.parent, references)
    inputs = read_folders(references, models, dataset_json, "1")
    results = compare(inputs, folder / "report", None, published=False, num_processes=1)
    write_csv(folder / "missing-organs.csv", tabulate(results, dataset_json))
    print((folder / "missing-organs.csv").read_text())
    if results.messages:
        sys.exit("\n".join(results.messages))


if __name__ == "__main__":
    main()
