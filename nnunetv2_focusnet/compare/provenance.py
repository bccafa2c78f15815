"""Where the figures of a report come from: versions, date, command line and folders."""

from __future__ import annotations

from datetime import datetime
from importlib.metadata import version
from pathlib import Path

from nnunetv2_focusnet import __version__
from nnunetv2_focusnet.compare.cases import Comparison

HOSTS = ("nnunetv2", "surface-distance")  # whose releases may change a figure


def provenance(comparison: Comparison, images: Path | None, command: str | None) -> dict[str, str]:
    """What a reader needs to make a comparison again, by its heading.

    Args:
        comparison: what was compared.
        images: folder of the overlays' background.
        command: the command line; None: it was made from Python.
    """
    versions = [f"nnunetv2-focusnet {__version__}", *(f"{name} {version(name)}" for name in HOSTS)]
    folders = {"Reference": comparison.reference.folder}
    folders |= {f"Predictions of {model}": maps.folder for model, maps in comparison.predictions.items()}
    folders |= {} if images is None else {"Images": images}
    return {
        "Made": f"{datetime.now().astimezone():%Y-%m-%d %H:%M %z}",
        "With": ", ".join(versions),
        **{heading: str(folder.resolve()) for heading, folder in folders.items()},
        "Folder of the command": str(Path.cwd()),
        "Command": command or "compare() from Python",
    }
