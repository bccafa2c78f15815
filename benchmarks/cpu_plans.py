"""Plans for 2 CPU cores from those that nnU-Net made: a small patch and few, narrow stages.

    python benchmarks/cpu_plans.py DATASET_ID [-p nnUNetPlans] [--patch 32 64 64] [--batch 2] [--features 8 16 32 64 80]

Writes CpuPlans.json beside the plans; preprocess with ``nnUNetv2_preprocess -d ID -plans_name CpuPlans -c 3d_fullres``.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nnunetv2.paths import nnUNet_preprocessed
from nnunetv2.utilities.dataset_name_id_conversion import maybe_convert_to_dataset_name

NAME, CONFIGURATION = "CpuPlans", "3d_fullres"
PATCH_ZYX, BATCH_SIZE = [32, 64, 64], 2
FEATURES = [8, 16, 32, 64, 80]
SMALLEST_FEATURE_MAP = 4  # as nnU-Net's planner has it
PER_STAGE = ("kernel_sizes", "n_conv_per_stage", "n_blocks_per_stage", "n_conv_per_stage_decoder")


def fit_strides(strides: Sequence[Sequence[int]], patch: Sequence[int], stages: int) -> list[list[int]]:
    """The first stages' strides, 2 in stages that the plan doesn't have; 1 wherever the patch can't be halved."""
    size, fitted = list(patch), []
    for stride in [*strides, *[[2, 2, 2]] * stages][:stages]:
        fitted.append(
            [s if n % s == 0 and n // s >= SMALLEST_FEATURE_MAP else 1 for n, s in zip(size, stride, strict=True)]
        )
        size = [n // s for n, s in zip(size, fitted[-1], strict=True)]
    return fitted


def narrow(
    plans: dict[str, Any], patch: Sequence[int], batch: int, features: Sequence[int], name: str = NAME
) -> dict[str, Any]:
    """Plans with this patch (z, y, x) and batch, and one stage per width."""
    configuration = plans["configurations"][CONFIGURATION]
    architecture = configuration["architecture"]["arch_kwargs"]
    stages = len(features)
    per_stage = {name: architecture[name] for name in PER_STAGE if name in architecture}
    fitted = {
        name: [*values, *[values[-1]] * stages][: stages - name.endswith("decoder")]
        for name, values in per_stage.items()
    }
    strides = fit_strides(architecture["strides"], patch, stages)
    architecture |= fitted | {"n_stages": stages, "features_per_stage": list(features), "strides": strides}
    configuration |= {"patch_size": list(patch), "batch_size": batch, "data_identifier": f"{name}_{CONFIGURATION}"}
    return plans | {"plans_name": name, "configurations": {CONFIGURATION: configuration}}


def write_narrow_plans(
    folder: Path,
    patch: Sequence[int],
    batch: int,
    features: Sequence[int],
    plans_name: str = "nnUNetPlans",
    name: str = NAME,
) -> None:
    """Write CpuPlans.json, or another ``name``, into a preprocessed dataset's folder that holds ``plans_name``."""
    plans = json.loads((folder / f"{plans_name}.json").read_text())
    (folder / f"{name}.json").write_text(json.dumps(narrow(plans, patch, batch, features, name), indent=4))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--patch", type=int, nargs=3, default=PATCH_ZYX, metavar=("Z", "Y", "X"), help="in voxels")
    parser.add_argument("--batch", type=int, default=BATCH_SIZE, help="patches per step")
    parser.add_argument("--features", type=int, nargs="+", default=FEATURES, help="widths of the stages")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset")
    parser.add_argument("-p", default="nnUNetPlans")
    add_arguments(parser)
    arguments = parser.parse_args()
    folder = Path(nnUNet_preprocessed) / maybe_convert_to_dataset_name(arguments.dataset)
    write_narrow_plans(folder, arguments.patch, arguments.batch, arguments.features, arguments.p)


if __name__ == "__main__":
    main()
