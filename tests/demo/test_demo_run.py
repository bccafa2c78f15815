"""The demo from its first step to its last, smaller and shorter, with its commands in this process."""

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from nnunet_in_process import command, measure
from nnunetv2.experiment_planning.dataset_fingerprint.fingerprint_extractor import DatasetFingerprintExtractor

from nnunetv2_focusnet.demo import demo as demo_module
from nnunetv2_focusnet.demo import phantom, plans
from nnunetv2_focusnet.demo.commands import Command, environment
from nnunetv2_focusnet.demo.demo import Demo
from nnunetv2_focusnet.demo.phantom import LABELS
from nnunetv2_focusnet.trainers.demo_trainer import FewSteps

ONE_PROCESS = ["-npp", "0", "-nps", "0"]  # of a prediction, which has no processes but spawned ones


def run_in_process(commands: Sequence[Command], folder: Path) -> None:
    for each in commands:
        name, *arguments = each.line
        if name == "nnUNetv2_train":
            measure(folder / "nnUNet_preprocessed" / "Dataset901_HeadPhantom")
        if "-np" in arguments:
            arguments[arguments.index("-np") + 1] = "1"
        predicts = name.endswith("_predict")
        with each.log.open("w") as log, contextlib.redirect_stdout(log):
            command(name, *arguments, *(ONE_PROCESS if predicts else []), **environment(folder))
        for line in each.log.read_text().splitlines():
            each.show(line)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_module, "run_commands", run_in_process)
    monkeypatch.setattr(demo_module, "TRAINING_CASES", 5)
    monkeypatch.setattr(demo_module, "TEST_CASES", 1)
    monkeypatch.setattr(phantom, "SHAPE_ZYX", (24, 48, 48))
    monkeypatch.setattr(phantom, "SPACING_MM_ZYX", (5.0, 3.0, 3.0))
    monkeypatch.setattr(plans, "PATCH_ZYX", [16, 32, 32])
    monkeypatch.setattr(plans, "WIDEST", 8)
    for name in ("num_epochs", "num_iterations_per_epoch", "num_val_iterations_per_epoch"):
        monkeypatch.setattr(FewSteps, f"default_{name}", 1)
    run = DatasetFingerprintExtractor.run

    def run_with_few_voxels(self, *args, **kwargs) -> dict:  # nnU-Net's hundred million take longer than all the rest
        self.num_foreground_voxels_for_intensitystats = 10_000
        return run(self, *args, **kwargs)

    monkeypatch.setattr(DatasetFingerprintExtractor, "run", run_with_few_voxels)


@pytest.mark.usefixtures("small")
def test_it_trains_predicts_and_compares_both_models_and_is_done_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "a demo"
    Demo(folder).run()
    printed = capsys.readouterr().out
    assert "6/6 compare both" in printed
    assert {"FocusNet", "stock nnU-Net"} <= {
        line.split("] ")[1].split(":")[0] for line in printed.splitlines() if "loss" in line
    }
    results = folder / "nnUNet_results" / "Dataset901_HeadPhantom"
    for trainer in ("FocusNetDemoTrainer", "StockDemoTrainer"):
        assert (results / f"{trainer}__nnUNetPlans__3d_fullres" / "fold_0" / "checkpoint_final.pth").is_file()
    files = {
        model: {path.name for path in (folder / "predictions" / model).glob("Head*")} for model in ("stock", "focusnet")
    }
    assert files == {"stock": {"Head_005.nii.gz"}, "focusnet": {"Head_005.nii.gz", "Head_005_locations.json"}}
    assert printed.endswith(f"Report, with pictures of the small organs: {folder / 'report' / 'report.html'}\n")
    assert "Lens_L in Head_005 (" in (folder / "report" / "report.html").read_text()
    summary = (folder / "report" / "summary.md").read_text()
    assert {"stock", "focusnet", *LABELS} - {"background"} <= set(summary.replace("|", " ").split())

    finished = json.loads((folder / "demo.json").read_text())["finished"]
    assert len(finished) == 6
    Demo(folder).run()
    assert capsys.readouterr().out.count("done earlier") == 6
