"""Stock nnU-Net and other trainers side by side on one dataset: same plans, same data, same time on the same cores.

    python benchmarks/small_organs.py DATASET -o STATE -tr FocusNetTrainer [--minutes 90] [--spacing 2.5 2 2]

DATASET is the folder of a raw nnU-Net dataset, or an ID in nnUNet_raw. Stock runs twice, with its own optimiser and
with AdamW at 1e-3. Each trainer is timed for a few steps first; then epochs and iterations are set so that its whole
schedule takes the given time. It segments the first cases by name, on which nobody trains. Goals, tables, CSV files,
curves and the comparison's report go into STATE/results; STATE also has its own nnUNet_raw, nnUNet_preprocessed and
nnUNet_results. Stopped or killed, the same command goes on; further trainers can be added to -tr later.
"""

import argparse
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from cpu_plans import add_arguments
from side_by_side.budget import Speed, choose_epochs
from side_by_side.prepare import find_dataset, prepare
from side_by_side.scores import Curve, judge, read_curve, read_figures, smooth
from side_by_side.state import Settings, State, read_json, write_json
from side_by_side.tables import warn_of_stock, warn_of_time, write_tables

from nnunetv2_focusnet.cli.command import as_command
from nnunetv2_focusnet.cli.compare import compare
from nnunetv2_focusnet.compare.inputs import read_folders
from nnunetv2_focusnet.organs.dataset_json import DatasetJson

STOCK = ("StockTrainer", "StockTrainerAdamW")


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def measure(state: State, trainers: Sequence[str]) -> None:
    """Seconds per step of all trainers that have none yet; then the schedule, which stays."""
    for trainer in trainers:
        if not state.speed(trainer).is_file():
            say(f"timing {trainer}")
            results = state.folder / "speed" / "nnUNet_results"
            state.work("measure", trainer, nnUNet_results=str(results))
            shutil.rmtree(results)
    speeds = [Speed(**read_json(state.speed(trainer))) for trainer in trainers]
    for trainer, speed in zip(trainers, speeds, strict=True):
        steps = ", ".join(f"{stage} {seconds:.3f}" for stage, seconds in speed.step_seconds.items())
        say(f"{trainer}: seconds per step: {steps}; per epoch besides: {speed.overhead_seconds:.1f}")
    if not state.schedule.is_file():
        seconds = state.settings.minutes * 60
        epochs = choose_epochs(seconds, [speed.overhead_seconds for speed in speeds])
        (stage,) = speeds[0].step_seconds  # stock has one
        iterations = speeds[0].iterations_that_fit([stage] * epochs, seconds)
        write_json(state.schedule, {"epochs": epochs, "iterations": iterations})


def train_and_predict(state: State, trainers: Sequence[str]) -> None:
    for trainer in trainers:
        if not state.training(trainer).is_file():
            say(f"training {trainer} ({state.folder / 'logs' / f'train_{trainer}.log'})")
            state.work("train", trainer)
    for trainer in trainers:
        seconds = state.prediction_seconds(trainer)
        if not seconds.is_file() or len(read_json(seconds)) < len(state.unseen_cases):
            say(f"predicting with {trainer}")
            state.work("predict", trainer)


def score(state: State, trainers: Sequence[str], dsc_goal: float) -> Path:
    """Compare all trainers and write the results; returns the Markdown file."""
    dataset_json = state.preprocessed / "dataset.json"
    file_ending = DatasetJson.read(dataset_json).file_ending
    shutil.rmtree(state.results, ignore_errors=True)
    references = state.folder / "references"
    references.mkdir(exist_ok=True)
    for case in state.unseen_cases:
        file = f"{case}{file_ending}"
        shutil.copy(state.preprocessed / "gt_segmentations" / file, references / file)
    models = [f"{trainer}={state.predictions(trainer)}" for trainer in trainers]
    inputs = read_folders(references, models, dataset_json, "1")
    images = state.raw / "imagesTr"
    results = compare(inputs, state.results / "report", images, False, state.settings.threads, show_progress=False)

    organs = sorted(inputs.comparison.labels, key=lambda organ: inputs.comparison.labels[organ])
    trainings = {trainer: read_json(state.training(trainer)) for trainer in trainers}
    curves = {trainer: read_curve(training, organs, results) for trainer, training in trainings.items()}
    target = max(final_small_dsc(curves[trainer]) for trainer in STOCK)
    figures = [
        read_figures(
            trainer, trainings[trainer], read_json(state.prediction_seconds(trainer)), curves[trainer], target, results
        )
        for trainer in trainers
    ]
    stock, others = figures[: len(STOCK)], figures[len(STOCK) :]
    goals = {row.trainer: judge(row, stock, dsc_goal) for row in others}
    warnings = [*warn_of_stock(stock), *warn_of_time(figures, state.settings), *results.messages]
    return write_tables(state.results, state.settings, results, figures, goals, curves, warnings)


def final_small_dsc(curve: Curve) -> float:
    return smooth(curve.dsc["small"])[-1]


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", help="folder of a raw nnU-Net dataset, or an ID")
    parser.add_argument("-o", type=Path, required=True, metavar="STATE", help="folder for everything")
    parser.add_argument("-tr", nargs="+", default=[], metavar="TRAINER", help="trainers beside stock")
    parser.add_argument("--minutes", type=float, default=90, help="of training for each trainer (default: 90)")
    parser.add_argument("--same_iterations", action="store_true", help="as many for all as stock does in that time")
    parser.add_argument("--spacing", type=float, nargs=3, metavar=("Z", "Y", "X"), help="in mm (default: as planned)")
    add_arguments(parser)
    parser.add_argument("--unseen", type=int, default=4, help="cases that nobody trains on (default: 4)")
    parser.add_argument("--small_organs", nargs="+", metavar="ORGAN", help="(default: as trainers find them)")
    parser.add_argument("--dsc_goal", type=float, default=0.1, help="small organs' gain over stock (default: 0.1)")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="(default: one per core)")
    parser.add_argument("-device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser.parse_args()


@as_command("small_organs.py", when_stopped="the same command goes on from here")
def main() -> None:
    arguments = parse_arguments()
    trainers = list(dict.fromkeys([*STOCK, *arguments.tr]))
    source = find_dataset(arguments.dataset)
    shared = {name: value for name, value in vars(arguments).items() if name in Settings.__dataclass_fields__}
    state = State.open(arguments.o.resolve(), Settings(**(shared | {"dataset": source.name})))
    say(f"preparing {source.name} ({state.folder / 'logs' / 'prepare.log'})")
    prepare(state, source)
    measure(state, trainers)
    train_and_predict(state, trainers)
    file = score(state, trainers, arguments.dsc_goal)
    print(file.read_text(encoding="utf-8"))
    print(f"Results: {file.parent}")


if __name__ == "__main__":
    main()
