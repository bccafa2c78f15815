"""Tables 1 and 2 of the paper on one's own dataset: all systems at the same budget, and whether its orderings hold.

    python benchmarks/paper_tables.py DATASET -o STATE [--minutes 60] [--folds 0 1 2 | --unseen 8] [--atlas]

DATASET is the folder of a raw nnU-Net dataset, or an ID in nnUNet_raw. The folds are nnU-Net's own five; the validation
cases of each are its unseen cases, and predictions of all folds are pooled; with --unseen there is one fold, of the
first cases by name. -tr chooses rows. The atlas is made with --atlas, or named with -pred Atlas=FOLDER. Both tables
with the paper's figures beside one's own, a verdict for each of its orderings, CSV files, curves and the comparison's
report go into STATE/tables. Stopped or killed, the same command goes on; trainers and folds can be added later.
"""

import argparse
import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from cpu_plans import CONFIGURATION, NAME
from csv_files import write_csv
from nnunetv2.utilities.utils import get_filenames_of_train_images_and_targets
from side_by_side.arguments import add_shared_arguments, settings_of
from side_by_side.jobs import BenchmarkError, run_jobs
from side_by_side.paper import ATLAS, FAMILY
from side_by_side.paper_results import PaperResults
from side_by_side.pipeline import Findings, check_trainers, evaluate, measure, say, train_and_predict
from side_by_side.prepare import find_dataset, prepare
from side_by_side.results import write_findings
from side_by_side.runs import STOCK, WITHOUT_SOS, Model, Recipe, Row, Run
from side_by_side.state import State
from side_by_side.tables import flatness_rows, organ_rows, rounded, trainers_table

from nnunetv2_focusnet.cli.command import as_command
from nnunetv2_focusnet.demo.commands import find_command
from nnunetv2_focusnet.organs.dataset_json import DatasetJson

FOLDS = range(5)  # of nnU-Net's split


def label_maps(state: State, folds: Iterable[int]) -> list[str]:
    """Names of the files that are predicted in these folds."""
    ending = DatasetJson.read(state.preprocessed / "dataset.json").file_ending
    return [f"{case}{ending}" for fold in folds for case in state.unseen_cases(fold)]


def run_atlas(state: State, folds: Sequence[int]) -> Model:
    """Build an atlas from each fold's training cases and segment its unseen cases with it."""
    atlas = Model(ATLAS, ATLAS, 0, state.folder / "predictions" / ATLAS)
    images = get_filenames_of_train_images_and_targets(str(state.raw))
    command = [find_command("nnUNetv2_focusnet_atlas"), "-d", state.settings.dataset, "-p", NAME, "-c", CONFIGURATION]
    processes = ["-np", str(state.settings.threads)]
    models = state.trained_models(0)
    for fold in folds:
        if all((atlas.folder / file).is_file() for file in label_maps(state, [fold])):
            continue
        say(f"registering the atlas of fold {fold}")
        source, made = (state.folder / "atlas" / f"fold_{fold}" / part for part in ("images", "predictions"))
        source.mkdir(parents=True, exist_ok=True)
        for image in (Path(file) for case in state.unseen_cases(fold) for file in images[case]["images"]):
            (source / image.name).unlink(missing_ok=True)
            (source / image.name).symlink_to(image.resolve())
        arguments = ["-f", str(fold), "-i", str(source), "-o", str(made), *processes]
        run_jobs([state.job(f"atlas_fold{fold}", [*command, *arguments], nnUNet_results=str(models))])
        copy_predictions(made, atlas.folder, label_maps(state, [fold]))
    return atlas


def take_predictions(state: State, given: str, folds: Sequence[int], recipes: Iterable[Recipe]) -> Model:
    """A row that was predicted elsewhere, from NAME=FOLDER.

    Raises:
        BenchmarkError: it isn't of that form, the name is that of a row that is trained, or a case is missing.
    """
    name, _, folder = given.partition("=")
    if not (name and folder):
        raise BenchmarkError(f"-pred takes NAME=FOLDER, got {given}")
    rows = [Row(recipe, way) for recipe in recipes for way in (*WITHOUT_SOS, *WITHOUT_SOS.values())]
    if name in {taken for row in rows for taken in (row.name, row.model(0))}:
        raise BenchmarkError(f"-pred: {name} is a row of its own: choose another name")
    model = Model(name, name, 0, state.folder / "given" / name)  # apart from all that is predicted here
    copy_predictions(Path(folder), model.folder, label_maps(state, folds))
    return model


def copy_predictions(source: Path, target: Path, files: Iterable[str]) -> None:
    """Of all folds into one folder, where there are no others.

    Raises:
        BenchmarkError: one isn't there.
    """
    target.mkdir(parents=True, exist_ok=True)
    for file in files:
        if not (source / file).is_file():
            raise BenchmarkError(f"{source} has no {file}: predict the unseen cases of all --folds")
        shutil.copy(source / file, target / file)


def write_results(state: State, folder: Path, findings: Findings, others: list[Model]) -> Path:
    """Write everything; returns the Markdown file."""
    rows = [*(model.row for model in others), *findings.curves]
    results = PaperResults(findings.patients, findings.groups, rows, findings.flatness)
    write_csv(folder / "averages.csv", results.table_2_rows())
    rising = [f"{name}: {each.reason}" for name, each in findings.flatness.items() if not each.is_flat]
    parts = ["## What the paper says, and what was found"]
    if verdicts := results.verdicts():
        write_csv(folder / "orderings.csv", [rounded(asdict(verdict)) for verdict in verdicts])
        parts += [results.verdicts_table()]
    if not_judged := results.not_judged():
        parts += [f"Not judged, as a row or its organs aren't there: {'; '.join(not_judged)}."]
    if rising:
        parts += [f"Not at the end of their curves: {'; '.join(rising)}."]
    parts += ["## Table 1: DSC in %, here (in the paper, on its own cases)", results.table_1()]
    parts += ["## Table 2: mean DSC in %", results.table_2(), "## Trainers", trainers_table(findings.trained)]
    organs = organ_rows(findings.patients, rows, findings.groups)
    return write_findings(state, folder, findings, flatness_rows(findings.flatness), organs, [], parts)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_shared_arguments(parser, minutes=60, parallel=min(2, os.cpu_count() or 1))
    parser.add_argument("-tr", nargs="+", default=FAMILY, metavar="TRAINER", help="rows (default: all of the paper's)")
    parser.add_argument("--folds", type=int, nargs="+", default=[0], choices=FOLDS, metavar="FOLD", help="(default: 0)")
    parser.add_argument("--unseen", type=int, metavar="N", help="one fold, whose unseen cases are the first N by name")
    parser.add_argument("--atlas", action="store_true", help="register atlases with nnUNetv2_focusnet_atlas")
    parser.add_argument(
        "-pred", nargs="+", default=[], metavar="NAME=FOLDER", help="rows that were predicted elsewhere"
    )
    arguments = parser.parse_args()
    if arguments.unseen is not None and arguments.folds != [0]:
        parser.error("--unseen makes one fold: leave out --folds")
    return arguments


@as_command("paper_tables.py", when_stopped="the same command goes on from here")
def main() -> None:
    arguments = parse_arguments()
    source = find_dataset(arguments.dataset)
    state = State.open(arguments.o.resolve(), settings_of(arguments, source))
    recipes = [Recipe(trainer) for trainer in dict.fromkeys(arguments.tr)]
    runs = [Run(recipe, fold=fold) for fold in arguments.folds for recipe in recipes]

    say(f"preparing {source.name} ({state.folder / 'logs' / 'prepare.log'})")
    prepare(state, source)
    check_trainers(state, recipes)
    others = [take_predictions(state, given, arguments.folds, recipes) for given in arguments.pred]
    if arguments.atlas:
        others.append(run_atlas(state, arguments.folds))
    measure(state, recipes)
    train_and_predict(state, runs)
    folder = state.folder / "tables"
    stock = [recipe for recipe in recipes if recipe.trainer in STOCK]
    file = write_results(state, folder, evaluate(state, folder, runs, stock or recipes, others), others)
    print(file.read_text(encoding="utf-8"))
    print(f"Results: {file.parent}")


if __name__ == "__main__":
    main()
