"""Runs that go on with another number of epochs, after kills, or from checkpoints that can't be used."""

import json
import math
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from batchgenerators.utilities.file_and_folder_operations import load_pickle, write_pickle
from nnunetv2.run.run_training import maybe_load_checkpoint
from small_trainers import SmallFocusNetTrainer, SmallPlansNetworkTrainer, SmallSNetTrainer
from test_focusnet_trainer import STAGES_OF_8_EPOCHS, InterruptedRunError, change_json, log_of, run

from nnunetv2_focusnet.organs.plans_entry import PlansEntry

NUMBERS = count()
FINAL, LATEST, BEST = "checkpoint_final.pth", "checkpoint_latest.pth", "checkpoint_best.pth"


class WithoutSteps(SmallFocusNetTrainer):
    """Goes through the epochs without training; the Dice of every organ is as written here."""

    dice = (0.9, 0.9, 0.9, 0.9, 0.2, 0.4, 0.1, 0.3, 0.3, 0.3, 0.3)

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        return {"loss": np.array(1.0)} | dict.fromkeys(self.loss.term_names, 0.1)

    def validation_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        dice = self.dice[self.current_epoch]
        overlap, error = np.full(9, 100 * dice), np.full(9, 100 * (1 - dice))
        return {"loss": np.array(1.0), "tp_hard": overlap, "fp_hard": error, "fn_hard": error}


def resumed(make_trainer: Any, num_epochs: int = 8, trainer_class: Any = WithoutSteps) -> Any:
    """A trainer as nnUNetv2_train --c has it before it trains."""
    trainer = make_trainer(trainer_class)
    trainer.num_epochs = num_epochs
    trainer.logger.resume = True  # as nnU-Net's constructor makes it
    trainer.log_file += str(next(NUMBERS))  # else trainers of the same second share one
    maybe_load_checkpoint(trainer, continue_training=True, validation_only=False)
    return trainer


def lines_with(trainer: Any, text: str) -> list[str]:
    return [line for line in Path(trainer.log_file).read_text().splitlines() if text in line]


def assert_one_line(error: Any, *parts: str) -> None:
    message = str(error.value)
    assert "\n" not in message
    for part in parts:
        assert part in message


# ---- another number of epochs ----


def test_a_finished_run_goes_on_in_its_last_stage(make_trainer: Any, left_by_kill: Any) -> None:
    left_by_kill(8)
    trainer = run(resumed(make_trainer, 10, SmallFocusNetTrainer))
    log = log_of(trainer)
    assert log["stage"] == [*STAGES_OF_8_EPOCHS, "joint", "joint"]
    # Joint training has a third of 3e-3. Of its 4 epochs, 6 to 9, half and three quarters are over.
    assert log["lrs"][8:] == pytest.approx([1e-3 * 0.5**0.9, 1e-3 * 0.25**0.9])
    assert log["train_losses"][9] < log["train_losses"][7]  # and it did not start anew
    (line,) = lines_with(trainer, "WARNING: this run had 8 epochs and has 10 now")
    assert "SOS (epochs 4 to 5), joint (epochs 6 to 9);" in line
    assert "After 8 epochs it goes on with a learning rate of 0.00054." in line


def test_a_stage_that_goes_on_keeps_the_optimisers_state(make_trainer: Any, left_by_kill: Any) -> None:
    left_by_kill(8, WithoutSteps)
    trainer = resumed(make_trainer, 10)
    trainer.on_train_start()
    trainer.on_train_epoch_start()
    (group,) = trainer.optimizer.param_groups
    steps = {int(trainer.optimizer.state[parameter]["step"]) for parameter in group["params"]}
    assert steps == {4}  # two epochs of two steps in the joint stage


@pytest.mark.parametrize(
    ("killed", "num_epochs", "rest"),
    [
        (1, 10, ["S-Net", "SOL", "SOL", "SOS", "SOS", "joint", "joint", "joint", "joint"]),
        (3, 6, ["SOL", "SOS", "joint"]),
        (3, 5, ["joint", "joint"]),
        (5, 9, ["SOS", "joint", "joint", "joint"]),
    ],
)
def test_a_killed_run_goes_on_with_another_number_of_epochs(
    make_trainer: Any, left_by_kill: Any, killed: int, num_epochs: int, rest: list[str]
) -> None:
    left_by_kill(killed, WithoutSteps)
    trainer = run(resumed(make_trainer, num_epochs))
    assert log_of(trainer)["stage"] == [*STAGES_OF_8_EPOCHS[:killed], *rest]
    assert len(lines_with(trainer, f"WARNING: this run had 8 epochs and has {num_epochs} now")) == 1


def test_resumed_twice_it_goes_on_with_the_schedule_of_the_first_time(make_trainer: Any, left_by_kill: Any) -> None:
    left_by_kill(3, WithoutSteps)
    with pytest.raises(InterruptedRunError):
        run(resumed(make_trainer, 6), interrupt_at=5)
    trainer = run(resumed(make_trainer, 6))
    assert log_of(trainer)["stage"] == ["S-Net", "S-Net", "SOL", "SOL", "SOS", "joint"]
    assert not lines_with(trainer, "WARNING: this run")  # said the first time


def test_fewer_epochs_than_are_done_train_nothing_and_say_so(make_trainer: Any, left_by_kill: Any) -> None:
    left_by_kill(3, WithoutSteps)
    before = resumed(make_trainer).network.state_dict()
    trainer = run(resumed(make_trainer, 2))
    assert all(torch.equal(value, before[name]) for name, value in trainer.network.state_dict().items())
    (line,) = lines_with(trainer, "nothing is left to train")
    assert "WARNING: 8 epochs had been planned. 3 epochs are done, the last one in stage SOL" in line
    assert log_of(run(resumed(make_trainer)))["stage"] == STAGES_OF_8_EPOCHS


def test_a_finished_run_says_that_nothing_is_left(make_trainer: Any, left_by_kill: Any) -> None:
    left_by_kill(8, WithoutSteps)
    (line,) = lines_with(run(resumed(make_trainer)), "nothing is left to train")
    assert "WARNING" not in line
    assert "8 epochs are done" in line


def test_other_shares_and_rates_do_not_move_the_stages_of_a_run(make_trainer: Any, left_by_kill: Any) -> None:
    left_by_kill(3, WithoutSteps)
    trainer = resumed(make_trainer)
    trainer.initial_lr = 3e-4
    build = trainer.build_schedule
    trainer.build_schedule = lambda: build()[-1:]  # all epochs joint, from now on
    log = log_of(run(trainer))
    assert log["stage"] == STAGES_OF_8_EPOCHS
    assert log["lrs"][6:] == pytest.approx([1e-4, 1e-4 * 0.5**0.9])  # the rate is today's
    assert len(lines_with(trainer, "WARNING: this run has other learning rates now.")) == 1


def test_a_finished_run_that_goes_on_and_is_killed_loses_no_epoch(make_trainer: Any, left_by_kill: Any) -> None:
    left_by_kill(8, WithoutSteps)
    with pytest.raises(InterruptedRunError):
        run(resumed(make_trainer, 11), interrupt_at=9)
    assert resumed(make_trainer, 11).current_epoch == 9  # nnU-Net alone would take checkpoint_final, of 8 epochs


def test_a_run_killed_between_its_last_two_checkpoints_is_finished(make_trainer: Any, left_by_kill: Any) -> None:
    folder = left_by_kill(8, WithoutSteps)
    (folder / LATEST).write_bytes((folder / BEST).read_bytes())
    os.utime(folder / LATEST, (1, 1))
    assert resumed(make_trainer).current_epoch == 8


def test_s_net_goes_on_with_more_epochs_too(make_trainer: Any) -> None:
    run(make_trainer(SmallSNetTrainer))
    trainer = run(resumed(make_trainer, 3, SmallSNetTrainer))
    assert log_of(trainer)["stage"] == ["S-Net"] * 3
    assert len(lines_with(trainer, "WARNING: this run had 2 epochs and has 3 now")) == 1


# ---- the best checkpoint ----


def best_of(trainer: Any) -> dict[str, Any]:
    return torch.load(Path(trainer.output_folder) / BEST, weights_only=False)


@pytest.mark.parametrize("killed", [None, 4, 5, 6, 7])
def test_the_best_checkpoint_is_one_whose_sos_nets_are_trained(make_trainer: Any, killed: int | None) -> None:
    trainer = make_trainer(WithoutSteps)
    if killed is None:
        run(trainer)
    else:
        with pytest.raises(InterruptedRunError):
            run(trainer, interrupt_at=killed)
        trainer = run(resumed(make_trainer))
    # By hand: 0.2; 0.9 * 0.2 + 0.1 * 0.4 = 0.22; 0.9 * 0.22 + 0.1 * 0.1 = 0.208; 0.9 * 0.208 + 0.1 * 0.3 = 0.2172.
    expected = [0.9, 0.9, 0.9, 0.9, 0.2, 0.22, 0.208, 0.2172]
    assert log_of(trainer)["ema_fg_dice"] == pytest.approx(expected)
    assert best_of(trainer)["network_weights"]["sos_trained"]
    assert best_of(trainer)["current_epoch"] == 6
    assert best_of(trainer)["_best_ema"] == pytest.approx(0.22)


class Elsewhere:
    """Stands for W&B: the last value of an epoch is the one that it shows."""

    def __init__(self) -> None:
        self.curves: dict[str, dict[int, float]] = {}

    def log(self, key: str, value: float, step: int) -> None:
        self.curves.setdefault(key, {})[step] = value


def test_other_loggers_have_the_same_average_and_no_small_organ_under_another_ones_number(make_trainer: Any) -> None:
    trainer = make_trainer(WithoutSteps)
    trainer.initialize()
    elsewhere = Elsewhere()
    trainer.logger.loggers.append(elsewhere)
    run(trainer)
    assert list(elsewhere.curves["ema_fg_dice"].values()) == log_of(trainer)["ema_fg_dice"]
    per_class = {key.partition("/")[0] for key in elsewhere.curves if "/class_" in key}
    assert per_class == {"dice_per_class_or_region"}


def test_real_training_has_a_best_checkpoint_whose_sos_nets_are_trained(recorded_run: Any) -> None:
    trainer, _ = recorded_run
    assert best_of(trainer)["network_weights"]["sos_trained"]
    dice, average = (log_of(trainer)[key] for key in ("mean_fg_dice", "ema_fg_dice"))
    assert average[4] == dice[4]
    assert average[5] == pytest.approx(0.9 * dice[4] + 0.1 * dice[5])


def test_epochs_without_any_organ_do_not_spoil_the_moving_average(make_trainer: Any) -> None:
    trainer = make_trainer(WithoutSteps)
    trainer.dice = (math.nan, 0.4, math.nan, 0.5, 0.2, math.nan, 0.3, 0.3)
    with np.errstate(invalid="ignore"):
        run(trainer)
    # By hand: 0 while there is none; 0.4; 0.9 * 0.4 + 0.1 * 0.5 = 0.41; anew 0.2; 0.21; 0.9 * 0.21 + 0.1 * 0.3 = 0.219
    assert log_of(trainer)["ema_fg_dice"] == pytest.approx([0, 0.4, 0.4, 0.41, 0.2, 0.2, 0.21, 0.219])
    assert best_of(trainer)["current_epoch"] == 8


@pytest.mark.parametrize("killed", [1, 3, 5, 7])
def test_a_run_killed_in_any_stage_predicts_as_its_checkpoint_says(
    make_trainer: Any, left_by_kill: Any, killed: int
) -> None:
    left_by_kill(killed, WithoutSteps)
    trainer = resumed(make_trainer)
    sos_trained = killed > 4
    (line,) = lines_with(trainer, f"{LATEST}, of {killed} epochs")
    assert ("small organs are the main network's own" in line) != sos_trained
    network, image = trainer.network.eval(), trainer.batch()["data"]
    with torch.no_grad():
        network.sol.head.bias.fill_(10.0)  # every organ is found
        assert torch.equal(network(image), network.main(image)) != sos_trained


# ---- checkpoints that can't be used ----


@pytest.fixture
def folder(left_by_kill: Any) -> Path:
    return left_by_kill(2, WithoutSteps)


def cut_off(path: Path, share: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])


@pytest.mark.parametrize("share", [0, 0.3, 0.99])
def test_a_checkpoint_cut_off_is_named_with_what_to_go_on_from(make_trainer: Any, folder: Path, share: float) -> None:
    cut_off(folder / LATEST, share)
    epochs = torch.load(folder / BEST, weights_only=False)["current_epoch"]
    with pytest.raises(ValueError, match="can't be read as a checkpoint") as error:
        resumed(make_trainer)
    assert_one_line(error, str(folder / LATEST), f"Remove it, and --c goes on from {BEST}, of {epochs} epochs")
    (folder / LATEST).unlink()
    assert resumed(make_trainer).current_epoch == epochs


def test_zeros_in_a_checkpoint_are_found(make_trainer: Any, folder: Path) -> None:
    content = bytearray((folder / LATEST).read_bytes())
    middle = len(content) // 2
    content[middle : middle + 4096] = bytes(4096)
    (folder / LATEST).write_bytes(content)
    (folder / BEST).unlink()
    with pytest.raises(ValueError, match="is damaged") as error:
        resumed(make_trainer)
    assert_one_line(error, str(folder / LATEST), "start anew without --c")


def test_a_checkpoint_of_another_network_is_named(make_trainer: Any, folder: Path) -> None:
    other = make_trainer(SmallPlansNetworkTrainer)
    other.initialize()
    other.save_checkpoint(str(folder / LATEST))
    (folder / BEST).unlink()
    with pytest.raises(ValueError, match="is of another network or plans") as error:
        resumed(make_trainer)
    assert_one_line(error, str(folder / LATEST), "of SmallPlansNetworkTrainer")


@pytest.mark.parametrize("lost", ["optimizer_state", "current_epoch", "schedule"])
def test_a_checkpoint_of_another_version_is_named(make_trainer: Any, folder: Path, lost: str) -> None:
    checkpoint = torch.load(folder / LATEST, weights_only=False)
    checkpoint["logging"].pop(lost, None)
    checkpoint.pop(lost, None)
    torch.save(checkpoint, folder / LATEST)
    with pytest.raises(ValueError, match="version") as error:
        resumed(make_trainer)
    assert_one_line(error, str(folder / LATEST), f"lacks {lost}")


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"spacing": [3.0, 1.5, 1.5]}, "spacing"),
        ({"normalization_schemes": ["ZScoreNormalization"]}, "normalisation"),
    ],
)
def test_a_checkpoint_of_other_plans_is_named(
    make_trainer: Any, project: Path, folder: Path, change: dict[str, Any], what: str
) -> None:
    plans = json.loads((project / "nnUNetPlans.json").read_text())
    plans["configurations"]["3d_fullres"] |= change
    (project / "nnUNetPlans.json").write_text(json.dumps(plans))
    with pytest.raises(ValueError, match="is of another network or plans") as error:
        resumed(make_trainer)
    assert_one_line(error, str(folder / LATEST), f"different {what}")


# ---- files beside the checkpoints ----


@pytest.mark.parametrize("share", [0, 0.9])
def test_files_of_the_model_cut_off_are_written_anew(make_trainer: Any, folder: Path, share: float) -> None:
    names = ("plans.json", "dataset.json", "dataset_fingerprint.json")
    whole = [(folder.parent / name).read_bytes() for name in names]
    for name in names:
        cut_off(folder.parent / name, share)
    resumed(make_trainer).on_train_start()
    assert [(folder.parent / name).read_bytes() for name in names] == whole


def test_folds_keep_the_organs_of_the_others_without_their_plans_json(
    make_trainer: Any, project: Path, folder: Path
) -> None:
    names = [organ.name for organ in resumed(make_trainer).small_organs]
    change_json(project / "dataset.json", focusnet={"small_organs": ["Eye_L"]})
    cut_off(folder.parent / "plans.json", 0.1)
    folder.rename(folder.with_name("fold_1"))
    cut_off(folder.with_name("fold_1") / BEST, 0.5)  # and not every checkpoint is whole
    trainer = make_trainer(WithoutSteps)
    trainer.initialize()
    assert [organ.name for organ in trainer.small_organs] == names
    assert len(lines_with(trainer, "would differ from what trained folds in")) == 1


@pytest.mark.parametrize(("trained", "resume"), [("fold_0", False), ("fold_1", False), ("fold_1", True)])
def test_folds_are_not_trained_with_other_plans_than_those_of_the_others(
    make_trainer: Any, project: Path, folder: Path, trained: str, resume: bool
) -> None:
    """ROIs and heat maps in voxels would be of the old ones, and one plans.json can't be for both."""
    plans = json.loads((project / "nnUNetPlans.json").read_text())
    plans["configurations"]["3d_fullres"]["spacing"] = [1.25, 0.75, 0.75]
    (project / "nnUNetPlans.json").write_text(json.dumps(plans))
    folder.rename(folder.with_name(trained))
    trainer = make_trainer(WithoutSteps)
    trainer.logger.resume = resume  # with --c, and no checkpoint to go on from, nnU-Net starts anew
    with pytest.raises(ValueError, match="has folds that were trained with other plans") as error:
        trainer.initialize()
    assert not lines_with(trainer, "theirs are kept")
    assert_one_line(error, str(folder.parent), "different", "spacing", "a name of their own", "remove that folder")


@pytest.mark.parametrize("trained", ["fold_0", "fold_1"])
def test_folds_are_not_trained_on_patches_that_the_rois_of_the_others_do_not_fit_into(
    make_trainer: Any, project: Path, folder: Path, trained: str
) -> None:
    """Training would cut these, and the validation after the last epoch end with an error."""
    plans = json.loads((folder.parent / "plans.json").read_text())
    small_organs = PlansEntry.of(plans["configurations"]["3d_fullres"]).small_organs
    organ = max(small_organs, key=lambda organ: organ.roi_size[0])
    z, y, x = organ.roi_size
    ours = json.loads((project / "nnUNetPlans.json").read_text())
    ours["configurations"]["3d_fullres"]["patch_size"] = [z - 2, 32, 32]
    (project / "nnUNetPlans.json").write_text(json.dumps(ours))
    folder.rename(folder.with_name(trained))
    with pytest.raises(ValueError, match=r"The ROI of .* in the trained folds in") as error:
        make_trainer(WithoutSteps).initialize()
    assert_one_line(error, f"the plans' patch has [{z - 2}, 32, 32] now", "a name of their own", "remove that folder")
    assert_one_line(error, str(folder.parent), f"The ROI of {organ.name} has [{z}, {y}, {x}] voxels")


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ("exchanged", "has Lens_L (2) where the trained folds"),
        ("added", "has Tumour (10) where the trained folds"),
        ("removed", "have Brain (1)"),
    ],
)
def test_folds_are_not_trained_with_other_labels_than_the_others(
    make_trainer: Any, project: Path, folder: Path, change: str, what: str
) -> None:
    """A fold's channel would mean another organ than the same channel of the next."""
    labels = json.loads((project / "dataset.json").read_text())["labels"]
    if change == "exchanged":
        labels["Lens_L"], labels["Eye_L"] = labels["Eye_L"], labels["Lens_L"]
    elif change == "removed":
        del labels["Brain"]
        labels = {name: max(value - 1, 0) for name, value in labels.items()}
        files = (project / "gt_segmentations").glob("*.nii.gz")
        for file in files:
            image = sitk.ReadImage(str(file))
            sitk.WriteImage(sitk.Cast(sitk.Clamp(image, lowerBound=1) - 1, image.GetPixelID()), str(file))
    else:
        file = project / "gt_segmentations" / "Head_000.nii.gz"
        image = sitk.ReadImage(str(file))
        labels["Tumour"] = len(labels)
        image[0, 0, 0] = labels["Tumour"]
        sitk.WriteImage(image, str(file))
    change_json(project / "dataset.json", labels=labels)
    for resume in (False, True):
        with pytest.raises(ValueError, match=r"dataset\.json has .* where the trained folds in") as error:
            resumed(make_trainer) if resume else make_trainer(WithoutSteps).initialize()
        assert_one_line(error, str(folder.parent), what, "remove that folder")


def turn(project: Path, case: str, direction: tuple[float, ...]) -> None:
    """Have a case's image lie another way."""
    properties_file = project / "nnUNetPlans_3d_fullres" / f"{case}.pkl"
    properties = load_pickle(str(properties_file))
    properties["sitk_stuff"]["direction"] = direction
    write_pickle(properties, str(properties_file))
    label_file = project / "gt_segmentations" / f"{case}.nii.gz"
    image = sitk.ReadImage(str(label_file))
    image.SetDirection(direction)
    sitk.WriteImage(image, str(label_file))


def test_a_fold_flips_as_those_do_whose_network_it_shares(make_trainer: Any, project: Path, folder: Path) -> None:
    """A case that lies the other way round would forbid flips; prediction and the pairs' SOS-Nets have them."""
    turn(project, "Head_004", (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0))
    trainer = make_trainer(WithoutSteps)
    trainer.initialize()
    (flip,) = trainer.first_transforms()
    assert flip.allowed_axes == (trainer.entry.swap_flip.axis,) == (2,)
    (line,) = lines_with(trainer, "would differ from what trained folds in")
    assert "laterality would differ" in line
    (line,) = lines_with(trainer, f"As in the trained folds in {folder.parent}, left-right flips go along axis 2")
    assert "and swap Eye_L/Eye_R, Lens_L/Lens_R," in line
    assert not lines_with(trainer, "No mirroring along axis 2")


def test_a_fold_whose_images_all_lie_the_other_way_round_is_refused(
    make_trainer: Any, project: Path, folder: Path
) -> None:
    for number in range(5):
        turn(project, f"Head_00{number}", (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0))
    for start in (lambda: make_trainer(WithoutSteps).initialize(), lambda: resumed(make_trainer)):
        with pytest.raises(ValueError, match="left is at the end of axis 2, but now left is at the beginning") as error:
            start()
        assert_one_line(error, str(folder.parent), "Put back the images", "remove that folder")


def change_checkpoints(folder: Path, **entries: Any) -> None:
    """Have a fold's checkpoints say that left and right weren't known, and something else."""
    for file in folder.glob("*.pth"):
        checkpoint = torch.load(file, weights_only=False) | entries
        checkpoint["init_args"]["plans"]["configurations"]["3d_fullres"]["focusnet"]["laterality"] = None
        torch.save(checkpoint, file)


def test_where_the_others_flip_nothing_neither_does_a_fold_and_the_log_says_so(
    make_trainer: Any, project: Path, folder: Path
) -> None:
    change_checkpoints(folder)
    trainer = make_trainer(WithoutSteps)
    trainer.initialize()
    assert trainer.first_transforms() == []
    assert len(lines_with(trainer, f"As in the trained folds in {folder.parent}, no left-right flips are made.")) == 1
    assert not lines_with(trainer, "Left-right flips go along axis 2")


def test_a_fold_that_would_be_mirrored_along_other_axes_is_refused(make_trainer: Any, folder: Path) -> None:
    """As where organs have become left and right ones by name since: test-time mirroring must suit all folds."""
    change_checkpoints(folder, inference_allowed_mirroring_axes=(0, 1, 2))
    for start in (lambda: make_trainer(WithoutSteps).initialize(), lambda: resumed(make_trainer)):
        with pytest.raises(ValueError, match="axes 0, 1, 2 are mirrored, but now 0, 1: Left-right flips") as error:
            start()
        assert_one_line(error, str(folder.parent), "the pairs in dataset.json", "remove that folder")


def test_a_run_goes_on_whose_trainer_mirrors_less_when_it_predicts(make_trainer: Any, folder: Path) -> None:
    change_checkpoints(folder, inference_allowed_mirroring_axes=None)
    assert resumed(make_trainer).inference_allowed_mirroring_axes is None


def test_a_fold_whose_images_must_not_be_flipped_as_the_others_are_is_refused(
    make_trainer: Any, project: Path, folder: Path
) -> None:
    """Flipped along x, a head whose left is at the end of y would be turned from front to back, with swapped labels."""
    turn(project, "Head_004", (0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0))
    with pytest.raises(ValueError, match="is at the end of axis 2, but now: No mirroring along axes") as error:
        make_trainer(WithoutSteps).initialize()
    assert_one_line(error, "in Head_004", str(folder.parent), "Put back the images")


def test_a_fold_is_not_mirrored_where_the_others_are_not(make_trainer: Any, project: Path, folder: Path) -> None:
    change_json(project / "dataset.json", focusnet={"left_right_pairs": []})
    names = json.loads((project / "dataset.json").read_text())["labels"]
    plain = {name.replace("_L", "_one").replace("_R", "_other"): value for name, value in names.items()}
    change_json(project / "dataset.json", labels=plain)
    for file in (*folder.glob("*.pth"),):
        checkpoint = torch.load(file, weights_only=False)
        entry = checkpoint["init_args"]["plans"]["configurations"]["3d_fullres"]["focusnet"]
        for organ in (*entry["organs"], *entry["small_organs"]):
            organ["name"] = organ["name"].replace("_L", "_one").replace("_R", "_other")
        torch.save(checkpoint, file)
    with pytest.raises(ValueError, match="is at the end of axis 2, but now: No organ's name tells a side"):
        make_trainer(WithoutSteps).initialize()


def test_a_trained_fold_of_another_version_is_named(make_trainer: Any, folder: Path) -> None:
    for file in folder.glob("*.pth"):
        checkpoint = torch.load(file, weights_only=False)
        del checkpoint["init_args"]["plans"]["configurations"]["3d_fullres"]["focusnet"]["laterality"]
        torch.save(checkpoint, file)
    with pytest.raises(ValueError, match="is of another version of this package") as error:
        make_trainer(WithoutSteps).initialize()
    assert_one_line(error, str(folder), "remove")


def test_splits_and_cases_that_are_not_preprocessed(make_trainer: Any, project: Path) -> None:
    """nnU-Net keeps the labels of a case that was taken out of the dataset."""
    (project / "nnUNetPlans_3d_fullres" / "Head_004.pkl").unlink()
    cases = [f"Head_00{number}" for number in range(5)]
    (project / "splits_final.json").write_text(json.dumps([{"train": cases[:3], "val": cases[3:4]}]))
    trainer = make_trainer(WithoutSteps)
    trainer._check_splits()
    assert not lines_with(trainer, "WARNING")
    (project / "splits_final.json").write_text(json.dumps([{"train": cases[:3], "val": cases[3:]}]))
    with pytest.raises(ValueError, match="which isn't preprocessed: run nnUNetv2_preprocess again") as error:
        make_trainer(WithoutSteps).initialize()
    assert_one_line(error, str(project / "splits_final.json"), "Head_004", "taken out of the dataset")


def test_splits_cut_off_are_named(make_trainer: Any, project: Path) -> None:
    trainer = make_trainer()
    first = trainer.do_split()
    cut_off(project / "splits_final.json", 0.5)
    with pytest.raises(ValueError, match=r"splits_final\.json isn't JSON .* delete it") as error:
        make_trainer().initialize()
    assert_one_line(error, str(project / "splits_final.json"))
    (project / "splits_final.json").unlink()
    assert trainer.do_split() == first


@contextmanager
def largest_file(num_bytes: int) -> Iterator[None]:
    """Writing stops there, as it does on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("share", [0, 0.5])
def test_a_full_disk_leaves_the_checkpoint_before_and_no_half_one(
    make_trainer: Any, folder: Path, share: float
) -> None:
    trainer = resumed(make_trainer)
    before, files = (folder / LATEST).read_bytes(), sorted(folder.iterdir())
    limit = largest_file(int(share * len(before)))
    with limit, pytest.raises(RuntimeError, match="can't be written") as error:
        trainer.save_checkpoint(str(folder / LATEST))
    assert_one_line(error, str(folder / LATEST), "MiB are free on its disk")
    assert (folder / LATEST).read_bytes() == before
    assert sorted(folder.iterdir()) == files


def test_a_full_disk_at_the_start_is_named(make_trainer: Any, folder: Path) -> None:
    trainer = resumed(make_trainer)
    with largest_file(100), pytest.raises(OSError, match="File too large") as error:
        trainer.on_train_start()
    assert str(folder.parent) in str(error.value)


def test_a_picture_that_cannot_be_written_does_not_end_the_run(make_trainer: Any, folder: Path) -> None:
    trainer = resumed(make_trainer)
    with largest_file(100), pytest.warns(UserWarning, match=r"progress\.png can't be written"):
        trainer.logger.plot_progress_png(str(folder))


def test_what_a_kill_left_of_a_checkpoint_goes_at_the_next_start(make_trainer: Any, folder: Path) -> None:
    (folder / f"{BEST}.partial").write_bytes(b"half")
    resumed(make_trainer).on_train_start()
    assert not list(folder.glob("*.partial"))
