"""The command on a tiny dataset, without ANTs."""

import json
import pickle
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import SimpleITK as sitk
from heads import CASES, write_dataset
from in_place_of_ants import Identity

from nnunetv2_focusnet.atlas import registration, template
from nnunetv2_focusnet.cli import atlas
from nnunetv2_focusnet.images.grid import Grid


@pytest.fixture
def identity(monkeypatch: pytest.MonkeyPatch) -> Identity:
    fake = Identity()

    def in_this_process(work: Callable[[Any], Any], items: Sequence[Any], _: int, *, apart: bool) -> Iterator[Any]:
        assert apart
        work = pickle.loads(pickle.dumps(work))  # as on its way into another process
        return (work(item) for item in items)

    def warp(moving: sitk.Image, grid: Grid, _: Any, __: Any, interpolator: str, outside: float) -> sitk.Image:
        return fake.warp(moving, grid, interpolator, outside)

    def touch(_: Iterable[Path], to: Path) -> None:
        to.touch()

    monkeypatch.setattr(atlas, "check_library", lambda: None)
    monkeypatch.setattr(template, "map_in_processes", in_this_process)
    monkeypatch.setattr(registration, "register", fake.register)
    monkeypatch.setattr(registration, "_warp", warp)
    monkeypatch.setattr(registration, "write_mean_affine", touch)
    monkeypatch.setattr(registration, "sharpen", lambda image, _: image)
    return fake


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("raw", "preprocessed", "results"):
        monkeypatch.setenv(f"nnUNet_{name}", str(tmp_path / name))
    monkeypatch.setattr("nnunetv2_focusnet.planning.preparation.nnUNet_raw", str(tmp_path / "raw"))
    raw = write_dataset(tmp_path / "raw")
    splits = tmp_path / "preprocessed" / raw.name / "splits_final.json"
    splits.parent.mkdir(parents=True)
    splits.write_text(json.dumps([{"train": CASES[:3], "val": CASES[3:]}]))
    return tmp_path


@pytest.fixture
def run(folders: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """The command in this process, on fold 0; returns the folder of the results."""

    def run_command(*options: str, fold: str = "0") -> Path:
        arguments = ["-d", "Dataset007_Heads", "-f", fold, "--iterations", "1", "-np", "1"]
        monkeypatch.setattr(sys, "argv", ["nnUNetv2_focusnet_atlas", *arguments, *options])
        atlas.main()
        return folders / "results" / "Dataset007_Heads"

    return run_command
