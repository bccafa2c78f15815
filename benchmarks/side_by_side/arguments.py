"""The options that ``small_organs.py`` and ``paper_tables.py`` share."""

import argparse
import os
from pathlib import Path

import torch
from cpu_plans import add_arguments

from side_by_side.state import Settings


def add_shared_arguments(parser: argparse.ArgumentParser, minutes: int, parallel: int) -> None:
    """The dataset, the benchmark's folder and its settings; the arguments are defaults in which the two differ."""
    parser.add_argument("dataset", help="folder of a raw nnU-Net dataset, or an ID")
    parser.add_argument("-o", type=Path, required=True, metavar="STATE", help="folder for everything")
    parser.add_argument("--minutes", type=float, default=minutes, help=f"of each training (default: {minutes})")
    parser.add_argument("--same_iterations", action="store_true", help="as many for all as the first does in that time")
    parser.add_argument("--spacing", type=float, nargs=3, metavar=("Z", "Y", "X"), help="in mm (default: as planned)")
    add_arguments(parser)
    parser.add_argument("--small_organs", nargs="+", metavar="ORGAN", help="(default: as trainers find them)")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of all together (default: one per core)")
    text = f"trainings side by side, sharing threads (default: {parallel})"
    parser.add_argument("--parallel", type=int, default=parallel, help=text)
    parser.add_argument("-device", default="cuda" if torch.cuda.is_available() else "cpu")


def settings_of(arguments: argparse.Namespace, source: Path) -> Settings:
    """The settings that the arguments ask for.

    Args:
        arguments: those of :func:`add_shared_arguments`, and a script's own that are named as fields of the settings.
        source: folder of the dataset.
    """
    one_plan = {"coarse_spacing": None, "coarse_patch": arguments.patch}
    given = {name: value for name, value in vars(arguments).items() if name in Settings.__dataclass_fields__}
    return Settings(**(one_plan | given | {"dataset": source.name, "source": str(source)}))
