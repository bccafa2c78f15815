"""The memory that the planner expects of training, beside what is measured, for five patch sizes and each trainer.

    python benchmarks/training_memory.py DATASET_ID [-p nnUNetFocusNetPlans] [-c 3d_fullres] [-o table.csv]

On a GPU the measure is the peak of PyTorch's allocations in two steps of the last stage, for which the second has
AdamW's state. On a CPU it is what autograd's hooks see saved in a step, under autocast to bfloat16, with parameters,
gradients and AdamW's state. The patches are that of the plans, and smaller ones; zoom's are larger by up to
its stride.
"""

import argparse
import os
import sys
import tempfile
from contextlib import redirect_stdout
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from batchgenerators.utilities.file_and_folder_operations import load_json
from csv_files import write_csv

from nnunetv2_focusnet.planning.counting import GIB

NUM_PATCHES = 5


def patch_sizes(plan: dict[str, Any]) -> list[list[int]]:
    """The plan's patch (z, y, x), and each next one shorter along its longest axis, as the strides allow."""
    strides = plan["architecture"]["arch_kwargs"]["strides"]
    steps = [int(torch.tensor(strides)[:, axis].prod()) for axis in range(3)]
    sizes = [list(plan["patch_size"])]
    while len(sizes) < NUM_PATCHES:
        size = list(sizes[-1])
        axis = max((i for i in range(3) if size[i] > 2 * steps[i]), key=lambda i: size[i] / steps[i])
        size[axis] -= steps[axis]
        sizes.append(size)
    return sizes


def make_trainer(trainer_class: type, plans: dict[str, Any], configuration: str, folder: Path) -> Any:
    """A trainer that is ready for a step in its last stage."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    trainer = trainer_class(
        plans | {"continue_training": False}, configuration, 0, load_json(str(folder / "dataset.json")), device
    )
    trainer.initialize()
    trainer.network.train()
    return trainer


def batch_for(trainer: Any) -> tuple[torch.Tensor, Any]:
    """Noise, and labels of all classes."""
    size = trainer.configuration_manager.patch_size
    shape = trainer.configuration_manager.batch_size, 1
    classes = trainer.label_manager.num_segmentation_heads
    scales = trainer._get_deep_supervision_scales() or [[1, 1, 1]]
    targets = [
        torch.randint(0, classes, (*shape, *(round(n * f) for n, f in zip(size, scale, strict=True)))).float()
        for scale in scales
    ]
    data = torch.randn(shape[0], trainer.num_input_channels, *size)
    return data, targets if trainer.enable_deep_supervision else targets[0]


def measured_bytes(trainer: Any) -> int:
    """Of a training step; see the top of this file."""
    from nnunetv2_focusnet.planning.counting import count_saved_bytes, parameter_bytes

    data, target = batch_for(trainer)
    if trainer.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        for _ in range(2):
            trainer.train_step(
                {"data": data, "target": target, "keys": [""] * len(data), "flipped": [False] * len(data)}
            )
        return torch.cuda.max_memory_allocated()
    with count_saved_bytes(trainer.network) as saved, torch.autocast("cpu", torch.bfloat16):
        output = trainer.network(data)
        with torch.autocast("cpu", enabled=False):  # losses compute in single precision
            trainer.loss(output if hasattr(trainer, "entry") else [each.float() for each in output], target)
    return saved() + parameter_bytes(trainer.network)


def rows(folder: Path, plans: dict[str, Any], configuration: str) -> list[dict[str, Any]]:
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    from nnunetv2_focusnet.planning.meta_training import Training
    from nnunetv2_focusnet.trainers.focusnet_trainer import FocusNetTrainer
    from nnunetv2_focusnet.trainers.plans_network_trainer import FocusNetTrainerPlansNetwork
    from nnunetv2_focusnet.trainers.snet_trainer import SNetTrainer
    from nnunetv2_focusnet.trainers.zoom_trainer import FocusNetTrainerZoom

    ours = (SNetTrainer, FocusNetTrainer, FocusNetTrainerPlansNetwork, FocusNetTrainerZoom)
    result = []
    for size in patch_sizes(plans["configurations"][configuration]):
        for trainer_class in (nnUNetTrainer, *ours):
            with_patch = deepcopy(plans)
            with_patch["configurations"][configuration]["patch_size"] = size
            trainer = make_trainer(trainer_class, with_patch, configuration, folder)
            channels, classes = trainer.num_input_channels, trainer.label_manager.num_segmentation_heads
            if trainer_class is nnUNetTrainer:
                training = Training.by_stock(trainer.configuration_manager, channels, classes)
            else:
                training = Training.by(trainer_class, trainer.entry, trainer.configuration_manager, channels, classes)
            measured = measured_bytes(trainer)
            result.append(
                {
                    "trainer": trainer_class.__name__,
                    "patch": " x ".join(map(str, trainer.configuration_manager.patch_size)),
                    "expected_gib": round(training.memory_bytes / GIB, 3),
                    "measured_gib": round(measured / GIB, 3),
                    "ratio": round(training.memory_bytes / measured, 3),
                }
            )
            del trainer
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset")
    parser.add_argument("-p", default="nnUNetFocusNetPlans")
    parser.add_argument("-c", default="3d_fullres")
    parser.add_argument("-o", type=Path, help="CSV file (default: standard output)")
    arguments = parser.parse_args()
    os.environ |= {"nnUNet_n_proc_DA": "0", "nnUNet_compile": "f"}
    with tempfile.TemporaryDirectory() as results:
        os.environ["nnUNet_results"] = results  # nothing of this is a training that anybody wants to keep
        from nnunetv2.paths import nnUNet_preprocessed
        from nnunetv2.utilities.dataset_name_id_conversion import maybe_convert_to_dataset_name

        folder = Path(nnUNet_preprocessed) / maybe_convert_to_dataset_name(arguments.dataset)
        with redirect_stdout(sys.stderr):  # what trainers print
            table = rows(folder, load_json(str(folder / f"{arguments.p}.json")), arguments.c)
    write_csv(arguments.o, table)


if __name__ == "__main__":
    main()
