"""Plans for 2 CPU cores from those that nnU-Net made: a patch of 32 x 64 x 64 voxels, batch 2, five narrow stages.

    python benchmarks/cpu_plans.py DATASET_ID [-p nnUNetPlans]

Writes CpuPlans.json beside the plans; preprocess with ``nnUNetv2_preprocess -d ID -plans_name CpuPlans -c 3d_fullres``.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from nnunetv2.paths import nnUNet_preprocessed
from nnunetv2.utilities.dataset_name_id_conversion import maybe_convert_to_dataset_name

NAME, CONFIGURATION = "CpuPlans", "3d_fullres"
PATCH_ZYX, BATCH_SIZE = [32, 64, 64], 2
FEATURES = [8, 16, 32, 64, 80]
SMALLEST_FEATURE_MAP = 4  # as nnU-Net's planner has it


def fit_strides(strides: list[list[int]]) -> list[list[int]]:
    """The first stages' strides, 1 wherever the patch has become too small to be halved."""
    size, fitted = list(PATCH_ZYX), []
    for stride in strides[: len(FEATURES)]:
        fitted.append([s if n // s >= SMALLEST_FEATURE_MAP else 1 for n, s in zip(size, stride, strict=True)])
        size = [n // s for n, s in zip(size, fitted[-1], strict=True)]
    return fitted


def for_cpu(plans: dict[str, Any]) -> dict[str, Any]:
    configuration = plans["configurations"][CONFIGURATION]
    architecture = configuration["architecture"]["arch_kwargs"]
    stages = len(FEATURES)
    architecture |= {
        "n_stages": stages,
        "features_per_stage": FEATURES,
        "strides": fit_strides(architecture["strides"]),
        "kernel_sizes": architecture["kernel_sizes"][:stages],
        "n_conv_per_stage": architecture["n_conv_per_stage"][:stages],
        "n_conv_per_stage_decoder": architecture["n_conv_per_stage_decoder"][: stages - 1],
    }
    configuration |= {
        "patch_size": PATCH_ZYX,
        "batch_size": BATCH_SIZE,
        "data_identifier": f"{NAME}_{CONFIGURATION}",
    }
    return plans | {"plans_name": NAME, "configurations": {CONFIGURATION: configuration}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset")
    parser.add_argument("-p", default="nnUNetPlans")
    arguments = parser.parse_args()
    folder = Path(nnUNet_preprocessed) / maybe_convert_to_dataset_name(arguments.dataset)
    plans = json.loads((folder / f"{arguments.p}.json").read_text())
    (folder / f"{NAME}.json").write_text(json.dumps(for_cpu(plans), indent=4))


if __name__ == "__main__":
    main()
