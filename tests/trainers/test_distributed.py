"""Training in several processes, on a CPU: stages under DistributedDataParallel, and two processes beside one."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from small_trainers import SmallFocusNetTrainer, SmallPlansNetworkTrainer, SmallZoomTrainer
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel


@pytest.fixture(params=[SmallFocusNetTrainer])
def wrapped_trainer(make_trainer: Any, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    trainer = make_trainer(request.param)  # made before the process group, as with one nnU-Net asks for CUDA
    trainer.on_train_start()
    dist.init_process_group("gloo", init_method=f"file://{tmp_path / 'rendezvous'}", rank=0, world_size=1)
    trainer.network = DistributedDataParallel(trainer.network)
    yield trainer
    dist.destroy_process_group()


EACH = pytest.mark.parametrize(
    "wrapped_trainer", [SmallFocusNetTrainer, SmallPlansNetworkTrainer, SmallZoomTrainer], indirect=True
)


@EACH
def test_every_stage_has_a_wrapper_without_unused_parameters(wrapped_trainer: Any) -> None:
    for epoch in (stage.start for stage in wrapped_trainer.schedule):
        wrapped_trainer.current_epoch = epoch
        wrapped_trainer._enter_stage(wrapped_trainer.stage)
        wrapped_trainer.network.train()
        # DDP complains of parameters without a gradient when the step after begins.
        losses = [float(wrapped_trainer.train_step(wrapped_trainer.batch())["loss"]) for _ in range(3)]
        assert losses[-1] < losses[0]


@EACH
def test_no_parameter_is_unused_where_no_organ_is_annotated(wrapped_trainer: Any) -> None:
    wrapped_trainer.unannotated = dict.fromkeys(("Head_000", "Head_001"), frozenset(range(1, 10)))
    batch = wrapped_trainer.batch()
    for target in batch["target"] if isinstance(batch["target"], list) else [batch["target"]]:
        target.zero_()
    for epoch in (stage.start for stage in wrapped_trainer.schedule):
        wrapped_trainer.current_epoch = epoch
        wrapped_trainer._enter_stage(wrapped_trainer.stage)
        wrapped_trainer.network.train()
        losses = [float(wrapped_trainer.train_step(batch)["loss"]) for _ in range(3)]
        assert losses == pytest.approx([0, 0, 0], abs=1e-4)  # all of it may be background


def test_a_wrapper_from_before_the_stage_would_complain(wrapped_trainer: Any) -> None:
    wrapped_trainer.bare_network.train_parts(("main",))
    wrapped_trainer.train_step(wrapped_trainer.batch())
    with pytest.raises(RuntimeError, match="Expected to have finished reduction"):
        wrapped_trainer.train_step(wrapped_trainer.batch())


def test_checkpoints_of_wrapped_and_plain_networks_are_the_same(wrapped_trainer: Any) -> None:
    names = set(wrapped_trainer.network.module.state_dict())
    wrapped_trainer.is_ddp = True
    wrapped_trainer._enter_stage(wrapped_trainer.stage)
    checkpoint = Path(wrapped_trainer.output_folder) / "checkpoint_latest.pth"
    wrapped_trainer.save_checkpoint(str(checkpoint))
    assert set(torch.load(checkpoint, weights_only=False)["network_weights"]) == names


# ---- two processes, as nnUNetv2_train -num_gpus 2 starts them, see in_two_processes.py ----

TRAINERS = pytest.mark.parametrize("trainer", ["FocusNet", "PlansNetwork"])


@pytest.fixture(scope="module")
def trained(preprocessed_phantom: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes and one have left after the same batches."""
    root = tmp_path_factory.mktemp("distributed")
    shutil.copytree(preprocessed_phantom, root, dirs_exist_ok=True)
    plans_file = next(root.glob("nnUNet_preprocessed/*/nnUNetPlans.json"))
    plans = json.loads(plans_file.read_text())
    plans["configurations"]["3d_fullres"]["batch_size"] = 3  # two and one
    plans_file.write_text(json.dumps(plans))
    environment = os.environ | {name: str(root / name) for name in ("nnUNet_raw", "nnUNet_preprocessed")}
    environment |= {"OMP_NUM_THREADS": "1", "nnUNet_def_n_proc": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, str(Path(__file__).with_name("in_two_processes.py")), str(root)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return root


def epochs(folder: Path, rank: int = 0) -> list[dict[str, Any]]:
    """What a process has written down at the end of each."""
    return [json.loads(line) for line in (folder / f"rank {rank}.jsonl").read_text().splitlines()]


@TRAINERS
def test_processes_have_the_same_weights_optimiser_and_log_after_each_epoch(trained: Path, trainer: str) -> None:
    ours, theirs = ((trained / "two" / trainer / f"rank {rank}.jsonl").read_text() for rank in (0, 1))
    assert ours == theirs
    weights = {epoch["weights"] for epoch in epochs(trained / "two" / trainer)}
    assert len(weights) == len(epochs(trained / "one" / trainer))  # they change in each


@TRAINERS
def test_two_processes_have_the_losses_and_the_dice_of_one(trained: Path, trainer: str) -> None:
    two, one = (epochs(trained / number / trainer) for number in ("two", "one"))
    for ours, theirs in zip(two, one, strict=True):
        assert ours["log"].keys() == theirs["log"].keys()
        for name, value in theirs["log"].items():
            tolerance = 2e-3 if "dice" in name and "loss" not in name else 1e-4  # a rounding error may move a voxel
            assert ours["log"][name] == pytest.approx(value, abs=tolerance, rel=tolerance, nan_ok=True), name


@TRAINERS
def test_all_processes_leave_out_a_step_that_overflows_in_one(trained: Path, trainer: str) -> None:
    for number in ("two", "one"):
        scales = [epoch["scale"] for epoch in epochs(trained / number / trainer)]
        assert scales[0] == 2**16
        assert set(scales[1:]) == {2**15}
        logs = "".join(log.read_text() for log in (trained / number / trainer).rglob("training_log_*.txt"))
        line = "1 of 2 training steps left out: not finite in half precision, on Head_000, Head_001, Head_002"
        assert logs.count(line) == 1


def test_an_image_that_is_broken_in_one_process_ends_the_run_and_is_named(trained: Path) -> None:
    assert "in epoch 5, stage joint, on the images of Head_002: which hold NaN" in (trained / "error.txt").read_text()


def test_a_resumed_run_goes_through_all_stages_with_one_wrapper_at_a_time(trained: Path) -> None:
    two = epochs(trained / "two" / "FocusNet")
    assert [epoch["stage"] for epoch in two] == ["S-Net", "S-Net", "SOL", "SOS", "joint", "joint"]
    assert {epoch["wrappers"] for epoch in two} == {1}


def test_two_processes_write_each_file_once_and_validate_a_case_that_they_cannot_share(trained: Path) -> None:
    (model,) = (trained / "two" / "FocusNet").glob("*/SharedFocusNetTrainer__nnUNetPlans__3d_fullres")
    files = sorted(path.relative_to(model / "fold_0").as_posix() for path in (model / "fold_0").rglob("*.*"))
    assert [file for file in files if "training_log" not in file] == [
        *("MODEL_CARD.md", "checkpoint_best.pth", "checkpoint_final.pth", "debug.json"),
        *("validation/Head_000.nii.gz", "validation/summary.json"),
    ]
    assert sum("training_log" in file for file in files) == 3  # until the stop, from it on, --val
