"""The steps of a benchmark, each of which does what is left to do: timing, training, predicting, measuring."""

import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nnunetv2_focusnet.compare.cases import Comparison
from nnunetv2_focusnet.compare.comparison import compare
from nnunetv2_focusnet.compare.inputs import read_folders
from nnunetv2_focusnet.organs.dataset_json import DatasetJson
from side_by_side.budget import Speed, choose_epochs
from side_by_side.curves import GROUPS, Curve, mean_curve, minutes_to_best, read_curve
from side_by_side.far_voxels import add_far_voxels
from side_by_side.figures import Figures, read_figures
from side_by_side.flatness import Flatness
from side_by_side.jobs import BenchmarkError, run_jobs
from side_by_side.patients import Patients
from side_by_side.runs import Model, Recipe, Row, Run, ways_to_predict
from side_by_side.state import State, read_json, write_json

TOLERANCE_MM = "1"


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def check_trainers(state: State, recipes: Sequence[Recipe]) -> None:
    """Look for all trainers before hours are spent on some.

    Raises:
        BenchmarkError: nnU-Net doesn't find one.
    """
    names = dict.fromkeys(recipe.trainer for recipe in recipes)
    run_jobs([state.job("check_trainers", [sys.executable, "-m", "side_by_side.check_trainers", *names])])


def measure(state: State, recipes: Sequence[Recipe]) -> None:
    """Seconds per step of all recipes that have none yet; then the schedule, which stays."""
    missing = [recipe for recipe in recipes if not state.speed(recipe).is_file()]
    if missing:
        say(f"timing {', '.join(recipe.name for recipe in missing)}")
        models = state.folder / "speed" / "nnUNet_results"
        state.work("measure", [Run(recipe) for recipe in missing], models)
        shutil.rmtree(models)
    speeds = [Speed(**read_json(state.speed(recipe))) for recipe in recipes]
    for recipe, speed in zip(recipes, speeds, strict=True):
        steps = ", ".join(f"{stage} {seconds:.3f}" for stage, seconds in speed.step_seconds.items())
        say(f"{recipe.name}: seconds per step: {steps}; per epoch besides: {speed.overhead_seconds:.1f}")
    if not state.schedule.is_file():
        if state.settings.same_iterations and len(speeds[0].step_seconds) > 1:
            raise BenchmarkError(
                f"--same_iterations: {recipes[0].name} trains in stages, of which each takes another time: name a"
                " trainer of one stage first"
            )
        seconds = state.settings.minutes * 60
        epochs = choose_epochs(seconds, [speed.overhead_seconds for speed in speeds])
        first = next(iter(speeds[0].step_seconds.values()))
        iterations = Speed({"all": first}, speeds[0].overhead_seconds).iterations_that_fit(["all"] * epochs, seconds)
        write_json(state.schedule, {"epochs": epochs, "iterations": iterations})


def train_and_predict(state: State, runs: Sequence[Run]) -> None:
    """Train what isn't trained, then predict what isn't predicted."""
    untrained = [run for run in runs if not state.training(run).is_file()]
    if untrained:
        say(f"training {', '.join(run.name for run in untrained)} ({state.folder / 'logs'})")
        state.work("train", untrained)
    unpredicted = [run for run in runs if not _is_predicted(state, run)]
    if unpredicted:
        say(f"predicting with {', '.join(run.name for run in unpredicted)}")
        state.work("predict", unpredicted)


def rows_of(state: State, run: Run) -> list[Row]:
    """The rows that a trained run contributes to."""
    return [Row(run.recipe, way) for way in ways_to_predict(read_json(state.training(run)))]


def _is_predicted(state: State, run: Run) -> bool:
    return all(state.is_predicted(row, run.seed, run.fold) for row in rows_of(state, run))


@dataclass(frozen=True)
class Findings:
    """What was measured.

    Attributes:
        patients: measurements of all rows.
        groups: organs by "small" and "large".
        curves: online DSC by recipe's name, means over its trainings.
        flatness: by recipe's name.
        figures: by row's name.
        messages: what was wrong with cases that are left out.
    """

    patients: Patients
    groups: Mapping[str, Sequence[str]]
    curves: Mapping[str, Curve]
    flatness: Mapping[str, Flatness]
    figures: Mapping[str, Figures]
    messages: Sequence[str]

    @property
    def trained(self) -> list[Figures]:
        """Figures of each recipe, in the first way to predict."""
        return [self.figures[recipe] for recipe in self.curves]


def evaluate(
    state: State, folder: Path, runs: Sequence[Run], target_recipes: Sequence[Recipe], others: Sequence[Model] = ()
) -> Findings:
    """Compare all predictions, and read what the trainings recorded.

    Args:
        state: where things are.
        folder: gets the comparison's report; what it held is removed.
        runs: all trainings.
        target_recipes: the best of their final online DSCs is what others have to reach in time.
        others: predictions that were made elsewhere.
    """
    rows = list(dict.fromkeys(row for run in runs for row in rows_of(state, run)))
    seeds = list(dict.fromkeys(run.seed for run in runs))
    models = [Model(row.model(seed), row.name, seed, state.predictions(row, seed)) for row in rows for seed in seeds]
    models += others
    say(f"comparing {', '.join(model.name for model in models)}")
    shutil.rmtree(folder, ignore_errors=True)
    dataset_json = state.preprocessed / "dataset.json"
    _collect_references(state, runs, DatasetJson.read(dataset_json).file_ending)
    inputs = read_folders(
        state.references, [f"{model.name}={model.folder}" for model in models], dataset_json, TOLERANCE_MM
    )
    inputs = replace(inputs, comparison=_of_references(inputs.comparison))
    threads = min(state.settings.threads, os.cpu_count() or 1)  # the folder may come from a larger machine
    results = compare(inputs, folder / "report", state.raw / "imagesTr", False, threads)
    patients = Patients.of(add_far_voxels(results.measurements, inputs.comparison, threads), models)
    groups = dict(zip(GROUPS, (results.small, results.large), strict=True))

    organs = sorted(inputs.comparison.labels, key=lambda organ: inputs.comparison.labels[organ])
    by_run = {run: read_curve(read_json(state.training(run)), organs, groups) for run in runs}
    of_recipe = {
        recipe: [run for run in runs if run.recipe == recipe] for recipe in dict.fromkeys(r.recipe for r in runs)
    }
    curves = {recipe.name: mean_curve([by_run[run] for run in of]) for recipe, of in of_recipe.items()}
    flatness = {
        recipe.name: Flatness.mean([Flatness.of(by_run[run]) for run in of]) for recipe, of in of_recipe.items()
    }
    minutes = minutes_to_best(curves, [recipe.name for recipe in target_recipes])
    figures = {
        row.name: read_figures(
            row.name,
            [read_json(state.training(run)) for run in of_recipe[row.recipe]],
            [read_json(state.prediction_seconds(row, run.seed, run.fold)) for run in of_recipe[row.recipe]],
            minutes[row.recipe.name],
            patients,
            groups,
        )
        for row in rows
    }
    return Findings(patients, groups, curves, flatness, figures, results.messages)


def _of_references(comparison: Comparison) -> Comparison:
    """Without predictions of other folds' cases, which earlier calls may have left."""
    wanted = comparison.reference.files.keys()
    predictions = {name: maps.of_cases(wanted) for name, maps in comparison.predictions.items()}
    return replace(comparison, predictions=predictions)


def _collect_references(state: State, runs: Sequence[Run], file_ending: str) -> None:
    shutil.rmtree(state.references, ignore_errors=True)
    state.references.mkdir()
    for fold in {run.fold for run in runs}:
        for case in state.unseen_cases(fold):
            file = f"{case}{file_ending}"
            shutil.copy(state.preprocessed / "gt_segmentations" / file, state.references / file)
