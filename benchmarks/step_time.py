"""Seconds per training step and per tile of FocusNet beside stock nnU-Net on the same plans, and what they cost.

    python benchmarks/step_time.py DATASET_ID [-p nnUNetPlans] [-c 3d_fullres] [-n 20] [-o table.csv]

The steps of all rows take turns on the same batch, so that a noisy machine disturbs them alike; the first round is not
counted. Zoom has a batch of its own, as its patch is larger by up to its stride. Ratios are medians of each round's own
ratio to stock nnU-Net. Stock gets ``channels_last_3d``, too, on a CPU. The other columns are counted on the same plans,
for half precision (costs.py).
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from batchgenerators.utilities.file_and_folder_operations import load_json
from costs import Cost, cost_of_step, cost_of_tile, costs, counted_columns, stock_row
from csv_files import write_csv

from nnunetv2_focusnet.trainers.networks import lay_out_for_device

Step = Callable[[], object]


def make_trainer(trainer_class: type, name: str, plans_name: str, configuration: str, device: torch.device) -> Any:
    """A trainer that is ready for its first step, without data loaders."""
    from nnunetv2.paths import nnUNet_preprocessed

    folder = Path(nnUNet_preprocessed) / name
    plans = load_json(str(folder / f"{plans_name}.json")) | {"continue_training": False}
    trainer = trainer_class(plans, configuration, 0, load_json(str(folder / "dataset.json")), device)
    trainer.initialize()
    # Else called where data loaders are made; a step of ours asks what it found of left and right.
    trainer.configure_rotation_dummyDA_mirroring_and_inital_patch_size()
    lay_out_for_device(trainer.network)
    return trainer


def synchronised_seconds(step: Step, device: torch.device) -> float:
    start = time.perf_counter()
    step()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def inference(network: torch.nn.Module, data: torch.Tensor) -> Step:
    def step() -> None:
        was_training = network.training
        network.eval()
        # as nnU-Net's predictor, and as the trainers' steps
        with torch.inference_mode(), torch.autocast(data.device.type, enabled=data.device.type == "cuda"):
            network(data)
        network.train(was_training)

    return step


def training(trainer: Any, stage_name: str, batch: dict[str, Any]) -> Step:
    """Steps in the stage of that name, or in the only one."""
    trainer.schedule = trainer.build_schedule()
    stage = next((each for each in trainer.schedule if each.name == stage_name), trainer.schedule[0])
    trainer.current_epoch = stage.start
    if trainer.small_organs:
        trainer._compiled_parts = None
        trainer._enter_stage(stage)
    trainer.network.train()
    return lambda: trainer.train_step(batch)


def make_trainers(name: str, plans_name: str, configuration: str, device: torch.device) -> dict[str, Any]:
    """By row; FocusNet has a trainer per stage: a step is then never the first after a change of stage."""
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    from nnunetv2_focusnet.trainers.focusnet_trainer import FocusNetTrainer
    from nnunetv2_focusnet.trainers.plans_network_trainer import FocusNetTrainerPlansNetwork
    from nnunetv2_focusnet.trainers.snet_trainer import SNetTrainer
    from nnunetv2_focusnet.trainers.zoom_trainer import FocusNetTrainerZoom

    classes = {"stock": nnUNetTrainer, "S-Net": SNetTrainer}
    classes |= dict.fromkeys(("SOL", "SOS", "joint"), FocusNetTrainer)
    classes |= {"plans' network": FocusNetTrainerPlansNetwork, "zoom": FocusNetTrainerZoom}
    return {row: make_trainer(each, name, plans_name, configuration, device) for row, each in classes.items()}


def collect_steps(trainers: dict[str, Any], device: torch.device) -> dict[str, Step]:
    """What is timed, those first that the others are compared with."""
    stock, zoom = trainers["stock"], trainers["zoom"]
    batch = next(stock.get_dataloaders()[0]) | {"flipped": [False] * stock.batch_size}  # which our own loaders add
    full_resolution = {**batch, "target": batch["target"][0]}
    batches = dict.fromkeys(trainers, batch) | {"zoom": next(zoom.get_dataloaders()[0])}
    tiles = {row: row for row in ("stock", "S-Net", "plans' network", "zoom")} | {"FocusNet": "joint"}
    steps: dict[str, Step] = {"step, stock": lambda: stock.train_step(batch)}
    for row, trainer in trainers.items():
        if trainer is not stock:
            steps[f"step, {row}"] = training(
                trainer, row, batches[row] if trainer.enable_deep_supervision else full_resolution
            )
    stock.network.train()
    return steps | {
        f"tile, {row}": inference(trainers[name].network, batches[name]["data"][:1].to(device))
        for row, name in tiles.items()
    }


def count(trainers: dict[str, Any]) -> dict[str, Cost]:
    """What the rows cost."""
    from nnunetv2_focusnet.planning.meta_training import Training

    stock = trainers["stock"]
    plan, channels = stock.configuration_manager, stock.num_input_channels
    classes = stock.label_manager.num_segmentation_heads
    ours = {
        row: Training.by(type(trainer), trainer.entry, trainer.configuration_manager, channels, classes)
        for row, trainer in trainers.items()
        if row != "stock"
    }
    counted = costs(Training.by_stock(plan, channels, classes), ours["S-Net"], ours["joint"], ours["plans' network"])
    return counted | {"step, zoom": cost_of_step(ours["zoom"]), "tile, zoom": cost_of_tile(ours["zoom"])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset")
    parser.add_argument("-p", default="nnUNetPlans")
    parser.add_argument("-c", default="3d_fullres")
    parser.add_argument("-n", type=int, default=20, help="rounds")
    parser.add_argument("-o", type=Path, help="CSV file (default: standard output)")
    arguments = parser.parse_args()
    os.environ |= {"nnUNet_n_proc_DA": "0", "nnUNet_compile": "f"}
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with tempfile.TemporaryDirectory() as results:
        os.environ["nnUNet_results"] = results  # nothing of this is a training that anybody wants to keep
        from nnunetv2.utilities.dataset_name_id_conversion import maybe_convert_to_dataset_name

        dataset = maybe_convert_to_dataset_name(arguments.dataset)
        trainers = make_trainers(dataset, arguments.p, arguments.c, device)
        counted, steps = count(trainers), collect_steps(trainers, device)
        rounds = [
            {row: synchronised_seconds(step, device) for row, step in steps.items()} for _ in range(arguments.n + 1)
        ]
    table = [
        {
            "what": row,
            "seconds": f"{median(seconds[row] for seconds in rounds[1:]):.4f}",
            "x seconds": f"{median(seconds[row] / seconds[stock_row(row)] for seconds in rounds[1:]):.2f}",
            **counted_columns(counted, row),
        }
        for row in steps
    ]
    write_csv(arguments.o, table)


if __name__ == "__main__":
    main()
