"""nnU-Net's own search finds our trainers, and the user's."""

import os
import pickle
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name

from nnunetv2_focusnet._startup import EXT_TRAINER, discovery_folder

TRAINERS = {
    "AnatomyNetTrainer": "paper_networks",
    "DeepLabV3PlusTrainer": "paper_networks",
    "FatUNetTrainer": "paper_networks",
    "FocusNetDemoTrainer": "demo_trainer",
    "StockDemoTrainer": "demo_trainer",
    "FocusNetTrainer": "focusnet_trainer",
    "FocusNetTrainer_5epochs": "focusnet_trainer",
    "FocusNetTrainer_100epochs": "focusnet_trainer",
    "FocusNetTrainer_250epochs": "focusnet_trainer",
    "FocusNetTrainer_ROI2x": "focusnet_trainer",
    "FocusNetTrainer_ROI5x": "focusnet_trainer",
    "FocusNetTrainerPaper": "focusnet_trainer",
    "FocusNetTrainerPlansNetwork": "plans_network_trainer",
    "FocusNetTrainerZoom": "zoom_trainer",
    "FocusNetTrainerZoomSNet": "zoom_trainer",
    "SEResUNetTrainer": "paper_networks",
    "SEResUNetTrainer_1ds": "paper_networks",
    "SEResUNetTrainer_1ds_CE": "paper_networks",
    "SEResUNetTrainer_1ds_FL": "paper_networks",
    "SEResUNetTrainer_2ds_CE": "paper_networks",
    "SEResUNetTrainer_3ds_CE": "paper_networks",
    "SEResUNetTrainer_CE": "paper_networks",
    "SNetTrainer": "snet_trainer",
}


@pytest.fixture
def users_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "my trainers"
    folder.mkdir()
    monkeypatch.setenv(EXT_TRAINER, os.pathsep.join([str(folder), discovery_folder()]))
    return folder


def write_trainer(folder: Path, name: str) -> None:
    (folder / "my_trainers.py").write_text(
        "from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer\n"
        f"class {name}(nnUNetTrainer):\n    pass\n"
    )


@pytest.mark.parametrize(("name", "module"), TRAINERS.items())
def test_finds_the_class_of_the_package(name, module, users_folder):
    write_trainer(users_folder, "MyTrainer")
    found = recursive_find_trainer_class_by_name(name)
    assert found is getattr(import_module(f"nnunetv2_focusnet.trainers.{module}"), name)
    assert pickle.loads(pickle.dumps(found)) is found


def test_every_trainer_is_re_exported(monkeypatch):
    monkeypatch.syspath_prepend(discovery_folder())
    assert set(import_module("nnunetv2_focusnet_trainers").__all__) == set(TRAINERS)


@pytest.mark.parametrize("name", ["MyTrainer", "FocusNetTrainer"])
def test_the_users_own_trainer_comes_first(name, users_folder):
    write_trainer(users_folder, name)
    assert recursive_find_trainer_class_by_name(name).__module__ == "my_trainers"


def test_finds_trainers_in_a_fresh_shell(plain_environment, tmp_path):
    """Needs the package installed, for the start-up file is what is tested."""
    code = (
        "from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name as find;"
        "print(find('FocusNetTrainer').__module__)"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=plain_environment, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "nnunetv2_focusnet.trainers.focusnet_trainer"
