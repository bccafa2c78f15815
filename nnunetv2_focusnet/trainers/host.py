"""nnU-Net as the trainers know it: what they rely on beyond nnU-Net's documented hooks is in this file.

nnU-Net documents that trainers are subclasses of ``nnUNetTrainer`` that override its methods. It doesn't promise what
happens between those methods, nor what its attributes with an underscore, its log or its checkpoints hold. Here each
such thing has a plain name: trainers of this package call these functions and override these hooks, and know no more,
but for the log, which ``progress.py`` extends.

To allow a newer nnU-Net: install it and run ``tests/trainers/test_host.py``. It has a test for each thing in this file,
whose failure says what of nnU-Net changed. Mend that here, run all tests, then raise the upper bound of ``nnunetv2`` in
``pyproject.toml``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import torch
from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.paths import nnUNet_preprocessed
from nnunetv2.run import run_training
from nnunetv2.run.load_pretrained_weights import load_pretrained_weights
from nnunetv2.training.dataloading.data_loader import nnUNetDataLoader
from nnunetv2.training.logging.nnunet_logger import LocalLogger
from nnunetv2.training.nnUNetTrainer import nnUNetTrainer as trainer_module
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager
from torch import nn
from torch._dynamo import OptimizedModule
from torch.nn.parallel import DistributedDataParallel

from nnunetv2_focusnet.trainers.left_right_flip import FLIPPED

FINAL, LATEST, BEST = "checkpoint_final.pth", "checkpoint_latest.pth", "checkpoint_best.pth"
RESUME_ORDER = (FINAL, LATEST, BEST)  # in which nnUNetv2_train --c looks for them
NEEDED_TO_RESUME = (
    "network_weights",
    "optimizer_state",
    "grad_scaler_state",
    "logging",
    "_best_ema",
    "current_epoch",
    "init_args",
    "trainer_name",
    "inference_allowed_mirroring_axes",
)
PROGRESS_PICTURE = "progress.png"
EMA_DICE, MEAN_DICE = "ema_fg_dice", "mean_fg_dice"  # curves of the log; the first one says which checkpoint is best
DICE_PER_CLASS = "dice_per_class_or_region"  # a list of the organs' for each epoch
EMA_DECAY = 0.9  # of the first one
NEW_IN_EVERY_TRAINING = ".seg_layers."  # in names of tensors that pretrained weights never give


def dataset_json_file(dataset_name: str) -> Path | None:
    """The file that nnU-Net has read ``dataset_json`` from; None if there is none, as for prediction."""
    file = Path(nnUNet_preprocessed, dataset_name, "dataset.json") if nnUNet_preprocessed.is_set() else None
    return file if file is not None and file.is_file() else None


def training_commands() -> list[dict[str, Any]]:
    """The globals of nnU-Net's command, and of its second copy under ``python -m nnunetv2.run.run_training``."""
    modules = run_training, sys.modules["__main__"]
    return [m.maybe_load_checkpoint.__globals__ for m in modules if hasattr(m, "maybe_load_checkpoint")]


def bare_network(network: nn.Module) -> Any:
    """A trainer's or predictor's network without its DDP and compile wrappers."""
    network = network.module if isinstance(network, DistributedDataParallel) else network
    return network._orig_mod if isinstance(network, OptimizedModule) else network


def curves(log: LocalLogger) -> dict[str, list[Any]]:
    """The lists of the log, with a value per epoch; it takes values only for those that are there."""
    return log.my_fantastic_logging


class ClassSettings:
    """Mixin in front of a trainer: what nnU-Net's constructor sets, given by the class; None: nnU-Net's own.

    nnU-Net's constructor looks for each parameter of its subclass's constructor among its own variables, so every
    constructor must repeat its signature: this class has the one that no trainer then needs.
    """

    default_num_epochs: ClassVar[int | None] = None
    default_num_iterations_per_epoch: ClassVar[int | None] = None
    default_num_val_iterations_per_epoch: ClassVar[int | None] = None
    default_initial_lr: ClassVar[float | None] = None
    default_weight_decay: ClassVar[float | None] = None
    default_save_every: ClassVar[int | None] = None  # epochs from one checkpoint to the next
    default_enable_deep_supervision: ClassVar[bool | None] = None

    def __init__(
        self,
        plans: dict[str, Any],
        configuration: str,
        fold: int,
        dataset_json: dict[str, Any],
        device: torch.device = torch.device("cuda"),  # noqa: B008 (nnU-Net's signature)
    ) -> None:
        self.check_arguments(plans, configuration, dataset_json)
        super().__init__(plans, configuration, fold, dataset_json, device)  # type: ignore[call-arg]
        for default in ClassSettings.__annotations__:
            if (value := getattr(self, default)) is not None:
                setattr(self, default.removeprefix("default_"), value)

    def check_arguments(self, plans: dict[str, Any], configuration: str, dataset_json: dict[str, Any]) -> None:
        """Hook: refuse arguments before nnU-Net's constructor, which makes the results folder, has them."""


class HostTrainer(ClassSettings, nnUNetTrainer):  # type: ignore[misc]
    """nnU-Net's trainer with the hooks that it lacks. By itself it trains just as nnU-Net's does."""

    predictor: ClassVar[type[nnUNetPredictor]] = nnUNetPredictor  # of the final validation
    plans_manager: PlansManager
    configuration_manager: ConfigurationManager
    network: nn.Module
    lr_scheduler: Any  # with step(epoch)
    _best_ema: float | None

    # ---- hooks ----

    def build_loss(self) -> nn.Module:
        """Hook: the loss."""
        return super()._build_loss()

    def limit_augmentation(
        self, rotation: tuple[float, float], mirror_axes: tuple[int, ...]
    ) -> tuple[tuple[float, float], tuple[int, ...]]:
        """Hook: the smallest and largest angle (radians), and the axes (0, 1, 2 for z, y, x) to mirror along."""
        return rotation, mirror_axes

    def first_transforms(self) -> list[BasicTransform]:
        """Hook: what comes before nnU-Net's augmentation, once :meth:`limit_augmentation` was called."""
        return []

    def uncounted_voxels(self, output: Any, target: Any) -> np.ndarray:
        """Hook: predicted voxels of each organ that validation shall not count as false positives.

        Args:
            output: of the network, as the loss gets it.
            target: the labels, as the loss gets them.
        """
        return np.zeros(1)

    def take_pretrained_weights(self, path: Path) -> None:
        """Hook: put the weights of ``-pretrained_weights`` into the network."""
        load_pretrained_weights(self.network, str(path), verbose=True)

    # ---- before training ----

    def use_plans(self, plans: dict[str, Any]) -> None:
        """Go on with other plans, also in checkpoints; the network must not be built yet.

        nnU-Net builds networks from the plans alone, also for prediction, and has no hook between the two.
        """
        self.my_init_kwargs["plans"] = plans
        self.plans_manager = PlansManager(plans)
        self.configuration_manager = self.plans_manager.get_configuration(self.configuration_name)

    def initialize_once(self) -> None:
        """As ``initialize``, which may be called just once."""
        if not self.was_initialized:
            self.initialize()

    def initialize(self) -> None:
        """As nnU-Net does; its command then hands pretrained weights to :meth:`take_pretrained_weights`."""
        super().initialize()
        self.wrap_anew()
        # The command calls a function of its own, which knows no names of tensors but the network's.
        for command in training_commands():
            command["load_pretrained_weights"] = self._load_pretrained_weights

    def _load_pretrained_weights(self, network: nn.Module, fname: str, verbose: bool = False) -> None:
        if network is self.network:
            self.take_pretrained_weights(Path(fname))
        else:  # of another trainer
            load_pretrained_weights(network, fname, verbose)

    def on_train_start(self) -> None:
        """Start as nnU-Net does."""
        super().on_train_start()
        for command in training_commands():
            command["load_pretrained_weights"] = load_pretrained_weights

    def _build_loss(self) -> nn.Module:
        return self.build_loss()

    # ---- batches ----

    def configure_rotation_dummyDA_mirroring_and_inital_patch_size(self) -> tuple[Any, bool, Any, tuple[int, ...]]:  # noqa: N802
        """As nnU-Net does, within :meth:`limit_augmentation`; prediction mirrors along the same axes."""
        rotation, dummy_2d, initial_patch_size, mirror_axes = (
            super().configure_rotation_dummyDA_mirroring_and_inital_patch_size()
        )
        rotation, mirror_axes = self.limit_augmentation(rotation, mirror_axes)
        self.inference_allowed_mirroring_axes = mirror_axes or None  # nnU-Net's predictor fails on an empty tuple
        return rotation, dummy_2d, initial_patch_size, mirror_axes

    def find_mirror_axes(self) -> tuple[int, ...]:
        """Axes (0, 1, 2 for z, y, x) that training and prediction mirror along, as checkpoints will have them."""
        self.configure_rotation_dummyDA_mirroring_and_inital_patch_size()
        return tuple(self.inference_allowed_mirroring_axes or ())

    def get_training_transforms(self, *args: Any, **kwargs: Any) -> BasicTransform:  # type: ignore[override]
        """As nnU-Net's, after :meth:`first_transforms` (an instance method, which nnU-Net's isn't)."""
        transforms = super().get_training_transforms(*args, **kwargs)
        transforms.transforms[:0] = self.first_transforms()
        return transforms

    def get_dataloaders(self) -> tuple[Any, Any]:
        """As nnU-Net's; each batch also says which of its samples were flipped."""
        with replaced(trainer_module, "nnUNetDataLoader", FlipTellingDataLoader):
            return super().get_dataloaders()

    def target_sizes(self) -> list[list[int]]:
        """Sizes (z, y, x) of the label maps in a batch, in voxels; just one without deep supervision."""
        scales = self._get_deep_supervision_scales() or [[1, 1, 1]]
        size = self.configuration_manager.patch_size
        return [[round(n * factor) for n, factor in zip(size, scale, strict=True)] for scale in scales]

    # ---- steps ----

    @property
    def bare_network(self) -> Any:
        """The network without its DDP and compile wrappers."""
        return bare_network(self.network)

    def wrap_anew(self) -> None:
        """Under DDP, wrap the network again; unlike nnU-Net's, the wrapper never broadcasts buffers.

        They are the same in all processes anyway, and with ``--val`` one that has no case to predict never answers.
        """
        if isinstance(self.network, DistributedDataParallel):
            device_ids = [self.local_rank] if self.device.type == "cuda" else None
            self.network = DistributedDataParallel(self.network.module, device_ids=device_ids)
            self.network.broadcast_buffers = False

    def autocast(self) -> AbstractContextManager[Any]:
        """Mixed precision where nnU-Net has it."""
        return torch.autocast(self.device.type) if self.device.type == "cuda" else nullcontext()

    def validation_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """As nnU-Net's, less :meth:`uncounted_voxels`."""
        uncounted = []
        # nnU-Net's validation step keeps the prediction to itself, but shows it to the loss.
        hook = self.loss.register_forward_hook(lambda _, args, __: uncounted.append(self.uncounted_voxels(*args)))
        try:
            result = super().validation_step(batch)
        finally:
            hook.remove()
        return result | {"fp_hard": result["fp_hard"] - uncounted[0]}

    def perform_actual_validation(self, save_probabilities: bool = False) -> None:
        """As nnU-Net's, with the trainer's own predictor."""
        with replaced(trainer_module, "nnUNetPredictor", self.predictor):
            super().perform_actual_validation(save_probabilities)

    # ---- log and checkpoints ----

    def use_local_log(self, log: LocalLogger) -> None:
        """Have nnU-Net log into this, save it in checkpoints and draw its curves."""
        self.logger.local_logger = log

    @property
    def local_log(self) -> LocalLogger:
        """What :meth:`use_local_log` was given, or nnU-Net's own."""
        return self.logger.local_logger

    def log_elsewhere(self, key: str, value: float) -> None:
        """Log a value of the epoch where nnU-Net logs besides the local log, as in W&B, instead of its own."""
        for logger in self.logger.loggers:
            logger.log(key, value, self.current_epoch)

    @property
    def is_resumed(self) -> bool:
        """Whether the run goes on with ``--c``."""
        return self.logger.resume

    @property
    def writes_checkpoints(self) -> bool:
        """Whether nnU-Net writes any in this process."""
        return self.local_rank == 0 and not self.disable_checkpointing

    @contextmanager
    def best_is_up_to_date(self) -> Iterator[None]:
        """Within the block nnU-Net's best average counts the epoch that ends, too.

        nnU-Net writes its latest checkpoint before it compares that epoch with the best: a run that went on from there
        would take a worse one for better.
        """
        before, averages = self._best_ema, self.local_log.get_value(EMA_DICE, None)
        if averages and (before is None or averages[-1] > before):
            self._best_ema = averages[-1]
        try:
            yield
        finally:
            self._best_ema = before

    def forget_best(self) -> None:
        """Have the epoch that ends next write the best checkpoint."""
        self._best_ema = None


class FlipTellingDataLoader(nnUNetDataLoader):  # type: ignore[misc]
    """nnU-Net's data loader; its batches also have ``flipped``, a bool per sample."""

    transforms: BasicTransform

    def generate_train_batch(self) -> dict[str, Any]:
        """A batch of nnU-Net's. It takes images and labels out of what transforms return, and leaves the rest."""
        flipped: list[bool] = []
        transforms = self.transforms

        def transform(**sample: Any) -> dict[str, Any]:
            sample = transforms(**sample)
            flipped.append(sample.get(FLIPPED, False))
            return sample

        self.transforms = transform
        try:
            return super().generate_train_batch() | {FLIPPED: flipped}
        finally:
            self.transforms = transforms


@contextmanager
def replaced(module: ModuleType, name: str, value: Any) -> Iterator[None]:
    """Within the block, have a module of nnU-Net's use another value for one of its names."""
    original = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, original)
