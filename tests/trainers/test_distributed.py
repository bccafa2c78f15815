"""Stages under DistributedDataParallel, on a CPU: one process and gloo."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from small_trainers import SmallFocusNetTrainer, SmallPlansNetworkTrainer
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


BOTH = pytest.mark.parametrize("wrapped_trainer", [SmallFocusNetTrainer, SmallPlansNetworkTrainer], indirect=True)


@BOTH
def test_every_stage_has_a_wrapper_without_unused_parameters(wrapped_trainer: Any) -> None:
    for epoch in (stage.start for stage in wrapped_trainer.schedule):
        wrapped_trainer.current_epoch = epoch
        wrapped_trainer._enter_stage(wrapped_trainer.stage)
        wrapped_trainer.network.train()
        # DDP complains of parameters without a gradient when the step after begins.
        losses = [float(wrapped_trainer.train_step(wrapped_trainer.batch())["loss"]) for _ in range(3)]
        assert losses[-1] < losses[0]


@BOTH
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
