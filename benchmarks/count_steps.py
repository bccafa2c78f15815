"""What steps and predictions cost on usual plans for a GPU, beside stock nnU-Net's: counted, so no GPU is needed.

    python benchmarks/count_steps.py [-o table.csv]

Plans of a head-and-neck CT with 18 organs, ten of them small (usual_plans.py), with first kernels of (1, 3, 3) and of
(3, 3, 3); half precision. The networks of the paper's tables are among the steps, with their numbers of parameters. The
time of a step on a GPU isn't proportional to any of the columns: it is bound by memory traffic where layers are narrow,
by operations where they are wide, and by kernels where they are small.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import usual_plans
from costs import cost_of_step, costs, counted_columns
from csv_files import write_csv
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager

from nnunetv2_focusnet.organs.dataset_json import DatasetJson
from nnunetv2_focusnet.organs.plans_entry import Laterality, PlansEntry
from nnunetv2_focusnet.planning.meta_training import Training
from nnunetv2_focusnet.trainers.base import BaseTrainer
from nnunetv2_focusnet.trainers.focusnet_trainer import FocusNetTrainer, FocusNetTrainerPaper
from nnunetv2_focusnet.trainers.main_networks import count_parameters
from nnunetv2_focusnet.trainers.networks import build_network, share_sos_nets
from nnunetv2_focusnet.trainers.paper_networks import (
    AnatomyNetTrainer,
    DeepLabV3PlusTrainer,
    FatUNetTrainer,
    SEResUNetTrainer,
    SEResUNetTrainer_1ds,
    SEResUNetTrainer_2ds_CE,
    SEResUNetTrainer_3ds_CE,
)
from nnunetv2_focusnet.trainers.plans_network_trainer import FocusNetTrainerPlansNetwork
from nnunetv2_focusnet.trainers.snet_trainer import SNetTrainer
from nnunetv2_focusnet.trainers.zoom_trainer import FocusNetTrainerZoom

COMPARED = {
    "SERes U-Net 1-ds": SEResUNetTrainer_1ds,
    "SERes U-Net 2-ds": SEResUNetTrainer_2ds_CE,
    "SERes U-Net 3-ds": SEResUNetTrainer_3ds_CE,
    "SERes U-Net 4-ds": SEResUNetTrainer,
    "Fat U-Net": FatUNetTrainer,
    "DeepLab v3+": DeepLabV3PlusTrainer,
    "AnatomyNet": AnatomyNetTrainer,
}
CHANNELS, CLASSES = 1, len(usual_plans.ORGANS) + 1


def count(first_kernel: tuple[int, int, int]) -> dict[str, dict[str, Any]]:
    """Columns of each row; only those of whole networks have parameters."""
    configuration = usual_plans.configuration(first_kernel)
    content = {"labels": {"background": 0, **{name: i for i, name in enumerate(usual_plans.ORGANS, 1)}}}
    dataset = DatasetJson.check(content | {"file_ending": ".nii.gz"}, "dataset.json")

    def training(trainer: type) -> Training:
        return Training.by(trainer, entry_of(trainer, configuration, dataset), configuration, CHANNELS, CLASSES)

    stock = Training.by_stock(configuration, CHANNELS, CLASSES)
    snet, on_plans = training(SNetTrainer), training(FocusNetTrainerPlansNetwork)
    focusnet, as_in_paper = training(FocusNetTrainer), training(FocusNetTrainerPaper)
    whole = {
        "stock": stock,
        "S-Net": snet,
        "joint": focusnet,
        "plans' network": on_plans,
        "joint, paper's": as_in_paper,
    }
    compared = {name: training(trainer) for name, trainer in COMPARED.items()}
    counted = costs(stock, snet, focusnet, on_plans)
    paper = costs(stock, snet, as_in_paper, on_plans)
    counted |= {"step, joint, paper's": paper["step, joint"], "tile, FocusNet, paper's": paper["tile, FocusNet"]}
    counted |= {f"step, {name}": cost_of_step(each) for name, each in compared.items()}
    parameters = {f"step, {name}": count_parameters(each.network) for name, each in (whole | compared).items()}
    rows = {row: counted_columns(counted, row) | {"parameters": parameters.get(row, "")} for row in counted}
    # Its patch is another one: a step of it can't be compared.
    return rows | {"zoom": {"parameters": parameters_with_zoom(configuration, dataset)}}


def entry_of(trainer: type[BaseTrainer], configuration: ConfigurationManager, dataset: DatasetJson) -> PlansEntry:
    """What a training writes into its plans: on the plans' network, pairs share their SOS-Nets."""
    entry = trainer.plan_entry(usual_plans.organs(), dataset, configuration)
    if not issubclass(trainer, FocusNetTrainerPlansNetwork):
        return entry
    labels = dataset.labels
    pairs = [(labels[name], labels[f"{name[:-2]}_R"]) for name in labels if name.endswith("_L")]
    flip = Laterality(axis=2, left_at_end=True, pairs=tuple(pairs))
    return replace(entry, network=share_sos_nets(entry.network, flip))


def parameters_with_zoom(configuration: ConfigurationManager, dataset: DatasetJson) -> int:
    """Of ``FocusNetTrainerZoom``."""
    config = entry_of(FocusNetTrainerZoom, configuration, dataset).network
    with torch.device("meta"):
        return count_parameters(build_network(config, configuration, CHANNELS, CLASSES, deep_supervision=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", type=Path, help="CSV file (default: standard output)")
    arguments = parser.parse_args()
    rows = [
        {"first_kernel": "x".join(map(str, kernel)), "what": what, **columns}
        for kernel in (usual_plans.ANISOTROPIC, usual_plans.ISOTROPIC)
        for what, columns in count(kernel).items()
    ]
    write_csv(arguments.o, rows)


if __name__ == "__main__":
    main()
