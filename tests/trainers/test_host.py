"""What nnunetv2_focusnet/trainers/host.py relies on in nnU-Net: a test for each thing, whose failure says what changed.

Most tests look at stock nnU-Net. Where one fails with a new version, mend the function of host.py that it names.
"""

import inspect
import runpy
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from nnunetv2.run import run_training
from nnunetv2.training.dataloading.data_loader import nnUNetDataLoader
from nnunetv2.training.logging.nnunet_logger import LocalLogger, MetaLogger
from nnunetv2.training.nnUNetTrainer import nnUNetTrainer as trainer_module
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.training.nnUNetTrainer.variants.data_augmentation.nnUNetTrainer_noDummy2DDA import (
    nnUNetTrainer_noDummy2DDA,
)
from nnunetv2.training.nnUNetTrainer.variants.data_augmentation.nnUNetTrainerDA5 import nnUNetTrainerDA5
from nnunetv2.training.nnUNetTrainer.variants.data_augmentation.nnUNetTrainerNoMirroring import nnUNetTrainerNoMirroring
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from torch import nn

from nnunetv2_focusnet.trainers import host
from nnunetv2_focusnet.trainers.left_right_flip import LeftRightFlipTransform
from nnunetv2_focusnet.trainers.left_right_trainer import LeftRightTrainer

PATCH = (16, 32, 32)


def has_parameters(function: Any, *names: str) -> bool:
    return list(inspect.signature(function).parameters)[: len(names)] == list(names)


class Stock(nnUNetTrainer):
    """Stock nnU-Net with a network that takes no time."""

    @staticmethod
    def build_network_architecture(plans_manager: PlansManager, *args: Any, **kwargs: Any) -> nn.Module:
        network = nn.Conv3d(1, 10, 1)
        network.decoder = nn.Module()
        network.decoder.seen_plans = plans_manager.plans
        return network

    def __init__(self, plans: Any, configuration: Any, fold: Any, dataset_json: Any, device: Any) -> None:
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.enable_deep_supervision = False


class Host(host.HostTrainer):
    default_num_epochs = 7
    default_enable_deep_supervision = False
    build_network_architecture = staticmethod(Stock.build_network_architecture)


def batch(trainer: Any) -> dict[str, Any]:
    target = torch.zeros(2, 1, *PATCH)
    target[:, :, :4] = 3
    return {"data": torch.randn(2, 1, *PATCH), "target": target, "keys": ["Head_000", "Head_001"]}


# ---- constructor and plans ----


def test_constructor_takes_its_arguments_by_name_and_keeps_them(make_trainer: Any) -> None:
    names = ("plans", "configuration", "fold", "dataset_json", "device")
    assert has_parameters(nnUNetTrainer, *names), "nnUNetTrainer's constructor has other parameters: host.ClassSettings"
    trainer = make_trainer(Stock)
    kept = tuple(trainer.my_init_kwargs)
    assert kept == names, "my_init_kwargs, which checkpoints hold, has other names: host.use_plans, trained_folds.py"


@pytest.mark.parametrize("name", [default.removeprefix("default_") for default in host.ClassSettings.__annotations__])
def test_settings_are_attributes_of_every_trainer(make_trainer: Any, name: str) -> None:
    value = getattr(make_trainer(nnUNetTrainer), name, None)
    assert value is not None, f"nnUNetTrainer has no setting {name} any more: host.ClassSettings"


def test_settings_of_a_class_win_and_others_stay_nnunets_own(make_trainer: Any) -> None:
    ours, stock = make_trainer(Host), make_trainer(nnUNetTrainer)
    assert (ours.num_epochs, ours.enable_deep_supervision) == (7, False)
    assert (ours.initial_lr, ours.num_iterations_per_epoch) == (stock.initial_lr, stock.num_iterations_per_epoch)


def test_arguments_are_refused_before_a_folder_is_made(make_trainer: Any, project: Path) -> None:
    class Refusing(Host):
        def check_arguments(self, plans: Any, configuration: Any, dataset_json: Any) -> None:
            raise ValueError(plans["dataset_name"])

    with pytest.raises(ValueError, match="Dataset900_Phantom"):
        make_trainer(Refusing)
    assert not (project.parents[1] / "nnUNet_results").exists()


def test_dataset_json_is_read_from_the_preprocessed_folder(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = host.dataset_json_file(project.name)
    assert found == project / "dataset.json", "nnunetv2.paths gives another folder: host.dataset_json_file"
    monkeypatch.delenv("nnUNet_preprocessed")
    assert host.dataset_json_file(project.name) is None, "nnUNet_preprocessed.is_set() changed: host.dataset_json_file"


def test_network_is_built_in_initialize_from_the_plans_that_the_trainer_has_by_then(make_trainer: Any) -> None:
    trainer = make_trainer(Host)
    assert trainer.network is None, "the network is built before initialize(): host.use_plans comes too late"
    trainer.use_plans(trainer.plans_manager.plans | {"focusnet": "here"})
    trainer.initialize_once()
    seen = trainer.network.decoder.seen_plans.get("focusnet")
    assert seen == "here", "the network isn't built from trainer.plans_manager any more: host.use_plans"
    assert trainer.was_initialized is True, "initialize() doesn't set was_initialized: host.initialize_once"
    network = trainer.network
    trainer.initialize_once()
    assert trainer.network is network


def test_loss_is_built_by_a_method(make_trainer: Any) -> None:
    class WithLoss(Host):
        def build_loss(self) -> nn.Module:
            return nn.Identity()

    trainer = make_trainer(WithLoss)
    trainer.initialize()
    assert isinstance(trainer.loss, nn.Identity), "initialize() doesn't call _build_loss() any more: host.build_loss"


def test_pretrained_weights_are_loaded_by_a_function_of_the_command(make_trainer: Any) -> None:
    taken = []

    class Taking(Host):
        def take_pretrained_weights(self, path: Path) -> None:
            taken.append(path)

    original = run_training.load_pretrained_weights
    run_training.maybe_load_checkpoint(make_trainer(Taking), False, False, "weights.pth")
    run_training.load_pretrained_weights = original
    assert taken == [Path("weights.pth")], "maybe_load_checkpoint loads pretrained weights elsewhere: host.initialize"


def test_the_command_as_a_script_takes_pretrained_weights_alike(
    make_trainer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = []

    class Taking(Host):
        def take_pretrained_weights(self, path: Path) -> None:
            taken.append(path)

    script = ModuleType("__main__")  # of python -m nnunetv2.run.run_training
    vars(script).update(runpy.run_path(run_training.__file__))
    monkeypatch.setitem(sys.modules, "__main__", script)
    monkeypatch.setattr(run_training, "load_pretrained_weights", run_training.load_pretrained_weights)
    script.maybe_load_checkpoint(make_trainer(Taking), False, False, "weights.pth")
    assert taken == [Path("weights.pth")], "the command loads pretrained weights elsewhere: host.training_commands"


# ---- batches ----


def test_augmentation_is_set_up_by_one_method(make_trainer: Any) -> None:
    trainer = make_trainer(nnUNetTrainer)
    result = trainer.configure_rotation_dummyDA_mirroring_and_inital_patch_size()
    rotation, dummy_2d, size, axes = result
    assert rotation[0] == -rotation[1] < 0, "the range of rotation isn't (-angle, angle): host.limit_augmentation"
    assert (type(dummy_2d), len(size), axes) == (bool, 3, (0, 1, 2)), "set-up returns something else: host, the same"
    kept = trainer.inference_allowed_mirroring_axes
    assert kept == axes, "prediction's axes aren't in inference_allowed_mirroring_axes: host, set-up of augmentation"


def test_limits_hold_for_training_and_prediction(make_trainer: Any) -> None:
    class Limited(Host):
        def limit_augmentation(self, rotation: Any, mirror_axes: Any) -> Any:
            return (-0.1, 0.1), ()

    trainer = make_trainer(Limited)
    rotation, _, _, axes = trainer.configure_rotation_dummyDA_mirroring_and_inital_patch_size()
    assert (rotation, axes, trainer.inference_allowed_mirroring_axes) == ((-0.1, 0.1), (), None)
    assert trainer.find_mirror_axes() == ()


def test_stock_mix_ins_have_their_say_in_what_is_mirrored(make_trainer: Any) -> None:
    class Unmirrored(nnUNetTrainerNoMirroring, Host):
        pass

    assert make_trainer(Host).find_mirror_axes() == (0, 1, 2)
    assert make_trainer(Unmirrored).find_mirror_axes() == ()


@pytest.mark.parametrize("mix_in", [nnUNetTrainerDA5, nnUNetTrainer_noDummy2DDA])
def test_stock_mix_ins_that_know_no_limits_of_mirroring_are_refused(
    mix_in: type, make_trainer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LeftRightTrainer, "left_right", SimpleNamespace(unsafe_axes=(2,), message=""))
    monkeypatch.setattr(host.HostTrainer, "initialize", lambda self: None)
    make_trainer(LeftRightTrainer).initialize()
    with pytest.raises(ValueError, match=r"^Mixed mirrors along axis 2, which would make left organs right ones"):
        make_trainer(type("Mixed", (mix_in, LeftRightTrainer), {})).initialize()


def test_training_transforms_are_a_list_that_can_be_extended(make_trainer: Any) -> None:
    first = LeftRightFlipTransform(2, [(4, 5)])

    class Flipping(Host):
        def first_transforms(self) -> list[Any]:
            return [first]

    arguments = (PATCH, (0.0, 0.0), None, (0, 1), False)
    stock = nnUNetTrainer.get_training_transforms(*arguments)
    assert isinstance(stock.transforms, list), "training transforms aren't a Compose of a list: host.first_transforms"
    ours = make_trainer(Flipping).get_training_transforms(*arguments)
    assert ours.transforms[0] is first
    assert [type(each) for each in ours.transforms[1:]] == [type(each) for each in stock.transforms]


def test_batches_of_real_loaders_say_what_was_flipped(make_trainer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    lens_left, lens_right = 4, 5
    seen = []

    class Seen(LeftRightFlipTransform):
        """Notes whether it flipped, in the order of the samples."""

        def get_parameters(self, **sample: Any) -> dict[str, Any]:
            parameters = super().get_parameters(**sample)
            seen.append(bool(parameters["axes"]))
            return parameters

    class Flipping(LeftRightTrainer):
        def first_transforms(self) -> list[Any]:
            return [Seen(2, [(lens_left, lens_right)])]

    trainer = make_trainer(Flipping)
    trainer.initialize()
    training, validation = trainer.get_dataloaders()
    seen.clear()
    flipped = [flip for _ in range(4) for flip in next(training)["flipped"]]
    lost = "get_dataloaders() makes its loaders of another class, or they drop what they return: host.get_dataloaders"
    assert flipped == seen, lost
    assert set(flipped) == {True, False}  # by chance not so in 1 of 128, but the seed is fixed
    assert not any(next(validation)["flipped"]), lost
    assert trainer_module.nnUNetDataLoader is nnUNetDataLoader
    names = {"data", "target", "keys", "flipped"}
    assert set(next(training)) == names, "batches have other entries: host.FlipTellingDataLoader, trainers/base.py"


def test_target_sizes_are_those_of_the_batch(make_trainer: Any) -> None:
    class Deep(Host):
        default_enable_deep_supervision = True

    trainer = make_trainer(Deep)
    scales = trainer._get_deep_supervision_scales()
    assert list(scales[0]) == [1, 1, 1], "_get_deep_supervision_scales() begins elsewhere: host.target_sizes"
    transforms = nnUNetTrainer.get_validation_transforms(scales)
    segmentation = torch.zeros(1, *PATCH, dtype=torch.int16)
    made = transforms(image=torch.zeros(1, *PATCH), segmentation=segmentation)["segmentation"]
    assert trainer.target_sizes() == [list(each.shape[1:]) for each in made], "targets are smaller: host.target_sizes"
    assert make_trainer(Host).target_sizes() == [list(PATCH)], "not None without deep supervision: host.target_sizes"


# ---- steps ----


def test_train_step_clips_and_then_calls_the_optimisers_step(make_trainer: Any) -> None:
    trainer = make_trainer(Stock)
    trainer.initialize()
    norms = []
    trainer.optimizer.register_step_pre_hook(
        lambda *_: norms.append(torch.cat([p.grad.flatten() for p in trainer.network.parameters()]).norm())
    )
    trainer.loss = nn.Module()
    trainer.loss.forward = lambda output, target: 1e6 * output.square().mean()
    result = trainer.train_step(batch(trainer))
    assert list(result) == ["loss"], "train_step() returns something else: trainers/finite_trainer.py"
    assert len(norms) == 1, "train_step() doesn't call optimizer.step() once: trainers/finite_trainer.py"
    assert norms[0] <= 12.001, "the gradient isn't clipped before the step: trainers/finite_trainer.py"


def test_validation_step_shows_output_and_labels_to_the_loss_and_counts_voxels(make_trainer: Any) -> None:
    shown = []

    class Uncounting(Host):
        def uncounted_voxels(self, output: Any, target: Any) -> np.ndarray:
            shown.append((output.shape, target.shape))
            return np.arange(9)

    ours, stock = make_trainer(Uncounting), make_trainer(Stock)
    for trainer in (ours, stock):
        trainer.initialize()
    ours.network.load_state_dict(stock.network.state_dict())
    sample = batch(ours)
    with torch.no_grad():
        mine, theirs = ours.validation_step(sample), stock.validation_step(sample)
    counted = {"loss", "tp_hard", "fp_hard", "fn_hard"}
    assert set(theirs) == counted, "validation_step() returns other names: host.validation_step, skipped_steps.COUNTS"
    assert theirs["fp_hard"].shape == (9,), "counts aren't one per organ: host.uncounted_voxels"
    assert shown == [((2, 10, *PATCH), (2, 1, *PATCH))], "the loss isn't called once with output and labels: the same"
    assert (theirs["fp_hard"] - mine["fp_hard"]).tolist() == list(range(9))
    assert mine["tp_hard"].tolist() == theirs["tp_hard"].tolist()


def test_deep_supervision_is_an_attribute_of_the_decoder(make_trainer: Any) -> None:
    trainer = make_trainer(Stock)
    trainer.initialize()
    trainer.set_deep_supervision_enabled(True)
    said = trainer.network.decoder.deep_supervision
    assert said is True, "deep supervision isn't network.decoder.deep_supervision: architectures/focusnet.py"


def test_compiled_network_is_found_under_its_wrapper(make_trainer: Any) -> None:
    trainer = make_trainer(Host)
    network = nn.Conv3d(1, 1, 1)
    trainer.network = torch.compile(network)
    assert trainer.bare_network is network, "torch.compile wraps networks in another way: host.bare_network"


# ---- log and checkpoints ----


def test_log_has_a_list_per_curve_and_its_average_passes_through_the_local_log(tmp_path: Path) -> None:
    logged = []

    class Watched(LocalLogger):
        def log(self, key: str, value: Any, epoch: int) -> None:
            logged.append((key, value))
            super().log(key, value, epoch)

    logger = MetaLogger(str(tmp_path), resume=False)
    logger.local_logger = Watched()
    for epoch, dice in enumerate((0.5, 1.0)):
        logger.log(host.MEAN_DICE, dice, epoch)
    average = host.EMA_DECAY * 0.5 + (1 - host.EMA_DECAY) * 1.0
    expected = [(host.MEAN_DICE, 0.5), (host.EMA_DICE, 0.5), (host.MEAN_DICE, 1.0), (host.EMA_DICE, average)]
    assert logged == expected, "the moving average is worked out elsewhere: host.EMA_DICE, progress.StageLogger"
    log = host.curves(logger.local_logger)
    assert log[host.MEAN_DICE] == [0.5, 1.0], "the local log's lists are elsewhere: host.curves"
    assert isinstance(log["lrs"], list), "the local log has no learning rates: trainers/progress.py"
    assert logger.get_checkpoint() == log, "checkpoints hold something else of the log: trainers/progress.py"
    with pytest.raises(AssertionError):
        logger.log("unknown", 1.0, 0)


def test_trainers_log_into_what_they_are_given(make_trainer: Any) -> None:
    trainer, mine = make_trainer(Host), LocalLogger()
    trainer.use_local_log(mine)
    trainer.logger.log("lrs", 0.1, 0)
    assert host.curves(trainer.local_log)["lrs"] == [0.1], "logger.local_logger is another thing: host.use_local_log"
    assert trainer.local_log is mine
    assert trainer.is_resumed is False, "logger.resume isn't --c any more: host.is_resumed"


def test_progress_is_drawn_into_one_file(tmp_path: Path) -> None:
    log = LocalLogger()
    for key in host.curves(log):
        log.log(key, 0.5, 0)
    log.plot_progress_png(str(tmp_path))
    found = [path.name for path in tmp_path.iterdir()]
    assert found == [host.PROGRESS_PICTURE], "progress is drawn into another file: host.PROGRESS_PICTURE"


def test_checkpoints_hold_what_is_needed_to_resume(make_trainer: Any, tmp_path: Path) -> None:
    trainer = make_trainer(Host)
    trainer.initialize()
    assert trainer.writes_checkpoints
    trainer.save_checkpoint(str(tmp_path / "any name.pth"))
    saved = torch.load(tmp_path / "any name.pth", weights_only=False)
    missing = [name for name in host.NEEDED_TO_RESUME if name not in saved]
    assert not missing, f"checkpoints lack {missing}: host.NEEDED_TO_RESUME"
    assert "plans" in saved["init_args"], "checkpoints don't hold the plans: trained_folds.py"
    resumed = make_trainer(Host)
    resumed.load_checkpoint(str(tmp_path / "any name.pth"))
    assert resumed.current_epoch == 1, "a checkpoint's epoch isn't the number of epochs done: resumable_trainer.py"
    trainer.disable_checkpointing = True
    assert not trainer.writes_checkpoints
    trainer.save_checkpoint(str(tmp_path / "none.pth"))
    assert not (tmp_path / "none.pth").exists(), "disable_checkpointing doesn't hold: host.writes_checkpoints"


def test_names_of_checkpoints_and_their_order(make_trainer: Any) -> None:
    class Loading(Host):
        def load_checkpoint(self, filename_or_checkpoint: str) -> None:
            loaded.append(Path(filename_or_checkpoint).name)

    loaded: list[str] = []
    trainer = make_trainer(Loading)
    folder = Path(trainer.output_folder)
    for name in host.RESUME_ORDER:
        (folder / name).touch()
    for name in host.RESUME_ORDER:
        run_training.maybe_load_checkpoint(trainer, True, False)
        (folder / name).unlink()
    assert loaded == list(host.RESUME_ORDER), "--c looks for other checkpoints, or in another order: host.RESUME_ORDER"


def test_the_next_epoch_is_best_once_the_best_is_forgotten(make_trainer: Any) -> None:
    class Saving(Host):
        def save_checkpoint(self, filename: str) -> None:
            saved.append(Path(filename).name)

    saved: list[str] = []
    trainer = make_trainer(Saving)
    trainer.logger.plot_progress_png = lambda folder: None
    for epoch, dice in enumerate((0.9, 0.1, 0.1)):
        if epoch == 2:
            trainer.forget_best()
        trainer.on_epoch_start()
        for key, value in (("train_losses", 1.0), ("val_losses", 1.0), ("dice_per_class_or_region", [dice])):
            trainer.logger.log(key, value, epoch)
        trainer.logger.log(host.MEAN_DICE, dice, epoch)
        trainer.on_epoch_end()
    assert saved == [host.BEST, host.BEST], "_best_ema doesn't say which checkpoint is best: host.forget_best"


def test_the_latest_checkpoint_is_written_before_the_best_is_compared(make_trainer: Any) -> None:
    class Saving(Host):
        def save_checkpoint(self, filename: str) -> None:
            with self.best_is_up_to_date():
                up_to_date = self._best_ema
            saved.append((Path(filename).name, self._best_ema, up_to_date))

    saved: list[tuple[str, float | None, float | None]] = []
    trainer = make_trainer(Saving)
    trainer.save_every, trainer.num_epochs = 1, 3
    trainer.logger.plot_progress_png = lambda folder: None
    for epoch, average in enumerate((0.5, 0.4)):
        trainer.on_epoch_start()
        for key, value in (("train_losses", 1.0), ("val_losses", 1.0), ("dice_per_class_or_region", [average])):
            trainer.logger.log(key, value, epoch)
        trainer.logger.log(host.EMA_DICE, average, epoch)
        trainer.on_epoch_end()
    expected = [(host.LATEST, None, 0.5), (host.BEST, 0.5, 0.5), (host.LATEST, 0.5, 0.5)]
    assert saved == expected, "nnU-Net writes checkpoints in another order: host.best_is_up_to_date"


def test_pretrained_weights_never_give_segmentation_layers(tmp_path: Path) -> None:
    def network() -> nn.Module:
        made = nn.Module()
        made.decoder = nn.ModuleDict({"seg_layers": nn.ModuleList([nn.Conv3d(1, 2, 1)]), "rest": nn.Conv3d(1, 2, 1)})
        return made

    ours, theirs = network(), network()
    torch.save({"network_weights": theirs.state_dict()}, tmp_path / "weights.pth")
    run_training.load_pretrained_weights(ours, str(tmp_path / "weights.pth"))
    taken = {name: torch.equal(value, theirs.state_dict()[name]) for name, value in ours.state_dict().items()}
    assert taken == {name: host.NEW_IN_EVERY_TRAINING not in name for name in taken}, (
        "pretrained weights skip other layers: host.NEW_IN_EVERY_TRAINING"
    )
