"""A model card beside every trained model: what it was trained on, what it is, and how good it was."""

from __future__ import annotations

import json
import math
import platform
from dataclasses import asdict
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_focusnet import __version__
from nnunetv2_focusnet.organs.dataset_json import channels_of
from nnunetv2_focusnet.organs.organ import Organ
from nnunetv2_focusnet.system.files import write_text
from nnunetv2_focusnet.system.templates import templates_of

NAME = "MODEL_CARD.md"


def write_model_card(trainer: nnUNetTrainer) -> Path:
    """Write ``fold_X/MODEL_CARD.md``, after nnU-Net's final validation.

    Args:
        trainer: of this package, with ``validation/summary.json`` in its output folder.

    Returns:
        The file.

    Raises:
        WriteError: it can't be written.
    """
    card = Path(trainer.output_folder) / NAME
    template = templates_of("nnunetv2_focusnet", "trainers").get_template("model_card.md.jinja")
    write_text(card, template.render(_content(trainer)))
    return card


def _content(trainer: Any) -> dict[str, Any]:
    plans, configuration = trainer.plans_manager, trainer.configuration_manager
    roi_sizes = {organ.label: trainer.entry.roi_sizes[organ.label] for organ in trainer.small_organs}
    training, validation = trainer.do_split()
    dice = _dice_by_label(trainer)
    return {
        "dataset": plans.dataset_name,
        "trainer": type(trainer).__name__,
        "configuration": trainer.configuration_name,
        "plans": plans.plans_name,
        "fold": trainer.fold,
        "date": datetime.now(timezone.utc).date().isoformat(),
        "epochs": trainer.current_epoch,
        "training": training,
        "validation": validation,
        "channels": list(channels_of(trainer.dataset_json).values()),
        "spacing": configuration.spacing,
        "patch": configuration.patch_size,
        "network": trainer.entry.network.as_json(),
        "parameters": sum(parameter.numel() for parameter in trainer.bare_network.parameters()),
        "organs": [_row(organ, roi_sizes.get(organ.label), dice[organ.label]) for organ in trainer.entry.organs],
        "versions": {
            "nnunetv2-focusnet": __version__,
            "nnunetv2": version("nnunetv2"),
            "torch": torch.__version__,
            "Python": platform.python_version(),
        },
    }


def _dice_by_label(trainer: Any) -> dict[int, list[float]]:
    """Dice of each label in the cases that have it annotated and where it is in the reference or the prediction."""
    summary = json.loads((Path(trainer.output_folder) / "validation" / "summary.json").read_text(encoding="utf-8"))
    dice: dict[int, list[float]] = {label: [] for label in trainer.label_manager.foreground_labels}
    for result in summary["metric_per_case"]:
        case = Path(result["reference_file"]).name.removesuffix(trainer.dataset_json["file_ending"])
        for label in dice.keys() - trainer.unannotated.get(case, frozenset()):
            value = result["metrics"][str(label)]["Dice"]
            if not math.isnan(value):
                dice[label].append(value)
    return dice


def _row(organ: Organ, roi_size: tuple[int, int, int] | None, dice: list[float]) -> dict[str, Any]:
    return {
        **asdict(organ),
        "roi_size": roi_size,
        "mean_dice": sum(dice) / len(dice) if dice else math.nan,
        "lowest_dice": min(dice, default=math.nan),
        "num_dice": len(dice),
    }
