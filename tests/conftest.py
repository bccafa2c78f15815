"""Fixtures for all tests."""

import os
from pathlib import Path

import pytest
import torch

from nnunetv2_focusnet._startup import EXT_TRAINER, OPT_OUT

torch.set_num_threads(1)  # the tests themselves run in parallel, and threads of tiny networks only wait for each other


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first: they would otherwise be left for one worker at the end."""
    items.sort(key=lambda item: "end_to_end" not in item.path.parts)


@pytest.fixture(scope="session")
def repository() -> Path:
    return Path(__file__).parents[1]


@pytest.fixture
def plain_environment() -> dict[str, str]:
    """The environment of a fresh shell, without what registration in this process has left."""
    return {name: value for name, value in os.environ.items() if name not in (EXT_TRAINER, OPT_OUT, "PYTHONPATH")}
