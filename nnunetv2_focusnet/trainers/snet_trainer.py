"""S-Net alone on all organs, and what every trainer of this package shares."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, NoReturn

import numpy as np
import torch
from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager
from torch import distributed as dist
from torch import nn

from nnunetv2_focusnet.architectures.config import FocusNetConfig
from nnunetv2_focusnet.laterality import LeftRightFlipTransform
from nnunetv2_focusnet.losses.modules import SegmentationLoss, finest
from nnunetv2_focusnet.losses.targets import find_annotated
from nnunetv2_focusnet.organs.case_names import cases_in
from nnunetv2_focusnet.organs.plans import add_organs_to_plans, organ_table
from nnunetv2_focusnet.organs.splits import check_splits
from nnunetv2_focusnet.trainers.checkpoints import trained_plans
from nnunetv2_focusnet.trainers.networks import build_network, lay_out_for_device, snet_config
from nnunetv2_focusnet.trainers.progress import StageLogger
from nnunetv2_focusnet.trainers.resumable_trainer import ResumableTrainer
from nnunetv2_focusnet.trainers.schedule import Stage, StagedPolyLR, listed, resume_schedule, stage_at
from nnunetv2_focusnet.trainers.skipped_steps import SkippedSteps, mean_of_finite, without_skipped
from nnunetv2_focusnet.trainers.trained_with import keep_record


class SNetTrainer(ResumableTrainer):
    """Trains S-Net with focal + Dice loss and AdamW; left-right flips swap the labels of paired organs.

    Organs that dataset.json calls not annotated in a case are neither trained as background there nor counted.

    Raises:
        ValueError: the configuration is 2D, or dataset.json isn't as :class:`DatasetJson` needs it.
    """

    default_num_epochs: ClassVar[int] = 1000  # as nnU-Net
    # Three times AdamW's usual rate: a few hundred steps then find organs that take more than twice as many at it.
    default_initial_lr: ClassVar[float] = 3e-3
    has_deep_supervision: ClassVar[bool] = False
    largest_roi_margin_mm: ClassVar[float] = math.inf  # as in the paper: an ROI is three times as long as its organ
    schedule: list[Stage]
    plans_manager: PlansManager
    configuration_manager: ConfigurationManager
    network: nn.Module

    def __init__(
        self,
        plans: dict[str, Any],
        configuration: str,
        fold: int,
        dataset_json: dict[str, Any],
        device: torch.device = torch.device("cuda"),  # noqa: B008 (the host's signature)
    ) -> None:
        # Before nnU-Net's constructor, which makes the results folder.
        if len(PlansManager(plans).get_configuration(configuration).patch_size) != 3:
            raise ValueError(
                f"{type(self).__name__} needs a 3D configuration, {configuration} is 2D: train 3d_fullres or 3d_lowres."
            )
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.unannotated = self.dataset.unannotated
        self.num_epochs = self.default_num_epochs
        self.enable_deep_supervision = self.has_deep_supervision
        self.initial_lr = self.default_initial_lr
        self.weight_decay = 1e-2
        # Next to an epoch a checkpoint costs nothing, and a killed run loses one epoch at most.
        self.save_every = 1
        # Apart, as a validation step that is finite doesn't end a row of training steps that aren't.
        self.skipped = {"training": SkippedSteps(), "validation": SkippedSteps()}

    # ---- organs, network, loss ----

    def initialize(self) -> None:
        """Check the split, measure the organs, then build network, optimiser and loss as nnU-Net does.

        Raises:
            ValueError: splits_final.json or dataset.json contradict the training cases, or the label files do.
        """
        self._check_splits()
        self._add_organs_to_plans()
        super().initialize()
        self.optimizer.register_step_pre_hook(self._before_update)
        organs = [organ["name"] for organ in self.small_organs]
        self.logger.local_logger = StageLogger(self.loss.term_names, organs)

    def _check_splits(self) -> None:
        if self.fold == "all":  # the split isn't read
            return
        base = Path(self.preprocessed_dataset_folder_base)
        cases = cases_in(base / "gt_segmentations", self.dataset.file_ending)
        if warning := check_splits(base / "splits_final.json", cases, self.dataset.file_ending):
            self.print_to_log_file(f"WARNING: {warning}")

    @property
    def small_organs(self) -> list[dict[str, Any]]:
        """The small organs that have networks of their own, as the plans describe them."""
        return []

    def _add_organs_to_plans(self) -> None:
        # nnU-Net has no hook between plans and network. A network is built from the plans alone, also for inference, so
        # the plans have to know the organs before it is built.
        if self.is_ddp and self.local_rank != 0:
            dist.barrier()  # rank 0 measures, the others find its cache
        plans = add_organs_to_plans(
            self.plans_manager.plans,
            self.dataset,
            Path(self.preprocessed_dataset_folder_base),
            self.largest_roi_margin_mm,
        )
        if self.is_ddp and self.local_rank == 0:
            dist.barrier()
        network = self.describe_network(PlansManager(plans).get_configuration(self.configuration_name))
        plans["configurations"][self.configuration_name]["focusnet"]["network"] = network.as_json()
        plans = self._keep_organs_of_trained_folds(plans)
        self.my_init_kwargs["plans"] = plans
        self.plans_manager = PlansManager(plans)
        self.configuration_manager = self.plans_manager.get_configuration(self.configuration_name)
        self.print_to_log_file(organ_table(plans, self.configuration_name), add_timestamp=False)

    def _keep_organs_of_trained_folds(self, plans: dict[str, Any]) -> dict[str, Any]:
        """All folds share one plans.json, so what changed since must not change the network of a trained one."""
        name = self.configuration_name
        trained = trained_plans(Path(self.output_folder_base), Path(self.output_folder), name)
        if trained is None:
            return plans
        theirs, ours = (each["configurations"][name]["focusnet"] for each in (trained, plans))
        if differing := [key for key in ours if ours[key] != theirs.get(key)]:
            what = "network" if differing == ["network"] else "organs, as labels and dataset.json have them now,"
            self.print_to_log_file(
                f"WARNING: the {what} would differ from what trained folds in {self.output_folder_base} have: theirs"
                " are kept, so that all folds fit. To start anew, remove that folder."
            )
        plans["focusnet"] = trained["focusnet"]
        plans["configurations"][name]["focusnet"] = theirs
        return plans

    @staticmethod
    def build_network_architecture(
        plans_manager: PlansManager,
        configuration_manager: ConfigurationManager,
        num_input_channels: int,
        num_output_channels: int,
        enable_deep_supervision: bool = True,
    ) -> nn.Module:
        """What the model's plans describe; nnU-Net calls this in training and inference."""
        network = build_network(configuration_manager, num_input_channels, num_output_channels, enable_deep_supervision)
        return lay_out_for_device(keep_record(network, plans_manager, configuration_manager))

    def describe_network(self, configuration: ConfigurationManager) -> FocusNetConfig:
        """The network to train, in the plan's sizes; it goes into the model's plans."""
        return FocusNetConfig(main=snet_config(configuration))

    def _build_loss(self) -> SegmentationLoss:
        weights = self.configuration_manager.configuration["focusnet"]["focal_weights"]
        return SegmentationLoss(weights, self.label_manager.ignore_label).to(self.device)

    def set_deep_supervision_enabled(self, enabled: bool) -> None:
        """Do nothing: the network has one output."""

    # ---- left and right ----

    def get_training_transforms(self, *args: Any, **kwargs: Any) -> BasicTransform:  # type: ignore[override]
        """nnU-Net's transforms after a left-right flip that swaps labels (an instance method: it needs the axis)."""
        transforms = super().get_training_transforms(*args, **kwargs)
        if self.left_right.axis is not None:
            transforms.transforms.insert(0, LeftRightFlipTransform(self.left_right.axis, self.left_right.pairs))
        return transforms

    # ---- schedule and steps ----

    def build_schedule(self) -> list[Stage]:
        """The stages of training; here just one."""
        return [Stage("S-Net", ("main",), self.initial_lr, 0, self.num_epochs)]

    def configure_optimizers(self) -> tuple[torch.optim.Optimizer, StagedPolyLR]:
        """AdamW over all parameters: those of frozen parts have no gradient and stay untouched."""
        optimizer = torch.optim.AdamW(
            self.network.parameters(), self.initial_lr, weight_decay=self.weight_decay, fused=True
        )
        self.schedule = self.build_schedule()
        return optimizer, StagedPolyLR(optimizer, self.schedule)

    def on_train_start(self) -> None:
        """Start as nnU-Net does, with a schedule for the number of epochs that is set by now, or the run's own."""
        super().on_train_start()
        log = self.logger.local_logger
        planned = self.build_schedule()
        self.schedule = resume_schedule(log.schedule, planned, self.current_epoch) if log.schedule else planned
        if log.schedule:
            self._tell_what_is_left(log.schedule, planned)
        log.schedule = self.schedule
        self.lr_scheduler = StagedPolyLR(self.optimizer, self.schedule)

    def _tell_what_is_left(self, saved: list[Stage], planned: list[Stage]) -> None:
        """Say how a resumed run goes on if that isn't just as it would have."""
        done, had, epochs = self.current_epoch, saved[-1].end, planned[-1].end
        if done >= epochs:
            over = "" if done >= had else f"WARNING: {had} epochs had been planned. "
            stage = stage_at(saved, max(done - 1, 0))
            self.print_to_log_file(
                f"{over}{done} epochs are done, the last one in stage {stage}, and num_epochs is {epochs}: nothing is"
                " left to train."
            )
        elif self.schedule != planned or had != epochs:
            self.print_to_log_file(
                f"WARNING: this run had {had} epochs and has {epochs} now. No stage comes again: its stages are"
                f" {listed(self.schedule)}; those of a new run would be {listed(planned)}. After {done} epochs it goes"
                f" on with a learning rate of {self.stage.learning_rate(done):.2g}."
            )

    @property
    def stage(self) -> Stage:
        """The stage of the current epoch."""
        return stage_at(self.schedule, self.current_epoch)

    def on_train_epoch_start(self) -> None:
        """Start an epoch and log its stage."""
        super().on_train_epoch_start()
        stage = self.stage
        self.print_to_log_file(f"Stage: {stage}")
        self.logger.log("stage", stage.name, self.current_epoch)

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """One step; also returns the loss terms.

        Raises:
            RuntimeError: the loss or its gradient is NaN or infinite; in half precision, in many steps in a row.
        """
        self.loss.annotated = self._annotated(batch, self.left_right.pairs if self.left_right.axis is not None else ())
        self._batch = batch
        self._overflow: torch.Tensor | bool = True  # as long as nothing calls for an update
        result = super().train_step(batch)
        return result | self._finite_terms("training", skipped=bool(self._overflow))

    def validation_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """One validation step; what is predicted of an organ counts in the online Dice only where it is annotated.

        Raises:
            RuntimeError: a loss term is NaN or infinite; in half precision, in many steps in a row.
        """
        self.loss.annotated = self._annotated(batch, flipped_pairs=())
        self._batch = batch
        uncounted = []
        # nnU-Net's validation step keeps the prediction to itself, but shows it to the loss.
        hook = self.loss.register_forward_hook(lambda _, args, __: uncounted.append(self._unannotated_voxels(*args)))
        try:
            result = super().validation_step(batch)
        finally:
            hook.remove()
        self._finite_terms("validation")
        return result | {"fp_hard": result["fp_hard"] - uncounted[0]}

    def _annotated(self, batch: dict[str, Any], flipped_pairs: Sequence[tuple[int, int]]) -> torch.Tensor | None:
        """Which classes the batch's samples have annotated, (B, C) bool; None: all."""
        unannotated = [self.unannotated.get(case, frozenset()) for case in batch["keys"]]
        if not any(unannotated):
            return None
        labels = finest(batch["target"])[:, 0]
        classes = self.label_manager.num_segmentation_heads
        return find_annotated(labels, unannotated, classes, flipped_pairs).to(self.device)

    def _unannotated_voxels(self, output: Any, target: Any) -> np.ndarray:
        """Voxels predicted as each organ in samples that don't have it annotated: nnU-Net takes them for errors."""
        logits, annotated = finest(output), self.loss.annotated
        if annotated is None:
            return np.zeros(logits.shape[1] - 1)
        _, valid = self.loss.split_target(target)
        predicted = torch.where(valid, logits.argmax(1), 0).flatten(1)
        voxels = torch.stack([sample.bincount(minlength=logits.shape[1]) for sample in predicted])
        return (voxels * ~annotated).sum(0)[1:].cpu().numpy()

    def _before_update(self, optimizer: torch.optim.Optimizer, *_arguments: Any) -> None:
        """Without a gradient scaler, a gradient that isn't finite would spoil the weights for good."""
        # This is how a scaler tells a fused optimiser not to update anything.
        self._overflow = getattr(optimizer, "found_inf", False)
        if self._overflow is not False:
            return
        # nnU-Net has clipped the gradient by now: finite sums don't overflow.
        sums = [p.grad.sum() for p in self.network.parameters() if p.grad is not None]
        if not torch.stack(sums).isfinite().all():
            self._stop()

    def _finite_terms(self, kind: str, *, skipped: bool = False) -> dict[str, float]:
        """The loss terms; in half precision a step that isn't finite is counted, else it ends the run."""
        terms = self.loss.terms
        values = dict(zip(terms, torch.stack(list(terms.values())).tolist(), strict=True))
        broken = not all(map(math.isfinite, values.values()))
        if broken and (self.grad_scaler is None or self._broken_images()):
            self._stop()
        if self.skipped[kind].count(broken or skipped, self._batch["keys"]):
            self._stop(f" in {self.skipped[kind].in_a_row} {kind} steps in a row, with half precision,")
        return values

    def _broken_images(self) -> list[str]:
        """Cases of the batch whose images are the cause."""
        whole = self._batch["data"].flatten(1).isfinite().all(1)
        return [case for case, finite in zip(self._batch["keys"], whole.tolist(), strict=True) if not finite]

    def _stop(self, how_often: str = "") -> NoReturn:
        terms = [name for name, value in self.loss.terms.items() if not value.isfinite()]
        what = f"Loss term {', '.join(terms)}" if terms else "The gradient"
        images = self._broken_images()
        cases = f"the images of {', '.join(images)}" if images else f"cases {', '.join(self._batch['keys'])}"
        cure = "which hold NaN or infinity" if images else "check images and labels, or lower the learning rate"
        raise RuntimeError(
            f"{what} became NaN or infinite{how_often} in epoch {self.current_epoch}, stage {self.stage.name}, on"
            f" {cases}: {cure}; --c goes on from the last checkpoint in {self.output_folder}."
        )

    def on_train_epoch_end(self, train_outputs: list[dict[str, Any]]) -> None:
        """Log the mean of the loss and of each of its terms."""
        super().on_train_epoch_end(without_skipped(train_outputs))
        outputs = self.from_all_ranks(train_outputs)
        means = {
            name: mean_of_finite([output[name] for output in outputs]) if name in outputs[0] else math.nan
            for name in self.loss.term_names
        }
        for name, mean in means.items():
            self.logger.log(f"loss/{name}", mean, self.current_epoch)
        terms = ", ".join(f"{name} {mean:.4f}" for name, mean in means.items() if not math.isnan(mean))
        self.print_to_log_file(f"loss terms: {terms}")
        self._log_skipped(len(train_outputs), "training")

    def on_validation_epoch_end(self, val_outputs: list[dict[str, Any]]) -> None:
        """Log what nnU-Net logs, of the steps whose loss was finite."""
        super().on_validation_epoch_end(without_skipped(val_outputs))
        self._log_skipped(len(val_outputs), "validation")

    def _log_skipped(self, steps: int, kind: str) -> None:
        number, cases = self.skipped[kind].reset()
        if number:
            self.print_to_log_file(
                f"{number} of {steps} {kind} steps left out: not finite in half precision, on {', '.join(cases)}"
            )

    def from_all_ranks(self, outputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The outputs of all processes' steps; without DDP those of this one."""
        if not self.is_ddp:
            return outputs
        gathered: list[Any] = [None] * dist.get_world_size()
        dist.all_gather_object(gathered, outputs)
        return [output for of_rank in gathered for output in of_rank]
