"""nnU-Net's commands in the test's own process, with threads for theirs: starting one takes longer than its work."""

import json
import multiprocessing
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points
from multiprocessing.pool import ThreadPool
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import pytest
import torch
from nnunetv2.experiment_planning.dataset_fingerprint.fingerprint_extractor import DatasetFingerprintExtractor
from nnunetv2.utilities import utils as nnunet_utilities

from nnunetv2_focusnet.demo import phantom
from nnunetv2_focusnet.organs.dataset_json import DatasetJson
from nnunetv2_focusnet.organs.measuring import measure_organs


def phantom_of_few_voxels(patch: pytest.MonkeyPatch) -> None:
    """Heads as large as the demo's, of half as many voxels."""
    patch.setattr(phantom, "SHAPE_ZYX", (48, 96, 96))
    patch.setattr(phantom, "SPACING_MM_ZYX", (2.5, 1.5, 1.5))


@contextmanager
def threads_for_processes() -> Iterator[None]:
    """Pools that nnU-Net makes have threads, and what it sets of torch's threads is left alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(multiprocessing, "get_context", lambda method=None: SimpleNamespace(Pool=ThreadPool))
        patch.setattr(nnunet_utilities, "Pool", ThreadPool)
        patch.setattr(torch, "set_num_threads", lambda number: None)
        yield


def command(name: str, *arguments: str, **environment: str) -> None:
    """What a console script does."""
    (script,) = entry_points(group="console_scripts", name=name)
    with (
        mock.patch.dict(os.environ, environment),
        mock.patch.object(sys, "argv", [name, *arguments]),
        threads_for_processes(),
    ):
        script.load()()


def extract_fingerprint(dataset: int) -> None:
    """As nnU-Net does, of fewer voxels: its hundred million take longer than all the rest of planning."""
    with threads_for_processes():
        extractor = DatasetFingerprintExtractor(dataset, num_processes=1)
        extractor.num_foreground_voxels_for_intensitystats = 10_000
        extractor.run()


def measure(preprocessed: Path) -> None:
    """Trainers find the organs of a dataset in the cache instead of starting processes of their own."""
    plans = json.loads((preprocessed / "nnUNetPlans.json").read_text())
    measure_organs(preprocessed, plans, DatasetJson.read(preprocessed / "dataset.json"), num_processes=1)
