"""Stages, resuming, errors and logs of FocusNetTrainer and SNetTrainer, run as nnU-Net runs them."""

import gc
import json
import math
import os
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import SimpleITK as sitk
import torch
from batchgenerators.utilities.file_and_folder_operations import load_pickle, write_pickle
from matplotlib.figure import Figure
from PIL import Image
from small_trainers import SmallSNetTrainer
from torch.utils._python_dispatch import TorchDispatchMode

from nnunetv2_focusnet.architectures.focusnet import PARTS, FocusNet, FocusNetOutput
from nnunetv2_focusnet.architectures.snet import SNet
from nnunetv2_focusnet.organs.plans_entry import PlansEntry

STAGES_OF_8_EPOCHS = ["S-Net", "S-Net", "SOL", "SOL", "SOS", "SOS", "joint", "joint"]


class InterruptedRunError(Exception):
    """Stands for a run that is killed."""


def run(trainer: Any, interrupt_at: int | None = None) -> Any:
    """Train, and stop dead when epoch ``interrupt_at`` starts."""

    def on_epoch_start() -> None:
        if trainer.current_epoch == interrupt_at:
            raise InterruptedRunError
        type(trainer).on_epoch_start(trainer)

    trainer.on_epoch_start = on_epoch_start
    trainer.run_training()
    return trainer


def log_of(trainer: Any) -> dict[str, list[Any]]:
    return trainer.logger.local_logger.my_fantastic_logging


def weights_of(network: FocusNet, part: str) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in network.get_submodule(part).parameters()]


@pytest.fixture
def finished(recorded_run: Any) -> Any:
    return recorded_run[0]


def test_runs_through_the_papers_stages_in_order(finished: Any) -> None:
    assert log_of(finished)["stage"] == STAGES_OF_8_EPOCHS


@pytest.mark.parametrize(
    ("stage", "terms"),
    [
        ("S-Net", {"focal", "dice"}),
        ("SOL", {"heat_map", "position"}),
        ("SOS", {"roi_focal", "roi_dice"}),
        ("joint", {"focal", "dice", "heat_map", "position", "roi_focal", "roi_dice"}),
    ],
)
def test_each_stage_logs_the_loss_terms_that_train_its_parts(finished: Any, stage: str, terms: set[str]) -> None:
    epoch = STAGES_OF_8_EPOCHS.index(stage)
    logged = {key.removeprefix("loss/"): values for key, values in log_of(finished).items() if key.startswith("loss/")}
    assert {name for name, values in logged.items() if math.isfinite(values[epoch])} == terms
    total = sum(values[epoch] for name, values in logged.items() if name in terms)
    assert log_of(finished)["train_losses"][epoch] == pytest.approx(total, rel=1e-4)


def test_every_stage_learns(finished: Any) -> None:
    losses = log_of(finished)["train_losses"]
    for first, last in ((0, 1), (2, 3), (4, 5), (6, 7)):
        assert losses[last] < losses[first]


def test_learning_rate_starts_anew_with_each_stage_and_falls_within(finished: Any) -> None:
    rates = log_of(finished)["lrs"]
    assert rates[0:8:2] == pytest.approx([3e-3, 3e-3, 3e-3, 1e-3])
    for first in (0, 2, 4, 6):
        assert 0 < rates[first + 1] < rates[first]


@pytest.mark.parametrize("epoch", range(1, 8))
def test_resumed_run_repeats_what_the_uninterrupted_one_did(
    make_trainer: Any, left_by_kill: Any, finished: Any, epoch: int
) -> None:
    folder = left_by_kill(epoch)
    resumed = make_trainer()
    resumed.load_checkpoint(str(folder / "checkpoint_latest.pth"))
    assert resumed.current_epoch == epoch
    run(resumed)
    assert log_of(resumed)["stage"] == STAGES_OF_8_EPOCHS
    assert log_of(resumed)["train_losses"] == pytest.approx(log_of(finished)["train_losses"], rel=1e-4)
    assert log_of(resumed)["lrs"] == log_of(finished)["lrs"]


def test_frozen_parts_stay_bit_for_bit(make_trainer: Any) -> None:
    trainer = make_trainer()
    seen: list[tuple[str, dict[str, list[torch.Tensor]]]] = []

    def on_epoch_start() -> None:
        seen.append((trainer.stage.name, {part: weights_of(trainer.network, part) for part in PARTS}))
        type(trainer).on_epoch_start(trainer)

    trainer.on_epoch_start = on_epoch_start
    trainer.run_training()
    seen.append(("end", {part: weights_of(trainer.network, part) for part in PARTS}))
    trained_in = {"S-Net": {"main"}, "SOL": {"sol"}, "SOS": {"sos"}, "joint": set(PARTS)}
    for (stage, before), (_, after) in pairwise(seen):
        for part in PARTS:
            unchanged = all(torch.equal(b, a) for b, a in zip(before[part], after[part], strict=True))
            assert unchanged == (part not in trained_in[stage]), (stage, part)


class CountConvolutionBackwards(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func is torch.ops.aten.convolution_backward.default
        return func(*args, **(kwargs or {}))


def test_frozen_parts_cost_no_backward(make_trainer: Any) -> None:
    trainer = make_trainer()
    trainer.on_train_start()
    backwards = {}
    for epoch, stage in ((0, "S-Net"), (2, "SOL"), (4, "SOS"), (6, "joint")):
        trainer.current_epoch = epoch
        trainer._enter_stage(trainer.stage)
        trainer.network.train()
        with CountConvolutionBackwards() as counter:
            trainer.train_step(trainer.batch())
        backwards[stage] = counter.count
    convolutions = {
        part: sum(isinstance(m, torch.nn.Conv3d | torch.nn.ConvTranspose3d) for m in module.modules())
        for part, module in ((part, trainer.network.get_submodule(part)) for part in PARTS)
    }
    assert backwards == {
        "S-Net": convolutions["main"],
        "SOL": convolutions["sol"],
        "SOS": convolutions["sos"],
        "joint": sum(convolutions.values()),
    }


def test_epochs_set_after_the_constructor_change_the_stages(make_trainer: Any) -> None:
    trainer = make_trainer()
    trainer.initialize()
    trainer.num_epochs = 4
    assert log_of(run(trainer))["stage"] == ["S-Net", "SOL", "SOS", "joint"]


def test_localisation_is_logged_once_heat_maps_are_trained(finished: Any) -> None:
    names = [organ.name for organ in finished.small_organs]
    assert {"Lens_L", "Lens_R"} <= set(names)
    errors = log_of(finished)["localisation_error_mm"]
    rates = log_of(finished)["detection_rate"]
    assert all(math.isnan(value) for epoch in (0, 1) for value in errors[epoch])
    assert all(math.isfinite(value) for epoch in range(2, 8) for value in errors[epoch])
    assert all(0 <= value <= 1 for epoch in range(2, 8) for value in rates[epoch])
    log = Path(finished.log_file).read_text()
    assert "Stage: SOS (epochs 4 to 5)" in log
    assert "localisation error: " in log
    assert "Lens_L" in log


def test_localisation_error_is_the_distance_from_peak_to_centre_in_mm(make_trainer: Any) -> None:
    trainer = make_trainer()
    trainer.on_train_start()
    organs = trainer.small_organs
    peak = torch.tensor([[[5, 3 * organ.label + 1, 14] for organ in organs]] * 2)
    peaks = torch.full((2, len(organs)), 2.0)
    trainer.network.seen = FocusNetOutput(torch.zeros(1), peaks=peaks, centres=peak)
    located = trainer._judge_peaks(trainer.batch())
    # Each organ fills voxels 4..7, 3l..3l+2, 10..13: centre 5.5, 3l+1, 11.5. Spacing is (2.5, 1.5, 1.5) mm. A voxel of
    # the heat map covers 4 and 5, 3l and 3l+1, 13 and 14: its middle is 4.5, 3l+0.5, 13.5.
    assert list(trainer.network.heat_stride) == [2, 2, 2]
    expected = math.hypot(1.0 * 2.5, 0.5 * 1.5, 2.0 * 1.5)
    assert trainer.configuration_manager.spacing == [2.5, 1.5, 1.5]
    assert located["localisation_error_mm"].flatten().tolist() == pytest.approx([expected] * 2 * len(organs))
    assert (located["detection_rate"] == 1).all()


def test_progress_png_has_our_panels_under_the_hosts(make_trainer: Any) -> None:
    trainer = make_trainer()
    trainer.draws_progress = True
    trainer.num_epochs = 1
    run(trainer)
    width, height = Image.open(Path(trainer.output_folder) / "progress.png").size
    assert width == 3000
    assert height == pytest.approx(5400 + 4 * 700, abs=10)


def count_figures() -> int:
    return sum(type(thing) is Figure for thing in gc.get_objects())


def test_drawing_progress_does_not_fill_the_memory(make_trainer: Any) -> None:
    trainer = make_trainer()
    trainer.num_epochs = 1
    run(trainer)
    before = count_figures()
    gc.disable()  # else Python looks for garbage at some time, but hundreds of MB later
    try:
        for _ in range(3):
            trainer.local_log.plot_progress_png(trainer.output_folder)
        after = count_figures()
    finally:
        gc.enable()
    assert (Path(trainer.output_folder) / "progress.png").is_file()
    assert after - before <= 1  # of six; the last one may take another round


@pytest.mark.parametrize("epoch", [0, 6])
def test_nan_stops_with_stage_term_and_case_and_keeps_the_checkpoint(
    make_trainer: Any, left_by_kill: Any, epoch: int
) -> None:
    folder = left_by_kill(epoch)
    trainer = make_trainer()
    if epoch > 0:
        trainer.load_checkpoint(str(folder / "checkpoint_latest.pth"))
    original = trainer.batch

    def batch() -> dict[str, Any]:
        made = original()
        if trainer.current_epoch == epoch:
            made["data"][1, 0, 0, 0, 0] = math.nan
        return made

    trainer.batch = batch
    with pytest.raises(RuntimeError, match="became NaN or infinite") as error:
        trainer.run_training()
    message = str(error.value)
    assert "focal" in message
    assert f"stage {STAGES_OF_8_EPOCHS[epoch]}" in message
    assert "Head_001" in message
    assert "\n" not in message
    checkpoint = Path(trainer.output_folder) / "checkpoint_latest.pth"
    assert checkpoint.is_file() == (epoch > 0)
    if epoch > 0:
        weights = torch.load(checkpoint, weights_only=False)["network_weights"]
        assert all(value.isfinite().all() for value in weights.values())


def test_a_run_killed_while_it_writes_keeps_the_checkpoint_before(
    make_trainer: Any, left_by_kill: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = left_by_kill(2) / "checkpoint_latest.pth"
    trainer = make_trainer()
    trainer.initialize()
    before = checkpoint.read_bytes()

    def torn_save(_content: Any, path: str) -> None:
        Path(path).write_bytes(b"half")
        raise InterruptedRunError

    monkeypatch.setattr(torch, "save", torn_save)
    with pytest.raises(InterruptedRunError):
        trainer.save_checkpoint(str(checkpoint))
    assert checkpoint.read_bytes() == before


def test_a_half_written_checkpoint_of_another_process_is_not_renamed(make_trainer: Any) -> None:
    trainer = make_trainer()
    trainer.initialize()
    checkpoint = Path(trainer.output_folder) / "checkpoint_latest.pth"
    partial = checkpoint.with_name(checkpoint.name + ".partial")
    partial.write_bytes(b"half")
    trainer.local_rank = 1
    trainer.save_checkpoint(str(checkpoint))
    trainer.local_rank, trainer.disable_checkpointing = 0, True
    trainer.save_checkpoint(str(checkpoint))
    assert not checkpoint.exists()
    assert partial.read_bytes() == b"half"


def test_trial_of_the_joint_step_leaves_no_trace(make_trainer: Any, capsys: pytest.CaptureFixture[str]) -> None:
    trainer = make_trainer()
    trainer.on_train_start()
    before = [parameter.detach().clone() for parameter in trainer.network.parameters()]
    trainer._try_joint_step()
    assert "Trying a step of all parts first, as memory must be enough for it." in capsys.readouterr().out
    trainer._do_i_compile = lambda: True
    trainer._try_joint_step()
    assert "enough for it; compiling it takes minutes." in capsys.readouterr().out
    for old, new in zip(before, trainer.network.parameters(), strict=True):
        assert torch.equal(old, new)
        assert new.grad is None
    assert not trainer.optimizer.state


def test_too_little_memory_for_the_last_stage_is_said_before_the_first(make_trainer: Any) -> None:
    trainer = make_trainer()
    trainer.on_train_start()

    def run_out(*_args: Any) -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory.\nTried to allocate")

    trainer.network.register_forward_pre_hook(run_out)
    with pytest.raises(RuntimeError, match="last stage, needs more memory than cpu has") as error:
        trainer._try_joint_step()
    assert "\n" not in str(error.value)


def test_2d_configuration_is_refused_in_one_line(make_trainer: Any) -> None:
    with pytest.raises(ValueError, match="needs a 3D configuration, 2d is 2D") as error:
        make_trainer(configuration="2d")
    assert "\n" not in str(error.value)
    assert not Path(os.environ["nnUNet_results"]).exists()


def change_json(path: Path, **entries: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


def test_regions_are_refused_in_one_line(make_trainer: Any, project: Path) -> None:
    labels = {"background": 0, "Head": [1, 2], "Eye": [2]}
    change_json(project / "dataset.json", labels=labels, regions_class_order=[1, 2])
    with pytest.raises(ValueError, match="one value of its own") as error:
        make_trainer()
    assert "\n" not in str(error.value)


def test_regions_that_do_not_fit_and_torn_pairs_are_warned_of_in_the_log(make_trainer: Any, project: Path) -> None:
    change_json(project / "dataset.json", focusnet={"small_organs": ["Brain", "Lens_L"]})
    trainer = make_trainer()
    trainer.initialize()
    warnings = [line for line in Path(trainer.log_file).read_text().splitlines() if "WARNING" in line]
    roi, pair = warnings
    assert "ROI of Brain" in roi
    assert '"small_organs" in dataset.json has Lens_L without Lens_R' in pair


def test_labels_that_have_changed_since_they_were_planned_for(make_trainer: Any, project: Path) -> None:
    planned_for_these = make_trainer()
    planned_for_these.initialize()
    entry = planned_for_these.entry
    brain, *rest = entry.organs
    plans_file = project / "nnUNetPlans.json"
    fewer_cases = replace(entry, organs=(replace(brain, num_cases=brain.num_cases - 1), *rest))
    for planned, warned in ((entry, False), (fewer_cases, True)):
        plans_file.write_text(json.dumps(planned.added_to(json.loads(plans_file.read_text()), "3d_fullres")))
        trainer = make_trainer()
        trainer.initialize()
        log = Path(trainer.log_file).read_text()
        assert ("WARNING: labels or dataset.json have changed since this dataset was planned" in log) == warned
        assert trainer.entry == entry


def test_no_safe_axis_means_no_mirroring(make_trainer: Any, project: Path) -> None:
    for file in (project / "nnUNetPlans_3d_fullres").glob("*.pkl"):
        properties = load_pickle(str(file))
        del properties["sitk_stuff"]
        write_pickle(properties, str(file))
    trainer = make_trainer()
    trainer.on_train_start()
    assert trainer.inference_allowed_mirroring_axes is None


def test_without_small_organs_s_net_is_trained_and_said_so(make_trainer: Any, project: Path) -> None:
    change_json(project / "dataset.json", focusnet={"small_organs": []})
    trainer = run(make_trainer())
    assert isinstance(trainer.network, SNet)
    assert log_of(trainer)["stage"] == ["S-Net"] * 8
    assert "has no small organ" in Path(trainer.log_file).read_text()


def test_s_net_trainer_trains_all_organs_with_one_network(make_trainer: Any) -> None:
    trainer = run(make_trainer(SmallSNetTrainer))
    assert isinstance(trainer.network, SNet)
    assert len(log_of(trainer)["dice_per_class_or_region"][0]) == 9
    assert log_of(trainer)["train_losses"][1] < log_of(trainer)["train_losses"][0]


def test_named_small_organs_win_over_the_measured_rule(make_trainer: Any, project: Path) -> None:
    change_json(project / "dataset.json", focusnet={"small_organs": ["Eye_L", "Eye_R"]})
    trainer = make_trainer()
    trainer.initialize()
    assert trainer.network.config.small_organs == (2, 3)


def test_model_folder_holds_all_that_inference_needs(finished: Any) -> None:
    plans = json.loads((Path(finished.output_folder_base) / "plans.json").read_text())
    entry = PlansEntry.of(plans["configurations"]["3d_fullres"])
    assert entry == finished.entry
    assert entry.organs[0].name == "Brain"
    assert {organ.name for organ in entry.small_organs} >= {"Lens_L", "Lens_R"}


def test_labels_that_changed_do_not_change_the_network_of_trained_folds(
    make_trainer: Any, project: Path, left_by_kill: Any, finished: Any
) -> None:
    left_by_kill(8)
    label_file = project / "gt_segmentations" / "Head_000.nii.gz"
    image = sitk.ReadImage(str(label_file))
    sitk.WriteImage(sitk.Cast(image != 0, sitk.sitkUInt8) * 4, str(label_file))  # all lens: it would be a large organ
    other = make_trainer()
    other.initialize()
    assert other.network.config.small_organs == finished.network.config.small_organs
    assert other.network.config == finished.network.config
    assert "would differ from what trained folds" in Path(other.log_file).read_text()


def test_test_time_mirroring_leaves_the_left_right_axis_out(finished: Any) -> None:
    assert finished.inference_allowed_mirroring_axes == (0, 1)
    checkpoint = torch.load(Path(finished.output_folder) / "checkpoint_final.pth", weights_only=False)
    assert checkpoint["inference_allowed_mirroring_axes"] == (0, 1)


def test_ignore_label_trains_with_finite_losses(make_trainer: Any, project: Path) -> None:
    labels = json.loads((project / "dataset.json").read_text())["labels"]
    change_json(project / "dataset.json", labels=labels | {"ignore": 10})
    trainer = make_trainer()
    original = trainer.batch

    def batch() -> dict[str, Any]:
        made = original()
        made["target"][:, :, 8:] = 10
        return made

    trainer.batch = batch
    run(trainer)
    assert all(math.isfinite(loss) for loss in log_of(trainer)["train_losses"])
    assert trainer.network.main.decoder.seg_layers[0].out_channels == 10


def low_resolution(configuration: dict[str, Any]) -> None:
    configuration["spacing"] = [mm * 1.5 for mm in configuration["spacing"]]


def thick_slices(configuration: dict[str, Any]) -> None:
    """As nnU-Net plans for them: flat kernels, in-plane downsampling first, dummy 2D augmentation."""
    configuration["spacing"] = [6.0, 1.5, 1.5]
    configuration["patch_size"] = [8, 32, 32]
    arch_kwargs = configuration["architecture"]["arch_kwargs"]
    arch_kwargs["kernel_sizes"][0] = [1, 3, 3]
    arch_kwargs["strides"][1] = [1, 2, 2]


def residual_encoder(configuration: dict[str, Any]) -> None:
    architecture = configuration["architecture"]
    architecture["network_class_name"] = "dynamic_network_architectures.architectures.unet.ResidualEncoderUNet"
    architecture["arch_kwargs"]["n_blocks_per_stage"] = architecture["arch_kwargs"].pop("n_conv_per_stage")


@pytest.mark.parametrize("change", [low_resolution, thick_slices, residual_encoder])
@pytest.mark.parametrize("channels", [1, 2])
def test_other_plans_and_several_channels_train(make_trainer: Any, project: Path, change: Any, channels: int) -> None:
    plans = json.loads((project / "nnUNetPlans.json").read_text())
    change(plans["configurations"]["3d_fullres"])
    change_json(project / "nnUNetPlans.json", **plans)
    change_json(project / "dataset.json", channel_names={str(i): "CT" for i in range(channels)})
    trainer = make_trainer()
    trainer.on_train_start()
    size = trainer.configuration_manager.patch_size
    batch = trainer.batch()
    batch["data"] = batch["data"][:, :, : size[0]].repeat(1, channels, 1, 1, 1)
    batch["target"] = batch["target"][:, :, : size[0]]
    trainer.current_epoch = 6
    trainer.on_train_epoch_start()
    losses = []
    for _ in range(3):
        torch.manual_seed(0)  # ROIs are moved alike in all steps
        losses.append(float(trainer.train_step(batch)["loss"]))
    assert losses[-1] < losses[0]
    with torch.no_grad():
        assert trainer.network.eval()(batch["data"]).shape == (2, 10, *size)
