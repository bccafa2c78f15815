"""Steps whose loss and gradient are finite: others end the run, or are left out where half precision is the cause.

Under DDP every process has the loss and the gradient of the whole batch, so all of them leave out the same steps.
"""

import math
from typing import Any, NoReturn

import torch
from torch import distributed as dist

from nnunetv2_focusnet.trainers.resumable_trainer import ResumableTrainer
from nnunetv2_focusnet.trainers.schedule import Stage
from nnunetv2_focusnet.trainers.skipped_steps import COUNTS, SkippedSteps, mean_of_finite, without_skipped


class FiniteTrainer(ResumableTrainer):
    """Checks and logs the terms of a :class:`SegmentationLoss` in every step, and the gradient before each update."""

    @property
    def stage(self) -> Stage:
        """The stage of the current epoch."""
        raise NotImplementedError

    def initialize(self) -> None:
        """As nnU-Net does, and watch the optimiser."""
        super().initialize()
        self.optimizer.register_step_pre_hook(self._before_update)
        # Apart, as a validation step that is finite doesn't end a row of training steps that aren't.
        self.skipped = {"training": SkippedSteps(), "validation": SkippedSteps()}

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """One step; also returns the loss terms.

        Raises:
            RuntimeError: the loss or its gradient is NaN or infinite; in half precision, in many steps in a row.
        """
        self._batch = batch
        self._overflow: torch.Tensor | bool = True  # as long as nothing calls for an update
        result = super().train_step(batch)
        return result | self._finite_terms("training", self._overflow)

    def validation_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """One validation step.

        Raises:
            RuntimeError: a loss term is NaN or infinite; in half precision, in many steps in a row.
        """
        self._batch = batch
        result = super().validation_step(batch)
        self._finite_terms("validation")
        return result

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

    def _finite_terms(self, kind: str, overflow: torch.Tensor | bool = False) -> dict[str, float]:
        """The loss terms; in half precision a step that isn't finite is counted, else it ends the run."""
        terms = self.loss.terms
        read = [*terms.values(), *([overflow.squeeze()] if isinstance(overflow, torch.Tensor) else [])]
        numbers = torch.stack(read).tolist()  # all at once: each reading has the host wait for the GPU
        values = dict(zip(terms, numbers, strict=False))
        skipped = overflow if isinstance(overflow, bool) else bool(numbers[-1])
        broken = not all(map(math.isfinite, values.values()))
        if broken and (self.grad_scaler is None or self._broken_images()):
            self._stop()
        if self.skipped[kind].count(broken or skipped, self._batch["keys"]):
            self._stop(f" in {self.skipped[kind].in_a_row} {kind} steps in a row, with half precision,")
        return values

    def _broken_images(self) -> list[str]:
        """Cases of the batch, of all processes, whose images are the cause."""
        whole = self._batch["data"].flatten(1).isfinite().all(1)
        cases = [case for case, finite in zip(self._batch["keys"], whole.tolist(), strict=True) if not finite]
        return self.from_all_ranks(cases)

    def _stop(self, how_often: str = "") -> NoReturn:
        terms = [name for name, value in self.loss.terms.items() if not value.isfinite()]
        what = f"Loss term {', '.join(terms)}" if terms else "The gradient"
        images = self._broken_images()
        keys = self.from_all_ranks(self._batch["keys"])
        cases = f"the images of {', '.join(images)}" if images else f"cases {', '.join(keys)}"
        cure = "which hold NaN or infinity" if images else "check images and labels, or lower the learning rate"
        raise RuntimeError(
            f"{what} became NaN or infinite{how_often} in epoch {self.current_epoch}, stage {self.stage.name}, on"
            f" {cases}: {cure}; --c goes on from the last checkpoint in {self.output_folder}."
        )

    def on_train_epoch_end(self, train_outputs: list[dict[str, Any]]) -> None:
        """Log the mean of the loss and of each of its terms."""
        super().on_train_epoch_end(without_skipped(train_outputs))
        means = {
            name: mean_of_finite([output[name] for output in train_outputs]) if name in train_outputs[0] else math.nan
            for name in self.loss.term_names
        }
        for name, mean in means.items():
            self.logger.log(f"loss/{name}", mean, self.current_epoch)
        terms = ", ".join(f"{name} {mean:.4f}" for name, mean in means.items() if not math.isnan(mean))
        self.print_to_log_file(f"loss terms: {terms}")
        self._log_skipped(len(train_outputs), "training")

    def on_validation_epoch_end(self, val_outputs: list[dict[str, Any]]) -> None:
        """Log what nnU-Net logs, of the steps whose loss was finite."""
        # nnU-Net stacks all that the first step has, and a step that was left out has less.
        counted = [{key: output[key] for key in ("loss", *COUNTS)} for output in without_skipped(val_outputs)]
        super().on_validation_epoch_end(counted)
        self._log_skipped(len(val_outputs), "validation")

    def _log_skipped(self, steps: int, kind: str) -> None:
        number, cases = self.skipped[kind].reset()
        if number:
            cases = sorted(set(self.from_all_ranks(cases)))
            self.print_to_log_file(
                f"{number} of {steps} {kind} steps left out: not finite in half precision, on {', '.join(cases)}"
            )

    def from_all_ranks(self, values: list[Any]) -> list[Any]:
        """What all processes have, one process's after the other's; without DDP the values of this one."""
        if not self.is_ddp:
            return values
        gathered: list[Any] = [None] * dist.get_world_size()
        dist.all_gather_object(gathered, values)
        return [value for of_rank in gathered for value in of_rank]
