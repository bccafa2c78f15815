"""FocusNet's parts on the network that the plans name, run as nnU-Net runs them."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from small_trainers import SmallPlansNetworkTrainer, SmallZoomTrainer
from test_focusnet_trainer import InterruptedRunError, log_of, run

from nnunetv2_focusnet.architectures.config import PairsConfig

RESIDUAL = "dynamic_network_architectures.architectures.unet.ResidualEncoderUNet"


@pytest.fixture
def finished(make_trainer: Any) -> Any:
    return run(make_trainer(SmallPlansNetworkTrainer))


def use_residual_encoder(plans_file: Path) -> None:
    plans = json.loads(plans_file.read_text())
    architecture = plans["configurations"]["3d_fullres"]["architecture"]
    architecture["network_class_name"] = RESIDUAL
    kwargs = architecture["arch_kwargs"]
    kwargs["n_blocks_per_stage"] = [1] * kwargs["n_stages"]
    del kwargs["n_conv_per_stage"]
    plans_file.write_text(json.dumps(plans))


def test_trains_all_parts_from_the_start_and_learns(finished: Any) -> None:
    log = log_of(finished)
    assert log["stage"] == ["joint"] * 3
    assert log["train_losses"][2] < log["train_losses"][1] < log["train_losses"][0]
    for term in ("focal", "dice", "heat_map", "position", "roi_focal"):
        assert log[f"loss/{term}"][-1] < log[f"loss/{term}"][0], term
    assert all(math.isfinite(error) for errors in log["localisation_error_mm"] for error in errors)


def test_main_network_is_the_plans_own_under_deep_supervision(make_trainer: Any) -> None:
    trainer = make_trainer(SmallPlansNetworkTrainer)
    trainer.initialize()
    stock = make_trainer(nnUNetTrainer)
    stock.initialize()
    ours = trainer.network.main.unet
    assert type(ours) is type(stock.network)
    ours.load_state_dict(stock.network.state_dict())
    image = trainer.batch()["data"]
    output = trainer.network(image)
    assert len(output.main_logits) > 1
    for logits, theirs in zip(output.main_logits, stock.network(image), strict=True):
        torch.testing.assert_close(logits, theirs)


@pytest.mark.parametrize(("trainer_class", "largest"), [(SmallPlansNetworkTrainer, 12), (SmallZoomTrainer, 8)])
def test_rois_leave_a_margin_of_so_many_mm_at_most(make_trainer: Any, trainer_class: Any, largest: int) -> None:
    trainer = make_trainer(trainer_class)
    trainer.initialize()
    spacing = np.array(trainer.configuration_manager.spacing)
    organs = {organ.label: organ for organ in trainer.entry.organs}
    extent = np.array([organs[small.label].extent_mm for small in trainer.small_organs])
    roi = np.array([small.wanted_roi_size for small in trainer.small_organs]) * spacing
    margin = (roi - extent) / 2
    assert (extent > largest).any()
    assert (margin[extent > largest] >= largest).all()
    assert (margin < largest + spacing).all()  # rounded up to an even number of voxels


def test_lenses_and_optic_nerves_share_a_sos_net_with_their_partner(make_trainer: Any) -> None:
    trainer = make_trainer(SmallPlansNetworkTrainer)
    trainer.initialize()
    assert len(trainer.small_organs) == 4
    assert len(trainer.network.sos) == 2
    assert trainer.entry.network.pairs == PairsConfig(organs=((0, 1), (2, 3)), mirror_axis=2)


def test_without_pairs_each_organ_has_a_sos_net_of_its_own(make_trainer: Any, project: Path) -> None:
    file = project / "dataset.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"focusnet": {"left_right_pairs": []}}))
    trainer = make_trainer(SmallPlansNetworkTrainer)
    trainer.initialize()
    assert trainer.entry.network.pairs is None
    assert len(trainer.network.sos) == len(trainer.small_organs) == 4


def test_sos_nets_read_the_main_networks_answer(make_trainer: Any) -> None:
    trainer = make_trainer(SmallPlansNetworkTrainer)
    trainer.initialize()
    trainer.network.eval()
    image = trainer.batch()["data"]
    with torch.no_grad():
        before = trainer.network.parts(image)
        trainer.network.decoder.seg_layers[-1].bias[0] -= 1  # all organs more likely, features as before
        after = trainer.network.parts(image)
    assert before.organs == after.organs
    assert torch.equal(after.heat_logits, before.heat_logits)
    assert not torch.equal(after.roi_logits, before.roi_logits)


@pytest.mark.parametrize("part", ["heat_logits", "roi_logits"])
def test_a_tenth_of_the_small_organs_gradient_reaches_the_main_network(make_trainer: Any, part: str) -> None:
    trainer = make_trainer(SmallPlansNetworkTrainer)
    trainer.initialize()
    network, image = trainer.network, trainer.batch()["data"]
    for net in network.sos:  # which begins at zero, where no gradient passes
        torch.nn.init.ones_(net.head.weight)
    weight = network.main.unet.encoder.stages[0][0].convs[0].conv.weight
    gradients = []
    for share in (network.config.gradient_to_main, 1.0):
        network.config = replace(network.config, gradient_to_main=share)
        network.zero_grad()
        network.right_side = True  # the next step is one of left organs
        getattr(network(image), part).square().sum().backward()
        gradients.append(weight.grad)
    assert gradients[1].abs().sum() > 0
    torch.testing.assert_close(10 * gradients[0], gradients[1], rtol=1e-3, atol=1e-4)


def test_residual_encoders_train(make_trainer: Any, project: Path) -> None:
    use_residual_encoder(project / "nnUNetPlans.json")
    trainer = make_trainer(SmallPlansNetworkTrainer)
    trainer.num_epochs = 1
    assert type(run(trainer).network.main.unet).__name__ == "ResidualEncoderUNet"


def test_resumed_run_repeats_what_the_uninterrupted_one_did(make_trainer: Any, finished: Any) -> None:
    with pytest.raises(InterruptedRunError):
        run(make_trainer(SmallPlansNetworkTrainer), interrupt_at=2)
    resumed = make_trainer(SmallPlansNetworkTrainer)
    resumed.load_checkpoint(str(Path(resumed.output_folder) / "checkpoint_latest.pth"))
    run(resumed)
    assert log_of(resumed)["train_losses"] == pytest.approx(log_of(finished)["train_losses"], rel=1e-4)


def test_predictor_takes_the_trained_model(finished: Any) -> None:
    # One tile; without the Gaussian, whose half precision is coarse at the corners.
    predictor = nnUNetPredictor(use_gaussian=False, use_mirroring=False, device=torch.device("cpu"), allow_tqdm=False)
    finished.set_deep_supervision_enabled(False)
    predictor.manual_initialization(
        finished.network,
        finished.plans_manager,
        finished.configuration_manager,
        [finished.network.state_dict()],
        finished.dataset_json,
        "FocusNetTrainerPlansNetwork",
        None,
    )
    image = finished.batch()["data"][0]
    logits = predictor.predict_logits_from_preprocessed_data(image)
    with torch.no_grad():
        expected = finished.network.eval()(image[None])[0]
    torch.testing.assert_close(logits.softmax(0).float(), expected.softmax(0), rtol=0, atol=2e-3)  # half precision


def test_without_small_organs_it_is_the_plans_network_alone(make_trainer: Any, project: Path) -> None:
    file = project / "dataset.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"focusnet": {"small_organs": []}}))
    trainer = make_trainer(SmallPlansNetworkTrainer)
    trainer.num_epochs = 1
    assert type(run(trainer).network).__name__ == "PlainConvUNet"
    assert math.isfinite(log_of(trainer)["loss/dice"][0])


def test_plans_of_two_stages_train(make_trainer: Any, project: Path) -> None:
    file = project / "nnUNetPlans.json"
    plans = json.loads(file.read_text())
    kwargs = plans["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"]
    for name in ("features_per_stage", "kernel_sizes", "strides", "n_conv_per_stage"):
        kwargs[name] = kwargs[name][:2]
    kwargs["n_conv_per_stage_decoder"] = kwargs["n_conv_per_stage_decoder"][:1]
    kwargs["n_stages"] = 2
    file.write_text(json.dumps(plans))
    trainer = make_trainer(SmallPlansNetworkTrainer)
    trainer.num_epochs = 1
    run(trainer)
    assert math.isfinite(log_of(trainer)["loss/heat_map"][0])
