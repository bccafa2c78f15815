"""FocusNet with zoom, run as nnU-Net runs it."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from small_trainers import PATCH, SmallZoomTrainer
from test_focusnet_trainer import InterruptedRunError, log_of, run

from nnunetv2_focusnet.trainers.zoom_trainer import FocusNetTrainerZoom


@pytest.fixture
def finished(make_trainer: Any) -> Any:
    return run(make_trainer(SmallZoomTrainer))


def model_folder(trainer: Any) -> Path:
    return Path(trainer.output_folder_base)


def test_it_learns_and_its_model_says_what_it_is(finished: Any) -> None:
    log = log_of(finished)
    assert log["train_losses"][2] < log["train_losses"][0]
    for term in ("focal", "dice", "heat_map", "roi_dice"):
        assert log[f"loss/{term}"][-1] < log[f"loss/{term}"][0], term
    plans = json.loads((model_folder(finished) / "plans.json").read_text())
    configuration = plans["configurations"]["3d_fullres"]
    network = configuration["focusnet"]["network"]
    stride = next(s for s in configuration["architecture"]["arch_kwargs"]["strides"] if max(s) > 1)
    assert network["zoom"]["stride"] == stride
    # The images are larger than the patch along every axis, by more than the stride's factor.
    assert configuration["patch_size"] == [size * by for size, by in zip(PATCH, stride, strict=True)]
    # Eyes and parotids aren't small; lenses and optic nerves share a network with their partner.
    assert network["pairs"]["organs"] == [[0, 1], [2, 3]]


def test_the_model_predicts_from_its_folder(finished: Any) -> None:
    plans = PlansManager(str(model_folder(finished) / "plans.json"))
    configuration = plans.get_configuration("3d_fullres")
    network = FocusNetTrainerZoom.build_network_architecture(plans, configuration, 1, 10, False)
    saved = torch.load(Path(finished.output_folder) / "checkpoint_final.pth", weights_only=False)["network_weights"]
    predictor = nnUNetPredictor(use_gaussian=False, use_mirroring=False, device=torch.device("cpu"), allow_tqdm=False)
    dataset_json, trainer_name = finished.dataset_json, "FocusNetTrainerZoom"
    predictor.manual_initialization(network, plans, configuration, [saved], dataset_json, trainer_name, None)
    image = torch.randn(1, *configuration.patch_size)
    logits = predictor.predict_logits_from_preprocessed_data(image)
    finished.set_deep_supervision_enabled(False)
    with torch.no_grad():
        expected = finished.network.eval()(image[None])[0]
    torch.testing.assert_close(logits.softmax(0).float(), expected.softmax(0), rtol=0, atol=2e-3)  # half precision


@pytest.mark.parametrize(
    ("spacing", "stride", "warned"),
    [
        ([2.5, 1.5, 1.5], [2, 2, 2], "voxels of 5 x 3 x 3 mm"),
        ([2.5, 1.0, 1.0], [1, 2, 2], ""),  # slices may be thick
        ([3.0, 1.25, 1.2500001], [1, 2, 2], ""),
        ([3.0, 1.26, 1.26], [1, 2, 2], "voxels of 3 x 2.52 x 2.52 mm"),
        ([1.3, 1.3, 1.3], [2, 2, 2], "voxels of 2.6 x 2.6 x 2.6 mm"),
    ],
)
def test_voxels_too_coarse_for_large_organs_are_named(
    make_trainer: Any,
    project: Path,
    capsys: pytest.CaptureFixture[str],
    spacing: list[float],
    stride: list[int],
    warned: str,
) -> None:
    file = project / "nnUNetPlans.json"
    plans = json.loads(file.read_text())
    configuration = plans["configurations"]["3d_fullres"]
    configuration["spacing"] = spacing
    strides = configuration["architecture"]["arch_kwargs"]["strides"]
    strides[next(i for i, each in enumerate(strides) if max(each) > 1)] = stride
    file.write_text(json.dumps(plans))
    make_trainer(SmallZoomTrainer).initialize()
    logged = capsys.readouterr().out
    assert warned in logged
    assert ("too coarse for them" in logged) == bool(warned)


def test_where_memory_is_short_the_command_named_is_one_that_plans_for_it(make_trainer: Any) -> None:
    trainer = make_trainer(SmallZoomTrainer)
    trainer.on_train_start()

    def run_out(*_args: Any) -> None:
        raise torch.cuda.OutOfMemoryError

    trainer.network.register_forward_pre_hook(run_out)
    with pytest.raises(RuntimeError, match="plan with nnUNetv2_plan_and_preprocess and what the GPU has"):
        trainer._try_joint_step()


def test_a_killed_run_goes_on(make_trainer: Any) -> None:
    with pytest.raises(InterruptedRunError):
        run(make_trainer(SmallZoomTrainer), interrupt_at=2)
    trainer = make_trainer(SmallZoomTrainer)
    trainer.initialize()
    trainer.load_checkpoint(str(Path(trainer.output_folder) / "checkpoint_latest.pth"))
    assert len(log_of(run(trainer))["train_losses"]) == 3


def test_without_small_organs_the_plans_network_is_on_the_coarser_grid(make_trainer: Any, project: Path) -> None:
    file = project / "dataset.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"focusnet": {"small_organs": []}}))
    trainer = make_trainer(SmallZoomTrainer)
    trainer.num_epochs = 1
    assert type(run(trainer).network).__name__ == "OnCoarserGrid"
    assert math.isfinite(log_of(trainer)["loss/dice"][0])


def test_without_pairs_each_organ_has_a_network_of_its_own(make_trainer: Any, project: Path) -> None:
    file = project / "dataset.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"focusnet": {"left_right_pairs": []}}))
    trainer = make_trainer(SmallZoomTrainer)
    trainer.initialize()
    assert len(trainer.network.sos) == len(trainer.small_organs) == 4
