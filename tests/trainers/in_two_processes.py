"""Trains as ``nnUNetv2_train -num_gpus 2`` does, on a CPU, and as one process does. A script, since it forks.

nnU-Net's own functions start, resume and validate. What they need CUDA for is replaced: NCCL by gloo, the device of a
rank by the CPU. usage: in_two_processes.py FOLDER, with the folders of nnU-Net in the environment.
"""

import hashlib
import json
import multiprocessing
import os
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import cycle
from multiprocessing.pool import ThreadPool
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from weakref import WeakSet

import torch
from nnunetv2.run import run_training
from nnunetv2.training.nnUNetTrainer import nnUNetTrainer as trainer_module
from small_trainers import FewBatches, SmallFocusNetTrainer, SmallPlansNetworkTrainer
from torch import distributed as dist
from torch import multiprocessing as torch_multiprocessing
from torch.nn.parallel import DistributedDataParallel

from nnunetv2_focusnet.architectures.focusnet import FocusNet
from nnunetv2_focusnet.inference.predictor import FocusNetPredictor

DATASET, CONFIGURATION = "900", "3d_fullres"
CASES = ["Head_000", "Head_001", "Head_002"]  # of every batch; the second process has the last one alone
ABSENT, NOT_ANNOTATED = 5, frozenset({4, 9})  # in the last one
NO_FIGURES = ("stage", "schedule", "voxels_by_share", "epoch_start_timestamps", "epoch_end_timestamps")
OVERFLOW_IN_EPOCH, BROKEN_IMAGE_IN_EPOCH = 1, 5


class FewTilesPredictor(FocusNetPredictor):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options | {"tile_step_size": 1, "use_mirroring": False})


class SharedBatches(FewBatches):
    """Mixin: each process has its samples of batches of three, and writes down what it has at the end of each epoch."""

    predictor = FewTilesPredictor
    folder: Path

    def __init__(
        self,
        plans: dict[str, Any],
        configuration: str,
        fold: int,
        dataset_json: dict[str, Any],
        device: torch.device = torch.device("cpu"),  # noqa: B008 (nnU-Net's signature)
    ) -> None:
        torch.manual_seed(0)
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.device = torch.device("cpu")
        self.grad_scaler = torch.amp.GradScaler("cpu")  # so that steps may overflow
        self.unannotated = {CASES[-1]: NOT_ANNOTATED}
        self.has_last_sample = not self.is_ddp or self.local_rank == 1
        self.overflows = False
        self.wrappers: WeakSet[torch.nn.Module] = WeakSet()  # of the network, still alive

    def initialize(self) -> None:
        super().initialize()
        self.bare_network.register_forward_pre_hook(self.let_it_overflow)

    def let_it_overflow(self, network: torch.nn.Module, arguments: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
        (x,) = arguments
        if network.training and self.overflows and self.has_last_sample:
            x = x.clone()
            x[-1] = torch.inf
        return (x,)

    def get_dataloaders(self) -> tuple[Iterator[dict[str, Any]], Iterator[dict[str, Any]]]:
        self.configure_rotation_dummyDA_mirroring_and_inital_patch_size()
        return (self.share(n) for n in cycle(range(2))), (self.share(n) for n in cycle([2]))

    def share(self, step: int) -> dict[str, Any]:
        """This process's samples of a batch, which is another one in each step of each epoch."""
        self.overflows = self.current_epoch == OVERFLOW_IN_EPOCH and step == 0
        batch = self.batch()
        targets = batch["target"] if isinstance(batch["target"], list) else [batch["target"]]
        targets = [torch.cat([target, target[:1]]) for target in targets]
        for target in targets:
            target[-1][torch.isin(target[-1], torch.tensor([ABSENT, *NOT_ANNOTATED]))] = 0
        generator = torch.Generator().manual_seed(10 * self.current_epoch + step)
        data = targets[0] + torch.randn(targets[0].shape, generator=generator)
        if "BROKEN_IMAGE" in os.environ and self.current_epoch == BROKEN_IMAGE_IN_EPOCH:
            data[-1, 0, 0, 0, 0] = torch.nan
        mine = slice(0, 3) if not self.is_ddp else slice(2, 3) if self.local_rank else slice(0, 2)
        targets = [target[mine] for target in targets]
        return {
            "data": data[mine],
            "target": targets if isinstance(batch["target"], list) else targets[0],
            "keys": CASES[mine],
            "flipped": [False] * len(CASES[mine]),
        }

    def on_train_epoch_start(self) -> None:
        super().on_train_epoch_start()
        self.wrappers.add(self.network)

    def on_epoch_end(self) -> None:
        super().on_epoch_end()
        log = self.local_log.get_checkpoint()
        left = {
            "stage": log["stage"][-1],
            "weights": digest(self.bare_network.state_dict()),
            "optimizer": digest(self.optimizer.state_dict()["state"]),
            "scale": self.grad_scaler.get_scale(),
            "voxels_by_share": log["voxels_by_share"][-1],
            "wrappers": len(self.wrappers),
            "log": {name: values[-1] for name, values in log.items() if values and name not in NO_FIGURES},
        }
        with (self.folder / f"rank {self.local_rank}.jsonl").open("a") as file:
            file.write(json.dumps(left, default=float) + "\n")

    def perform_actual_validation(self, save_probabilities: bool = False) -> None:
        """One is enough: that of FocusNet, by ``--val``."""
        if "VALIDATE" in os.environ:
            super().perform_actual_validation(save_probabilities)


class SharedFocusNetTrainer(SharedBatches, SmallFocusNetTrainer):
    default_num_epochs = 6  # two of S-Net, one of SOL and SOS, two of joint training


class SharedPlansNetworkTrainer(SharedBatches, SmallPlansNetworkTrainer):
    default_num_epochs = 2


def digest(state: dict[Any, Any]) -> str:
    """Of all tensors in a state."""
    found = hashlib.sha256()
    for name, value in state.items():
        found.update(str(name).encode())
        if isinstance(value, torch.Tensor):
            found.update(value.contiguous().numpy().tobytes())
        else:
            found.update(digest(value).encode())
    return found.hexdigest()


def without_cuda() -> None:
    """Replace what nnU-Net has for CUDA alone, and its processes other than the ranks: starting them takes longest."""

    def setup_ddp(rank: int, world_size: int) -> None:
        dist.init_process_group("gloo", rank=rank, world_size=world_size)

    context: Any = multiprocessing.get_context("fork")
    context.Pool = ThreadPool
    multiprocessing.get_context = lambda method=None: context  # type: ignore[assignment]
    run_training.mp = SimpleNamespace(spawn=partial(torch_multiprocessing.start_processes, start_method="fork"))
    run_training.setup_ddp = setup_ddp
    torch.cuda.set_device = lambda device: None
    trainer_module.DDP = lambda network, device_ids: DistributedDataParallel(network)


def train(folder: Path, trainer: type[SharedBatches], **options: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["nnUNet_results"] = str(folder)
    trainer.folder = folder
    run_training.recursive_find_trainer_class_by_name = lambda name: trainer
    run_training.run_training(DATASET, CONFIGURATION, 0, trainer.__name__, **options)


def look_in_the_middle(heat_logits: torch.Tensor, volume_size: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Peaks (B, K) and their voxels (B, K, 3) at a place of their own: those of untrained heat maps are anywhere."""
    middle = torch.tensor([size // 2 for size in volume_size])
    return heat_logits.flatten(2).amax(2), middle.expand(*heat_logits.shape[:2], 3)


def train_in_two(folder: Path) -> None:
    """FocusNet until an image is broken, to the end, its validation; the other trainer at once."""
    two = {"num_gpus": 2, "device": torch.device("cuda")}
    os.environ["BROKEN_IMAGE"] = "1"
    try:
        train(folder / "two" / "FocusNet", SharedFocusNetTrainer, **two)
    except torch_multiprocessing.ProcessRaisedException as error:
        (folder / "error.txt").write_text(str(error))
    del os.environ["BROKEN_IMAGE"]
    train(folder / "two" / "FocusNet", SharedFocusNetTrainer, continue_training=True, **two)
    train(folder / "two" / "PlansNetwork", SharedPlansNetworkTrainer, **two)
    os.environ["VALIDATE"] = "1"
    train(folder / "two" / "FocusNet", SharedFocusNetTrainer, only_run_validation=True, **two)
    del os.environ["VALIDATE"]


def train_in_one(folder: Path) -> None:
    for name, trainer in (("FocusNet", SharedFocusNetTrainer), ("PlansNetwork", SharedPlansNetworkTrainer)):
        train(folder / "one" / name, trainer, device=torch.device("cpu"))


if __name__ == "__main__":
    torch.set_num_threads(1)
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    without_cuda()
    FocusNet._find_peaks = staticmethod(look_in_the_middle)  # type: ignore[method-assign]
    # One process doesn't draw the random numbers of two.
    FocusNet._centres_to_train_on = lambda network, labels, found: found  # type: ignore[method-assign]
    train_in_two(Path(sys.argv[1]))
    train_in_one(Path(sys.argv[1]))  # last, as autograd's threads mustn't be forked
