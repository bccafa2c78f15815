"""Seconds per training step and per tile of FocusNet, and its feature maps, beside stock nnU-Net on the same plans.

    python benchmarks/step_time.py DATASET_ID [-p nnUNetPlans] [-c 3d_fullres] [-n 20] [-o table.csv]

The steps of all rows take turns on the same batch, so that a noisy machine disturbs them alike; the first round is not
counted. Ratios are medians of each round's own ratio to stock nnU-Net. Stock gets ``channels_last_3d``, too, on a CPU.
Feature maps are the values in the outputs of all convolutions for one sample, as nnU-Net counts them when it plans.
"""

import argparse
import csv
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from batchgenerators.utilities.file_and_folder_operations import load_json

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
        with torch.inference_mode():
            network(data)
        network.train(was_training)

    return step


def in_stage(trainer: Any, stage: Any, batch: dict[str, Any]) -> Step:
    trainer._entered_stage = trainer._compiled_parts = None
    trainer.schedule = trainer.build_schedule()

    def step() -> None:
        trainer.current_epoch = stage.start
        if trainer._entered_stage is not stage:
            trainer._enter_stage(stage)
        trainer.network.train()
        trainer.train_step(batch)

    return step


def collect_steps(
    name: str, plans_name: str, configuration: str, device: torch.device
) -> tuple[dict[str, Step], dict[str, int]]:
    """What is timed, the rows that the others are compared with first; and the sizes of the feature maps."""
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    from nnunetv2_focusnet.trainers.focusnet_trainer import FocusNetTrainer
    from nnunetv2_focusnet.trainers.plans_network_trainer import FocusNetTrainerPlansNetwork

    stock = make_trainer(nnUNetTrainer, name, plans_name, configuration, device)
    # A trainer per stage: a step is then never the first behind a change of stage.
    ours = [make_trainer(FocusNetTrainer, name, plans_name, configuration, device) for _ in range(4)]
    on_plans = make_trainer(FocusNetTrainerPlansNetwork, name, plans_name, configuration, device)
    loader, _ = stock.get_dataloaders()
    batch = next(loader) | {"flipped": [False] * stock.batch_size}  # which our own loaders add
    full_resolution = {**batch, "target": batch["target"][0]}
    data = batch["data"].to(device)
    steps: dict[str, Step] = {
        "step, stock": lambda: stock.train_step(batch),
        "tiles, stock": inference(stock.network, data),
    }
    for trainer, stage in zip(ours, ours[0].build_schedule(), strict=True):
        steps[f"step, {stage.name}"] = in_stage(trainer, stage, full_resolution)
    (joint,) = on_plans.build_schedule()
    steps["step, plans' network"] = in_stage(on_plans, joint, batch)
    steps["tiles, FocusNet"] = inference(ours[-1].network, data)
    steps["tiles, plans' network"] = inference(on_plans.network, data)
    for trainer in (stock, *ours, on_plans):
        trainer.network.train()
    networks = {
        "stock": stock.network,
        "S-Net": ours[-1].network.main,
        "FocusNet": ours[-1].network,
        "plans' network": on_plans.network,
    }
    size = stock.configuration_manager.patch_size
    return steps, {row: network.compute_conv_feature_map_size(size) for row, network in networks.items()}


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

        steps, feature_maps = collect_steps(
            maybe_convert_to_dataset_name(arguments.dataset), arguments.p, arguments.c, device
        )
        rounds = [
            {row: synchronised_seconds(step, device) for row, step in steps.items()} for _ in range(arguments.n + 1)
        ]
    with open(arguments.o, "w", newline="") if arguments.o else sys.stdout as file:
        writer = csv.writer(file)
        writer.writerow(("what", "value", "ratio_to_stock"))
        for row in steps:
            stock = f"{row.split(',')[0]}, stock"
            ratio = median(seconds[row] / seconds[stock] for seconds in rounds[1:])
            writer.writerow((f"{row} [s]", f"{median(seconds[row] for seconds in rounds[1:]):.3f}", f"{ratio:.2f}"))
        for row, values in feature_maps.items():
            writer.writerow((f"feature maps, {row} [values]", values, f"{values / feature_maps['stock']:.2f}"))


if __name__ == "__main__":
    main()
