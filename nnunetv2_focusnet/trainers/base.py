"""What all trainers of this package share: organs in the plans, network and loss from them, stages of training."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager
from torch import distributed as dist
from torch import nn

from nnunetv2_focusnet.architectures.config import FocusNetConfig
from nnunetv2_focusnet.architectures.main_network import finest
from nnunetv2_focusnet.inference.predictor import FocusNetPredictor
from nnunetv2_focusnet.losses.modules import FOCAL_AND_DICE, SegmentationLoss
from nnunetv2_focusnet.losses.targets import count_classes, find_annotated
from nnunetv2_focusnet.organs.case_names import cases_in
from nnunetv2_focusnet.organs.dataset_json import DatasetJson
from nnunetv2_focusnet.organs.measuring import measure_organs
from nnunetv2_focusnet.organs.organ import Organ, SmallOrgan
from nnunetv2_focusnet.organs.organ_table import organ_table
from nnunetv2_focusnet.organs.planning import focal_weights, plan_small_organs
from nnunetv2_focusnet.organs.plans_entry import PlansEntry, is_planned_for_others
from nnunetv2_focusnet.organs.splits import check_splits
from nnunetv2_focusnet.trainers.finite_trainer import FiniteTrainer
from nnunetv2_focusnet.trainers.host import DICE_PER_CLASS, EMA_DICE, curves
from nnunetv2_focusnet.trainers.learned import how_far_learned
from nnunetv2_focusnet.trainers.left_right_flip import FLIPPED, LeftRightFlipTransform
from nnunetv2_focusnet.trainers.model_card import write_model_card
from nnunetv2_focusnet.trainers.networks import build_loss, build_network, lay_out_for_device
from nnunetv2_focusnet.trainers.progress import ORGANS_THERE, StageLogger
from nnunetv2_focusnet.trainers.schedule import Stage, StagedPolyLR, listed, resume_schedule, stage_at
from nnunetv2_focusnet.trainers.trained_folds import TrainedFold, checkpoints_in
from nnunetv2_focusnet.trainers.trained_with import keep_record


class BaseTrainer(FiniteTrainer):
    """Trains with AdamW and, unless a subclass has another, focal + Dice loss; flips swap the labels of pairs.

    Organs that dataset.json calls not annotated in a case are neither trained as background there nor counted. A
    subclass says what it trains: :meth:`describe_network`, :meth:`build_schedule`, and class attributes.

    Raises:
        ValueError: the configuration is 2D, or dataset.json isn't as :class:`DatasetJson` needs it.
    """

    # Three times AdamW's usual rate: a few hundred steps then find organs that take more than twice as many at it.
    default_initial_lr = 3e-3
    default_weight_decay = 1e-2
    # Next to an epoch a checkpoint costs nothing, and a killed run loses one epoch at most.
    default_save_every = 1
    default_enable_deep_supervision = False
    roi_scale: ClassVar[float | None] = None  # length of an ROI by that of its organ; None: dataset.json's, or three
    largest_roi_margin_mm: ClassVar[float] = math.inf
    loss_factors: ClassVar[Mapping[str, float]] = FOCAL_AND_DICE  # of the main network's terms
    relaxes_weights: ClassVar[bool] = False  # of the loss, once organs are learned; the paper's stay
    trains_patch_of_plans: ClassVar[bool] = True  # if not, it makes another one of it, of stock's own plans
    predictor = FocusNetPredictor
    entry: PlansEntry  # once the trainer is initialised
    schedule: list[Stage]

    @classmethod
    def describe_network(
        cls, configuration: ConfigurationManager, small_organs: Sequence[SmallOrgan]
    ) -> FocusNetConfig:
        """The network to train, in the plan's sizes; it goes into the model's plans.

        Args:
            configuration: of the plans.
            small_organs: sorted by label.
        """
        raise NotImplementedError

    def build_schedule(self) -> list[Stage]:
        """The stages of training, for the number of epochs that is set by now."""
        raise NotImplementedError

    @property
    def small_organs(self) -> tuple[SmallOrgan, ...]:
        """The small organs that have networks of their own."""
        return self.entry.organs_with_networks

    def check_arguments(self, plans: dict[str, Any], configuration: str, dataset_json: dict[str, Any]) -> None:
        """Refuse 2D configurations.

        Raises:
            ValueError: it is one, or dataset.json isn't as :class:`DatasetJson` needs it.
        """
        if len(PlansManager(plans).get_configuration(configuration).patch_size) != 3:
            raise ValueError(
                f"{type(self).__name__} needs a 3D configuration, {configuration} is 2D: train 3d_fullres or 3d_lowres."
            )
        super().check_arguments(plans, configuration, dataset_json)
        self.unannotated = self.dataset.unannotated

    # ---- organs, network, loss ----

    def initialize(self) -> None:
        """Check the split, measure the organs, then build network, optimiser and loss as nnU-Net does.

        Raises:
            ValueError: splits_final.json or dataset.json contradict the training cases, or the label files do; or folds
                of the model were trained with other labels, flips or plans, or their ROIs don't fit into the patch.
        """
        self._check_splits()
        base, fold = Path(self.output_folder_base), Path(self.output_folder)
        trained = TrainedFold.find(base, fold, type(self).__name__, self.configuration_name)
        ours = self._add_organs_to_plans(trained)
        self.schedule = self.build_schedule()
        super().initialize()
        if trained:
            self._check_trained_fold(trained, ours)
        self.use_local_log(StageLogger(self.loss.term_names, [organ.name for organ in self.small_organs]))

    def _check_splits(self) -> None:
        if self.fold == "all":  # the split isn't read
            return
        base = Path(self.preprocessed_dataset_folder_base)
        cases, ending = cases_in(Path(self.preprocessed_dataset_folder), ".pkl"), self.dataset.file_ending
        others = cases_in(base / "gt_segmentations", ending) - cases
        if warning := check_splits(base / "splits_final.json", cases, ending, others):
            self.print_to_log_file(f"WARNING: {warning}")

    def _add_organs_to_plans(self, trained: TrainedFold | None) -> PlansEntry:
        """Measure organs; returns the entry that they would have if no fold had been trained before."""
        # A network is built from the plans alone, also for prediction, so they have to know the organs before.
        if self.is_ddp and self.local_rank != 0:
            dist.barrier()  # rank 0 measures, the others find its cache
        folder, identifier = Path(self.preprocessed_dataset_folder_base), self.configuration_manager.data_identifier
        organs = measure_organs(folder, self.plans_manager.plans, self.dataset, data_identifiers=[identifier])
        if self.is_ddp and self.local_rank == 0:
            dist.barrier()
        if is_planned_for_others(self.configuration_manager.configuration, organs):
            self.print_to_log_file(
                "WARNING: labels or dataset.json have changed since this dataset was planned. The organs are those of"
                " now, but patch and batch aren't made for them: plan again."
            )
        self.entry = ours = self.complete(self.plan_entry(organs, self.dataset, self.configuration_manager))
        if trained:
            mirror_axes = self.find_mirror_axes()
            goes_on = self.is_resumed and checkpoints_in(Path(self.output_folder))
            if goes_on and {*trained.mirror_axes} < {*mirror_axes}:
                mirror_axes = trained.mirror_axes  # its trainer has left out some of them, for prediction alone
            trained.check_dataset(organs, self.left_right, mirror_axes)
            trained.check_patch(self.configuration_manager.patch_size)
            self.entry, self.left_right = trained.entry, trained.left_right_of(self.left_right)
        self.use_plans(self.entry.added_to(self.plans_manager.plans, self.configuration_name))
        self.print_to_log_file(organ_table(self.entry, self.configuration_manager.spacing), add_timestamp=False)
        return ours

    @classmethod
    def plan_entry(
        cls, organs: Sequence[Organ], dataset: DatasetJson, configuration: ConfigurationManager
    ) -> PlansEntry:
        """What goes into the plans: small organs, loss weights and network, for the spacing and patch that they have.

        Args:
            organs: all organs, sorted by label.
            dataset: the dataset.json.
            configuration: of the plans, 3D.
        """
        small_organs = plan_small_organs(
            organs,
            dataset,
            spacing=configuration.spacing,
            patch_size=configuration.patch_size,
            largest_margin_mm=cls.largest_roi_margin_mm,
            roi_scale=cls.roi_scale,
        )
        return PlansEntry(
            organs=tuple(organs),
            small_organs=small_organs,
            focal_weights=focal_weights(organs),
            network=cls.describe_network(configuration, small_organs),
        )

    def complete(self, entry: PlansEntry) -> PlansEntry:
        """Hook: the entry with what only preprocessed images tell."""
        return replace(entry, laterality=self.left_right.laterality)

    def _check_trained_fold(self, trained: TrainedFold, ours: PlansEntry) -> None:
        # A run that goes on compares the checkpoint that it goes on from.
        if not (self.is_resumed and checkpoints_in(Path(self.output_folder))):
            trained.check_network(self.bare_network)
        if kept := trained.what_is_kept(ours):
            self.print_to_log_file(kept)

    @staticmethod
    def build_network_architecture(
        plans_manager: PlansManager,
        configuration_manager: ConfigurationManager,
        num_input_channels: int,
        num_output_channels: int,
        enable_deep_supervision: bool = True,
    ) -> nn.Module:
        """What the model's plans describe; nnU-Net calls this in training and inference."""
        entry = PlansEntry.of(configuration_manager.configuration)
        network = build_network(
            entry.network, configuration_manager, num_input_channels, num_output_channels, enable_deep_supervision
        )
        return lay_out_for_device(keep_record(network, entry, plans_manager, configuration_manager))

    def build_loss(self) -> SegmentationLoss:
        """The loss of what the plans describe: the main network's terms, and those of each part for small organs."""
        return build_loss(self.entry, self.label_manager.ignore_label, self.loss_factors).to(self.device)

    def set_deep_supervision_enabled(self, enabled: bool) -> None:
        """As nnU-Net does, where the network has several outputs."""
        if self.enable_deep_supervision:
            super().set_deep_supervision_enabled(enabled)

    # ---- schedule ----

    def configure_optimizers(self) -> tuple[torch.optim.Optimizer, StagedPolyLR]:
        """AdamW over all parameters: those of frozen parts have no gradient and stay untouched."""
        optimizer = torch.optim.AdamW(
            self.network.parameters(), self.initial_lr, weight_decay=self.weight_decay, fused=True
        )
        return optimizer, StagedPolyLR(optimizer, self.schedule)

    def on_train_start(self) -> None:
        """Start as nnU-Net does, with a schedule for the number of epochs that is set by now, or the run's own.

        A subclass's own scheduler of the learning rate stays.
        """
        super().on_train_start()
        log = self.local_log
        planned = self.build_schedule()
        self.schedule = resume_schedule(log.schedule, planned, self.current_epoch) if log.schedule else planned
        if log.schedule:
            self._tell_what_is_left(log.schedule, planned)
        log.schedule = self.schedule
        if isinstance(self.lr_scheduler, StagedPolyLR):
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
        elif self.schedule != saved:
            changed = f"had {had} epochs and has {epochs} now" if had != epochs else "has other learning rates now"
            self.print_to_log_file(
                f"WARNING: this run {changed}. No stage comes again: its stages are {listed(self.schedule)}; those of a"
                f" new run would be {listed(planned)}.{self._rate_after(done)}"
            )

    def _rate_after(self, epochs: int) -> str:
        if not isinstance(self.lr_scheduler, StagedPolyLR):
            return ""
        return f" After {epochs} epochs it goes on with a learning rate of {self.stage.learning_rate(epochs):.2g}."

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
        if self.relaxes_weights:
            self.loss.learned.copy_(torch.from_numpy(how_far_learned(self.dsc_for_weights())))

    def dsc_for_weights(self) -> np.ndarray:
        """Online DSC by which focal weights relax, (epochs so far, organs), NaN for organs that weren't there."""
        log, shape = curves(self.local_log), (self.current_epoch, len(self.entry.organs))
        dsc, there = (np.reshape(log[key][: self.current_epoch], shape) for key in (DICE_PER_CLASS, ORGANS_THERE))
        return np.where(there, dsc, math.nan)

    def on_validation_epoch_end(self, val_outputs: list[dict[str, Any]]) -> None:
        """Log what nnU-Net logs, and which organs were in the patches: a DSC of 0 doesn't tell."""
        super().on_validation_epoch_end(val_outputs)
        voxels = sum(output["tp_hard"] + output["fn_hard"] for output in val_outputs)
        there = sum(self.from_all_ranks([voxels])) > 0
        self.local_log.log(ORGANS_THERE, there.tolist(), self.current_epoch)
        self.log_elsewhere(EMA_DICE, curves(self.local_log)[EMA_DICE][-1])

    # ---- left and right, annotated organs ----

    def first_transforms(self) -> list[BasicTransform]:
        """A left-right flip that swaps labels, where the data allow one."""
        flip = self.entry.swap_flip
        return [LeftRightFlipTransform(flip.axis, flip.pairs)] if flip else []

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """One step; the loss knows what is annotated."""
        self.loss.annotated = self._annotated(batch)
        return super().train_step(batch)

    def validation_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """One validation step; what is predicted of an organ counts in the online Dice only where it is annotated."""
        self.loss.annotated = self._annotated(batch)
        return super().validation_step(batch)

    def perform_actual_validation(self, save_probabilities: bool = False) -> None:
        """Validate as nnU-Net does, then write the model card."""
        super().perform_actual_validation(save_probabilities)
        if self.local_rank == 0:
            write_model_card(self)

    def _annotated(self, batch: dict[str, Any]) -> torch.Tensor | None:
        """Which classes the batch's samples have annotated, (B, C) bool; None: all."""
        unannotated = [self.unannotated.get(case, frozenset()) for case in batch["keys"]]
        if not any(unannotated):
            return None
        classes = self.label_manager.num_segmentation_heads
        pairs = self.entry.swap_flip.pairs if self.entry.swap_flip else ()
        return find_annotated(unannotated, classes, batch[FLIPPED], pairs).to(self.device)

    def uncounted_voxels(self, output: Any, target: Any) -> np.ndarray:
        """Voxels predicted as each organ in samples that don't have it annotated."""
        logits, annotated = finest(output), self.loss.annotated
        if annotated is None:
            return np.zeros(logits.shape[1] - 1)
        _, valid = self.loss.split_target(target)
        voxels = count_classes(torch.where(valid, logits.argmax(1), -1), logits.shape[1])
        return (voxels * ~annotated).sum(0)[1:].cpu().numpy()
