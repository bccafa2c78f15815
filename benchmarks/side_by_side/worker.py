"""What is done for a training in a process of its own: ``python -m side_by_side.worker TASK FOLDER *Run.arguments``."""

import math
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.utilities.utils import get_filenames_of_train_images_and_targets

from nnunetv2_focusnet.trainers.host import bare_network
from nnunetv2_focusnet.trainers.main_networks import count_parameters
from side_by_side.budget import Pace, Speed
from side_by_side.budgeted_trainer import load_latest_checkpoint, make_trainer
from side_by_side.runs import OWN, WITHOUT_SOS, Row, Run, ways_to_predict
from side_by_side.state import State, read_json, write_json

TIMED_EPOCHS, TIMED_ITERATIONS = 3, 12
MANY_EPOCHS = 1000


def measure(state: State, run: Run) -> None:
    """Train a few steps in each stage and note what they take."""
    trainer = make_trainer(state, run)
    trainer.initialize()
    trainer.num_epochs = fewest_epochs_with_all_stages(trainer)
    trainer.num_iterations_per_epoch = TIMED_ITERATIONS
    trainer.run_training()
    log = trainer.log_lists
    steps: dict[str, list[float]] = {}
    for stage, seconds in zip(log["budget_stage"], log["budget_step_seconds"], strict=True):
        steps.setdefault(stage, []).append(seconds)
    overheads = [a - b for a, b in zip(log["budget_seconds"], log["budget_train_seconds"], strict=True)]
    content = {
        "step_seconds": {stage: median(seconds) for stage, seconds in steps.items()},
        "overhead_seconds": median(overheads[1:]),  # the first has no checkpoint before it
    }
    write_json(state.speed(run.recipe), content)


def fewest_epochs_with_all_stages(trainer: Any) -> int:
    """The shortest schedule that has every stage of a long one."""

    def stages(num_epochs: int) -> set[str]:
        trainer.num_epochs = num_epochs
        return set(trainer.stage_names())

    wanted = stages(MANY_EPOCHS)
    return next(n for n in range(TIMED_EPOCHS, MANY_EPOCHS + 1) if stages(n) == wanted)


def train(state: State, run: Run) -> None:
    """Train to the end of the schedule, or go on with it, and write what was recorded."""
    schedule = read_json(state.schedule)
    trainer = make_trainer(state, run)
    trainer.num_epochs, trainer.num_iterations_per_epoch = schedule["epochs"], schedule["iterations"]
    if not state.settings.same_iterations:
        speed = Speed(**read_json(state.speed(run.recipe)))
        trainer.pace = Pace(speed, state.settings.minutes * 60)
    trainer.initialize()
    load_latest_checkpoint(trainer)
    trainer.run_training()
    log = trainer.log_lists
    content = {key.removeprefix("budget_"): log[key] for key in trainer.recorded}
    content["dice"] = [[float(value) for value in of_epoch] for of_epoch in log["dice_per_class_or_region"]]
    content["parameters"] = count_parameters(trainer.network)
    content["has_sos"] = hasattr(bare_network(trainer.network), "predict_with")
    write_json(state.training(run), content)


class Timed:
    """Mixin in front of a predictor, which notes how long the network takes."""

    network_seconds = math.nan

    def predict_logits_from_preprocessed_data(self, data: torch.Tensor) -> torch.Tensor:
        start = time.perf_counter()
        logits = super().predict_logits_from_preprocessed_data(data)  # type: ignore[misc]
        self.network_seconds = time.perf_counter() - start
        return logits


def make_predictor(state: State, run: Run, way: str) -> Any:
    """A predictor with the run's weights."""
    base = nnUNetPredictor
    if way.startswith(OWN):
        from nnunetv2_focusnet.inference.predictor import FocusNetPredictor as base
    predictor = type("TimedPredictor", (Timed, base), {})(device=torch.device(state.settings.device), allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(str(state.model(run)), (run.fold,))
    if way in WITHOUT_SOS.values():
        bare_network(predictor.network).predict_with(("main",))
        predictor.list_of_parameters[0]["sos_trained"].fill_(False)  # loaded again for each case
    return predictor


def predict(state: State, run: Run) -> None:
    """Predict the unseen cases in each way; those with a time are done."""
    for way in ways_to_predict(read_json(state.training(run))):
        row = Row(run.recipe, way)
        if not state.is_predicted(row, run.seed, run.fold):
            predict_row(state, run, row)


def predict_row(state: State, run: Run, row: Row) -> None:
    """Predict the unseen cases from their raw images, one after another."""
    predictor = make_predictor(state, run, row.way)
    images = get_filenames_of_train_images_and_targets(str(state.raw))
    file = state.prediction_seconds(row, run.seed, run.fold)
    file.parent.mkdir(parents=True, exist_ok=True)
    seconds = read_json(file) if file.is_file() else {}
    left = [case for case in state.unseen_cases(run.fold) if case not in seconds]

    def predict_case(case: str) -> None:
        predictor.predict_from_files_sequential([images[case]["images"]], [str(file.parent / case)])

    if predictor.device.type != "cpu":
        predict_case(left[0])  # untimed: a GPU's first prediction also starts CUDA and tries kernels, for seconds
    for case in left:
        start = time.perf_counter()
        predict_case(case)
        seconds[case] = {"total": time.perf_counter() - start, "network": predictor.network_seconds}
        write_json(file, seconds)


if __name__ == "__main__":
    task, folder, *run_arguments = sys.argv[1:]
    TASKS = {"measure": measure, "train": train, "predict": predict}
    TASKS[task](State.load(Path(folder)), Run.parse(*run_arguments))
