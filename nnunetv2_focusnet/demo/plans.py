"""Editing nnU-Net's plans down to what 2 CPU cores train in minutes, as a user would edit the file by hand."""

from __future__ import annotations

import json
from pathlib import Path

from nnunetv2_focusnet.system.files import write_text
from nnunetv2_focusnet.system.json_files import read_object

CONFIGURATION = "3d_fullres"
PATCH_ZYX = [32, 64, 64]
BATCH_SIZE = 2
NARROWEST, WIDEST = 8, 64


def shrink_plans(plans_file: Path) -> str:
    """Give the plans a smaller patch, narrower layers and fewer at full resolution, in place.

    Doing it twice changes nothing.

    Returns:
        One line about what was changed from what.

    Raises:
        ValueError: the file can't be read, isn't JSON or isn't what nnU-Net writes.
    """
    remedy = "delete the demo's folder, or name another with -o"
    plans = read_object(plans_file, remedy)
    try:
        configuration = plans["configurations"][CONFIGURATION]
        architecture = configuration["architecture"]["arch_kwargs"]
        before = _describe(configuration)
        configuration["patch_size"] = PATCH_ZYX
        configuration["batch_size"] = BATCH_SIZE
        architecture["features_per_stage"] = [min(NARROWEST * 2**i, WIDEST) for i in range(architecture["n_stages"])]
        architecture["n_conv_per_stage"][0] = architecture["n_conv_per_stage_decoder"][-1] = 1
    except (KeyError, TypeError) as error:
        raise ValueError(f"{plans_file} isn't what nnU-Net writes ({error}): {remedy}") from None
    write_text(plans_file, json.dumps(plans, indent=4))
    return f"{before} -> {_describe(configuration)}"


def _describe(configuration: dict) -> str:
    patch = "x".join(map(str, configuration["patch_size"]))
    widths = "/".join(map(str, configuration["architecture"]["arch_kwargs"]["features_per_stage"]))
    return f"patch {patch} (z, y, x), batch {configuration['batch_size']}, widths {widths}"
