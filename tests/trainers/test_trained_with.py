"""Prediction by nnU-Net's predictor from a model folder whose plans.json isn't that of the training."""

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from nnunetv2.inference import predict_from_raw_data
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from small_trainers import SmallFocusNetTrainer, SmallPlansNetworkTrainer, SmallSNetTrainer

TRAINERS = [SmallFocusNetTrainer, SmallPlansNetworkTrainer, SmallSNetTrainer]


@pytest.fixture(params=TRAINERS[:2])
def model(make_trainer: Any, request: pytest.FixtureRequest) -> Path:
    """A model folder as an untrained trainer leaves it."""
    return model_of(make_trainer, request.param)


def model_of(make_trainer: Any, trainer_class: Any) -> Path:
    trainer = make_trainer(trainer_class)
    trainer.num_epochs = 0
    trainer.run_training()
    return Path(trainer.output_folder_base)


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that loads a model folder as nnUNetv2_predict does, which finds the tests' trainers by name."""
    by_name = {trainer.__name__: trainer for trainer in TRAINERS}
    monkeypatch.setattr(predict_from_raw_data, "recursive_find_trainer_class_by_name", by_name.__getitem__)

    def load_model(folder: Path, checkpoint: str = "checkpoint_final.pth") -> nnUNetPredictor:
        predictor = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
        predictor.initialize_from_trained_model_folder(str(folder), (0,), checkpoint)
        return predictor

    return load_model


def assert_has_its_weights(predictor: nnUNetPredictor, model: Path) -> None:
    saved = torch.load(model / "fold_0" / "checkpoint_final.pth", weights_only=False)["network_weights"]
    loaded = predictor.network.state_dict()
    assert loaded.keys() == saved.keys()
    assert all(torch.equal(value, saved[name]) for name, value in loaded.items())


def change_plans(model: Path, change: Any) -> None:
    plans = json.loads((model / "plans.json").read_text())
    change(plans, plans["configurations"]["3d_fullres"])
    (model / "plans.json").write_text(json.dumps(plans))


def test_its_own_plans_are_taken(model: Path, load: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        predictor = load(model)
    assert_has_its_weights(predictor, model)


def other_batch(_plans: dict[str, Any], configuration: dict[str, Any]) -> None:
    configuration["batch_size"] = 7
    configuration["resampling_fn_probabilities_kwargs"]["order"] = 0


def test_what_does_not_matter_to_the_weights_may_change(model: Path, load: Any) -> None:
    change_plans(model, other_batch)
    assert_has_its_weights(load(model), model)


def no_entry(_plans: dict[str, Any], configuration: dict[str, Any]) -> None:
    del configuration["focusnet"]


def no_organs(_plans: dict[str, Any], configuration: dict[str, Any]) -> None:
    configuration["focusnet"] = {}


def half_an_organ(_plans: dict[str, Any], configuration: dict[str, Any]) -> None:
    configuration["focusnet"]["small_organs"][1] = {"name": "Lens_R"}


def organ_less(_plans: dict[str, Any], configuration: dict[str, Any]) -> None:
    configuration["focusnet"]["small_organs"].pop()


def organs_swapped(_plans: dict[str, Any], configuration: dict[str, Any]) -> None:
    configuration["focusnet"]["small_organs"].reverse()


def other_label(_plans: dict[str, Any], configuration: dict[str, Any]) -> None:
    configuration["focusnet"]["small_organs"][0]["label"] = 1


def larger_region(_plans: dict[str, Any], configuration: dict[str, Any]) -> None:
    configuration["focusnet"]["small_organs"][0]["roi_size"] = [16, 16, 16]


def larger_region_of_the_network(_plans: dict[str, Any], configuration: dict[str, Any]) -> None:
    configuration["focusnet"]["network"]["roi_sizes"][0] = [16, 16, 16]


def pairs_swapped(_plans: dict[str, Any], configuration: dict[str, Any]) -> None:
    configuration["focusnet"]["network"]["pairs"]["organs"].reverse()


def other_mirror_axis(_plans: dict[str, Any], configuration: dict[str, Any]) -> None:
    configuration["focusnet"]["network"]["pairs"]["mirror_axis"] = 1


def other_widths(_plans: dict[str, Any], configuration: dict[str, Any]) -> None:
    kwargs = configuration["architecture"]["arch_kwargs"]
    kwargs["features_per_stage"] = [2 * width for width in kwargs["features_per_stage"]]


def other_s_net(_plans: dict[str, Any], configuration: dict[str, Any]) -> None:
    widths = configuration["focusnet"]["network"]["main"]["features_per_stage"]
    configuration["focusnet"]["network"]["main"]["features_per_stage"] = [2 * width for width in widths]


def other_spacing(_plans: dict[str, Any], configuration: dict[str, Any]) -> None:
    configuration["spacing"] = [2.5, 1.0, 1.0]


def other_intensities(plans: dict[str, Any], _configuration: dict[str, Any]) -> None:
    plans["foreground_intensity_properties_per_channel"]["0"]["mean"] += 1


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (no_entry, "'focusnet'"),
        (no_organs, "lacks 'laterality'"),
        (half_an_organ, "SmallOrgan, missing or unknown: diameter_mm, label,"),
        (organ_less, "small organs"),
        (organs_swapped, "small organs"),
        (other_label, "small organs"),
        (larger_region, "small organs"),
        (larger_region_of_the_network, "ROIs"),
        (other_spacing, "spacing"),
        (other_intensities, "intensities"),
    ],
)
def test_other_plans_are_refused_in_one_line(model: Path, load: Any, change: Any, word: str) -> None:
    change_plans(model, change)
    with pytest.raises(ValueError, match=r"plans\.json isn't the one that the network was trained with") as error:
        load(model)
    assert word in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("change", [pairs_swapped, other_mirror_axis])
def test_other_pairs_that_share_a_sos_net_are_refused(make_trainer: Any, load: Any, change: Any) -> None:
    model = model_of(make_trainer, SmallPlansNetworkTrainer)
    change_plans(model, change)
    with pytest.raises(ValueError, match=r"different pairs"):
        load(model)


@pytest.mark.parametrize(
    ("trainer_class", "change"), [(SmallPlansNetworkTrainer, other_widths), (SmallFocusNetTrainer, other_s_net)]
)
def test_other_widths_are_refused_where_they_are_the_networks(
    make_trainer: Any, load: Any, trainer_class: Any, change: Any
) -> None:
    model = model_of(make_trainer, trainer_class)
    change_plans(model, change)
    with pytest.raises(ValueError, match=r"plans\.json isn't the one .*shape"):
        load(model)


def test_s_net_of_its_description_does_not_depend_on_the_plans_network(make_trainer: Any, load: Any) -> None:
    model = model_of(make_trainer, SmallSNetTrainer)
    change_plans(model, other_widths)
    load(model)
    change_plans(model, other_spacing)
    with pytest.raises(ValueError, match=r"plans\.json isn't the one"):
        load(model)


def test_the_plans_that_belong_to_the_weights_are_in_the_checkpoint(model: Path, load: Any) -> None:
    expected = load(model).network.state_dict()
    change_plans(model, no_entry)
    checkpoint = torch.load(model / "fold_0" / "checkpoint_final.pth", weights_only=False)
    (model / "plans.json").write_text(json.dumps(checkpoint["init_args"]["plans"]))
    assert all(torch.equal(value, expected[name]) for name, value in load(model).network.state_dict().items())


@pytest.mark.parametrize("killed", [1, 3, 5, 7])
def test_predicting_with_a_checkpoint_of_any_stage_says_whose_the_small_organs_are(
    left_by_kill: Any, load: Any, killed: int
) -> None:
    folder = left_by_kill(killed)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        load(folder.parent, "checkpoint_latest.pth")
    said = [str(warning.message) for warning in caught if "main network's own" in str(warning.message)]
    assert len(said) == (killed < 5)
