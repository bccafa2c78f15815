"""-pretrained_weights of every kind of checkpoint, taken over as nnU-Net's command does it."""

from pathlib import Path
from typing import Any

import pytest
import torch
from nnunetv2.run import run_training
from nnunetv2.run.load_pretrained_weights import load_pretrained_weights
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from small_trainers import SmallFocusNetTrainer, SmallPlansNetworkTrainer, SmallSNetTrainer
from test_focusnet_trainer import change_json
from test_plans_network_trainer import use_residual_encoder


@pytest.fixture
def checkpoint_of(make_trainer: Any, tmp_path: Path) -> Any:
    """A function that writes a checkpoint of an untrained trainer; weights are unlike those of any other."""

    def write(trainer_class: Any) -> Path:
        trainer = make_trainer(trainer_class)
        trainer.initialize()
        generator = torch.Generator().manual_seed(1)
        for parameter in trainer.network.parameters():
            parameter.data.normal_(generator=generator)
        path = tmp_path / "pretrained.pth"
        trainer.save_checkpoint(str(path))
        return path

    return write


def started_from(make_trainer: Any, path: Path, trainer_class: Any) -> tuple[Any, dict[str, torch.Tensor], str]:
    """A trainer after nnU-Net loaded its pretrained weights, its weights before, and what the log says of it."""
    untouched = make_trainer(trainer_class)
    untouched.initialize()
    trainer = make_trainer(trainer_class)
    run_training.maybe_load_checkpoint(trainer, False, False, str(path))
    lines = Path(trainer.log_file).read_text().splitlines()
    (line,) = [line.strip() for line in lines if "pretrained weights" in line]
    return trainer, untouched.network.state_dict(), line


@pytest.mark.parametrize(
    ("source", "target", "prefix"),
    [
        (nnUNetTrainer, SmallPlansNetworkTrainer, "main.unet."),
        (SmallSNetTrainer, SmallFocusNetTrainer, "main."),
    ],
)
def test_a_main_network_alone_is_found_and_the_small_organs_parts_start_afresh(
    make_trainer: Any, checkpoint_of: Any, source: Any, target: Any, prefix: str
) -> None:
    path = checkpoint_of(source)
    theirs = torch.load(path, weights_only=False)["network_weights"]
    trainer, before, line = started_from(make_trainer, path, target)
    for name, value in trainer.network.named_parameters():
        expected = before[name]
        if name.startswith(prefix) and ".seg_layers." not in name:
            expected = theirs[name.removeprefix(prefix)]
            assert not torch.equal(expected, before[name])
        assert torch.equal(value, expected), name
    assert str(path) in line
    assert line.endswith(": main network. Afresh: SOL-Net, SOS-Nets, segmentation layers.")


@pytest.mark.parametrize("trainer_class", [SmallFocusNetTrainer, SmallPlansNetworkTrainer])
def test_a_whole_focusnet_is_taken_over(make_trainer: Any, checkpoint_of: Any, trainer_class: Any) -> None:
    path = checkpoint_of(trainer_class)
    theirs = torch.load(path, weights_only=False)["network_weights"]
    trainer, before, line = started_from(make_trainer, path, trainer_class)
    for name, value in trainer.network.named_parameters():
        assert torch.equal(value, (before if ".seg_layers." in name else theirs)[name]), name
    assert line.endswith(": main network, SOL-Net, SOS-Nets. Afresh: segmentation layers.")


def test_other_small_organs_in_the_same_number_are_met_in_the_order_of_their_labels(
    make_trainer: Any, project: Path, checkpoint_of: Any
) -> None:
    change_json(project / "dataset.json", focusnet={"small_organs": ["Lens_L", "Lens_R"]})
    path = checkpoint_of(SmallFocusNetTrainer)
    theirs = torch.load(path, weights_only=False)["network_weights"]
    change_json(project / "dataset.json", focusnet={"small_organs": ["Eye_L", "Eye_R"]})
    trainer, _, _ = started_from(make_trainer, path, SmallFocusNetTrainer)
    assert trainer.network.config.small_organs == (2, 3)
    assert all(torch.equal(v, theirs[f"sos.1.{name}"]) for name, v in trainer.network.sos[1].named_parameters())


def test_another_number_of_small_organs_starts_afresh(make_trainer: Any, project: Path, checkpoint_of: Any) -> None:
    path = checkpoint_of(SmallFocusNetTrainer)
    change_json(project / "dataset.json", focusnet={"small_organs": ["Eye_L"]})
    trainer, before, line = started_from(make_trainer, path, SmallFocusNetTrainer)
    assert torch.equal(trainer.network.sol.head.weight, before["sol.head.weight"])
    assert "Afresh: SOL-Net, SOS-Nets, segmentation layers" in line


def test_as_many_sos_nets_of_other_organs_start_afresh(make_trainer: Any, project: Path, checkpoint_of: Any) -> None:
    path = checkpoint_of(SmallPlansNetworkTrainer)  # two, each of a pair
    change_json(project / "dataset.json", focusnet={"small_organs": ["Lens_L", "OpticNerve_L"]})
    trainer, before, line = started_from(make_trainer, path, SmallPlansNetworkTrainer)
    assert len(trainer.network.sos) == 2
    assert torch.equal(trainer.network.sos[0].head.weight, before["sos.0.head.weight"])
    assert "Afresh: SOL-Net, SOS-Nets, segmentation layers" in line


def test_s_net_takes_over_the_main_network_of_a_focusnet(make_trainer: Any, checkpoint_of: Any) -> None:
    path = checkpoint_of(SmallFocusNetTrainer)
    theirs = torch.load(path, weights_only=False)["network_weights"]
    trainer, _, line = started_from(make_trainer, path, SmallSNetTrainer)
    for name, value in trainer.network.named_parameters():
        assert torch.equal(value, theirs[f"main.{name}"]) == (".seg_layers." not in name)
    assert line.endswith(": main network. Afresh: segmentation layers.")


def test_a_run_from_pretrained_sos_nets_predicts_without_them_until_it_trained_them(
    make_trainer: Any, checkpoint_of: Any
) -> None:
    trainer, _, _ = started_from(make_trainer, checkpoint_of(SmallFocusNetTrainer), SmallFocusNetTrainer)
    seen = []
    trainer.on_validation_epoch_start = lambda: seen.append(bool(trainer.network.eval().sos_trained))
    trainer.num_epochs = 4
    trainer.run_training()
    assert seen == [False, False, True, True]


@pytest.mark.parametrize(
    ("source", "target"), [(SmallSNetTrainer, SmallPlansNetworkTrainer), (nnUNetTrainer, SmallFocusNetTrainer)]
)
def test_another_main_network_is_refused_in_one_line(
    make_trainer: Any, checkpoint_of: Any, source: Any, target: Any
) -> None:
    path = checkpoint_of(source)
    with pytest.raises(ValueError, match="has another main network") as error:
        started_from(make_trainer, path, target)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_other_widths_are_refused_in_one_line(make_trainer: Any, project: Path, checkpoint_of: Any) -> None:
    path = checkpoint_of(nnUNetTrainer)
    use_residual_encoder(project / "nnUNetPlans.json")
    with pytest.raises(ValueError, match="has another main network") as error:
        started_from(make_trainer, path, SmallPlansNetworkTrainer)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"", b"no checkpoint", None])
def test_a_file_that_is_no_checkpoint_is_named(make_trainer: Any, tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "some weights.pth"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match="can't be read as a checkpoint") as error:
        started_from(make_trainer, path, SmallFocusNetTrainer)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_stock_trainers_keep_the_function_of_nnu_net(make_trainer: Any, checkpoint_of: Any) -> None:
    path = checkpoint_of(nnUNetTrainer)
    theirs = torch.load(path, weights_only=False)["network_weights"]
    ours = make_trainer(SmallFocusNetTrainer)
    ours.initialize()
    stock = make_trainer(nnUNetTrainer)
    run_training.maybe_load_checkpoint(stock, False, False, str(path))
    assert all(torch.equal(v, theirs[k]) for k, v in stock.network.state_dict().items() if ".seg_layers." not in k)
    ours.on_train_start()
    assert run_training.load_pretrained_weights is load_pretrained_weights
