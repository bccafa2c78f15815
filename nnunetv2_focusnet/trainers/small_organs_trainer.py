"""FocusNet's networks for small organs: the stages they take part in, and how well they locate the organs."""

import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nnunetv2_focusnet.architectures.blocks import constant
from nnunetv2_focusnet.architectures.focusnet import PARTS
from nnunetv2_focusnet.architectures.main_network import finest
from nnunetv2_focusnet.architectures.rois import find_centres
from nnunetv2_focusnet.organs.organ_table import small_organ_warnings
from nnunetv2_focusnet.trainers.base import BaseTrainer
from nnunetv2_focusnet.trainers.host import curves
from nnunetv2_focusnet.trainers.schedule import Stage
from nnunetv2_focusnet.trainers.sos_shares import (
    NAMES,
    SHARES,
    SHORTEST_WINDOW,
    best_shares,
    count_voxels,
    dice_by_share,
    dice_of,
    find_dead,
)


class SmallOrgansTrainer(BaseTrainer):
    """Trains a main network with SOL-Net and SOS-Nets; with no small organ in the dataset, the main network alone.

    The stages are worked out when training starts, for the number of epochs that is set by then.
    """

    def initialize(self) -> None:
        """As S-Net's trainer, and warn of ROIs that don't fit, of pairs that are torn, and where no organ is small."""
        super().initialize()
        for line in small_organ_warnings(self.small_organs, self.dataset):
            self.print_to_log_file(f"WARNING: {line}")
        if not self.small_organs:
            self.print_to_log_file(
                f"WARNING: {self.plans_manager.dataset_name} has no small organ at the spacing of this configuration:"
                " none is below both 1000 voxels and a ball of 20 mm in the mean and shorter than half the patch, or"
                " dataset.json names none. The main network is trained alone; if some are small, name them in"
                ' dataset.json: "focusnet": {"small_organs": [...]}.'
            )

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """One step; the labels are a further channel, so that ROIs can be put around the organs."""
        if not self.small_organs:
            return super().train_step(batch)
        # On the device: what is concatenated on the host would have to be waited for when it is copied.
        images, labels = (each.to(self.device, non_blocking=True) for each in (batch["data"], finest(batch["target"])))
        return super().train_step(batch | {"data": torch.cat([images, labels.to(images.dtype)], 1)})

    # ---- stages ----

    def on_train_start(self) -> None:
        """Start as S-Net's trainer does; the first epoch, also of a resumed run, enters its stage.

        Raises:
            RuntimeError: the GPU's memory isn't enough for the last stage.
        """
        super().on_train_start()
        self._entered_stage: Stage | None = None
        self._compiled_parts: tuple[str, ...] | None = None
        self._known_dead: set[str] = set()
        if self.small_organs and self.device.type == "cuda":
            self._try_joint_step()

    def _try_joint_step(self) -> None:
        """Joint training comes last and takes the most memory: find out before the other stages have run.

        Raises:
            RuntimeError: the GPU's memory isn't enough.
        """
        compiling = "; compiling it takes minutes" if self._do_i_compile() else ""
        self.print_to_log_file(f"Trying a step of all parts first, as memory must be enough for it{compiling}.")
        self.bare_network.train_parts(PARTS)
        self.network.train()
        size = self.configuration_manager.patch_size
        channels = self.num_input_channels + 1  # the labels, as in a training step
        data = torch.zeros((self.batch_size, channels, *size), device=self.device)
        targets = [torch.zeros((self.batch_size, 1, *scaled), device=self.device) for scaled in self.target_sizes()]
        target = targets if self.enable_deep_supervision else targets[0]
        try:
            with self.autocast():
                loss = self.loss(self.network(data), target)
            loss.backward()
        except torch.cuda.OutOfMemoryError:
            own_command = f"nnUNetv2_focusnet_plan_and_preprocess -tr {type(self).__name__}"
            command = own_command if self.trains_patch_of_plans else "nnUNetv2_plan_and_preprocess"
            raise RuntimeError(
                f"Joint training, the last stage, needs more memory than {self.device} has: plan with {command} and"
                " what the GPU has as -gpu_memory_target, then train with those plans."
            ) from None
        self.optimizer.zero_grad(set_to_none=True)
        self._compiled_parts = PARTS

    def on_train_epoch_start(self) -> None:
        """Enter the epoch's stage if it isn't the one before."""
        if self.small_organs and self.stage != self._entered_stage:
            self._enter_stage(self.stage)
        super().on_train_epoch_start()

    def _enter_stage(self, stage: Stage) -> None:
        """Freeze and unfreeze the parts; the optimiser's state starts anew, unless the stage is being resumed."""
        self.bare_network.train_parts(stage.parts)
        self.bare_network.predict_with([part for part in PARTS if self._has_started(part)])
        if self.current_epoch == stage.start:
            self.optimizer.state.clear()
        self._forget_other_predictions()
        # DDP waits for the gradient of every parameter that could have one when it was wrapped.
        self.wrap_anew()
        if self._compiled_parts not in (None, stage.parts):
            # Each stage compiles anew; its predecessors' graphs would use up the limit of recompilations.
            torch.compiler.reset()
        self._compiled_parts = stage.parts
        self._entered_stage = stage

    def _first_epoch_of(self, part: str) -> float:
        return next((stage.start for stage in self.schedule if part in stage.parts), math.inf)

    def _has_started(self, part: str) -> bool:
        return self.current_epoch >= self._first_epoch_of(part)

    def _forget_other_predictions(self) -> None:
        """From the SOS-Nets' first epoch on, the best checkpoint is one of theirs.

        Before it the small organs are the main network's own: another model, whose Dice may have been higher.
        """
        first = self._first_epoch_of("sos")
        if self._has_started("sos"):
            self.local_log.average_from = first
        if self.current_epoch == first:
            self.forget_best()

    def describe_checkpoint(self, path: Path, checkpoint: dict[str, Any]) -> str:
        """A line for the log, which also says whose the small organs are."""
        line = super().describe_checkpoint(path, checkpoint)
        if checkpoint["network_weights"].get("sos_trained", True):
            return line
        return f"{line} Its SOS-Nets aren't trained yet: small organs are the main network's own."

    # ---- localisation ----

    def validation_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """nnU-Net's validation step of the fused label map, and where the heat maps have their peaks."""
        if not self.small_organs:
            return super().validation_step(batch)
        judged = None
        if self._has_started("sol"):  # nnU-Net's step writes 0 into the target's ignored voxels, in place
            judged = batch | {"target": finest(batch["target"]).clone()}
        result = super().validation_step(batch)
        if judged and math.isfinite(result["loss"]):  # else it was left out of the rest, too
            result = result | self._judge_peaks(judged) | self._judge_shares(judged)
        self.bare_network.seen = None  # as large as the logits of a batch
        return result

    def _judge_peaks(self, batch: dict[str, Any]) -> dict[str, np.ndarray]:
        """Distance in mm from peak to centre, and detection (1 or 0), per sample and organ; NaN if not visible."""
        # nnU-Net's validation step keeps what the network returns to itself; the network remembers its peaks.
        assert self.bare_network.located is not None
        peaks, positions = self.bare_network.located
        labels = finest(batch["target"])[:, 0].to(self.device, non_blocking=True)
        centres, visible = find_centres(labels, self.bare_network.config.small_organs)
        spacing = constant(self.configuration_manager.spacing, self.device).to(centres.dtype)
        distance = ((positions - centres) * spacing).norm(dim=2)
        detected = (peaks > self.bare_network.config.detection_threshold).to(distance.dtype)
        return {
            "localisation_error_mm": distance.masked_fill(~visible, math.nan).cpu().numpy(),
            "detection_rate": detected.masked_fill(~visible, math.nan).cpu().numpy(),
        }

    # ---- what counts how much ----

    def dsc_for_weights(self) -> np.ndarray:
        """That of the main network for small organs, too: a SOS-Net may be far ahead of it."""
        dsc = super().dsc_for_weights()
        if not self.small_organs:
            return dsc
        small = [organ.label - 1 for organ in self.small_organs]
        for epoch, counts in zip(dsc, curves(self.local_log)["voxels_by_share"], strict=False):
            if counts is not None:
                by_main = dice_of(np.array(counts))[SHARES.index(0.0)]
                epoch[small] = np.where(np.isnan(epoch[small]), math.nan, by_main)
        return dsc

    def _judge_shares(self, batch: dict[str, Any]) -> dict[str, np.ndarray]:
        """What the SOS-Nets, the main network and their mean would each have overlapped in this batch."""
        network = self.bare_network
        if network.seen.roi_logits is None:
            return {}
        labels, valid = self.loss.split_target(finest(batch["target"]).to(self.device, non_blocking=True))
        counts = count_voxels(network, network.seen, labels, valid, self.loss.annotated_organs)
        return {"voxels_by_share": counts.cpu().numpy()}

    def _choose_shares(self, val_outputs: list[dict[str, Any]]) -> None:
        """From now on every small organ is segmented by what was best at it."""
        counts = [output["voxels_by_share"] for output in val_outputs if "voxels_by_share" in output]
        self.local_log.log("voxels_by_share", np.sum(counts, 0).tolist() if counts else None, self.current_epoch)
        if not counts:
            return
        names = [organ.name for organ in self.small_organs]
        epochs = [epoch for epoch in curves(self.local_log)["voxels_by_share"] if epoch is not None]
        dice = dice_by_share(epochs, self.num_epochs)
        shares = best_shares(dice)
        self.bare_network.sos_shares.copy_(torch.tensor(shares))
        listed = ", ".join(
            f"{name} {'/'.join(f'{value:.2f}' for value in values)} ({NAMES[SHARES.index(share)]})"
            for name, values, share in zip(names, dice.T, shares, strict=True)
        )
        self.print_to_log_file(f"DSC of {'/'.join(NAMES)}: {listed}")
        dead = find_dead(dice, names) if len(epochs) > SHORTEST_WINDOW else []  # before, they may have just begun
        for name in set(dead) - self._known_dead:
            self.print_to_log_file(
                f"WARNING: the SOS-Net of {name} answers next to nothing, though the main network finds the organ: the"
                " main network's answer is taken."
            )
        self._known_dead = set(dead)

    def on_validation_epoch_end(self, val_outputs: list[dict[str, Any]]) -> None:
        """Log what nnU-Net logs, and the mean localisation error and detection rate of each small organ."""
        super().on_validation_epoch_end(val_outputs)
        if not self.small_organs:
            return
        val_outputs = self.from_all_ranks(val_outputs)
        self._choose_shares(val_outputs)
        names = [organ.name for organ in self.small_organs]
        for key, unit in (("localisation_error_mm", " mm"), ("detection_rate", "")):
            values = [output.get(key, np.full((1, len(names)), math.nan)) for output in val_outputs]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # an organ in none of the epoch's patches has no mean
                means = np.nanmean(np.concatenate(values), 0).tolist()
            self.local_log.log(key, means, self.current_epoch)  # W&B would call the first small organ class 1
            if self._has_started("sol"):
                listed = ", ".join(f"{name} {mean:.2f}{unit}" for name, mean in zip(names, means, strict=True))
                self.print_to_log_file(f"{key.removesuffix('_mm').replace('_', ' ')}: {listed}")
