"""What folds of a model share: one ``plans.json`` serves them all, so a further one has to fit those before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from nnunetv2_focusnet.laterality import LeftRight
from nnunetv2_focusnet.organs.organ import Organ
from nnunetv2_focusnet.organs.plans_entry import Laterality, PlansEntry, has_entry
from nnunetv2_focusnet.trainers.checkpoints import read_checkpoint
from nnunetv2_focusnet.trainers.host import RESUME_ORDER
from nnunetv2_focusnet.trainers.trained_with import find_difference

OTHER_PLANS = (
    "put back the plans that they were trained with, give the new ones a name of their own (-overwrite_plans_name), or,"
    " to start anew, remove that folder"
)


@dataclass(frozen=True)
class TrainedFold:
    """A fold that was trained, as one of its checkpoints has it.

    The ``plans.json`` beside it is rewritten at each start, and may be cut off by a kill.

    Attributes:
        model_folder: ``<nnUNet_results>/DatasetXXX_Name/TRAINER__PLANS__CONFIGURATION``.
        entry: of its plans.
        weights: of its network.
        mirror_axes: along which training and prediction mirror without swapping labels, 0, 1, 2 for z, y, x.
    """

    model_folder: Path
    entry: PlansEntry
    weights: Mapping[str, Tensor]
    mirror_axes: tuple[int, ...]

    @classmethod
    def find(cls, model_folder: Path, fold_folder: Path, trainer_name: str, configuration: str) -> TrainedFold | None:
        """A trained fold of a model; the one that is about to be trained if it has a checkpoint.

        Args:
            model_folder: of the model.
            fold_folder: folder in it of the fold that is about to be trained.
            trainer_name: of the model; what another trainer has left there isn't it.
            configuration: whose entry in its plans is wanted.

        Returns:
            None if there is no checkpoint of this trainer that is whole.

        Raises:
            ValueError: its entry is of another version's form.
        """
        own = checkpoints_in(fold_folder)
        others = [path for path in sorted(model_folder.glob("fold_*/checkpoint_*.pth")) if path not in own]
        for path in (*own, *others):
            try:
                checkpoint = read_checkpoint(path)
                planned: dict[str, Any] = checkpoint["init_args"]["plans"]["configurations"][configuration]
                wanted = checkpoint["trainer_name"] == trainer_name and has_entry(planned)
            except (ValueError, KeyError, TypeError):
                continue
            if wanted:
                mirror_axes = tuple(checkpoint["inference_allowed_mirroring_axes"] or ())
                return cls(model_folder, _entry(planned, path), checkpoint["network_weights"], mirror_axes)
        return None

    def check_dataset(self, organs: Sequence[Organ], left_right: LeftRight, mirror_axes: tuple[int, ...]) -> None:
        """Check that a fold can be trained with this one's organs and flips.

        Args:
            organs: of the dataset as it is now, sorted by label.
            left_right: of its preprocessed images.
            mirror_axes: along which it would be mirrored.

        Raises:
            ValueError: an organ has another label now, or left and right are elsewhere, so that this one's flips would
                be wrong, or other axes are mirrored.
        """
        for pair in zip_longest(self.entry.organs, organs):
            theirs, ours = (f"{organ.name} ({organ.label})" if organ else "no organ" for organ in pair)
            if theirs != ours:
                raise ValueError(
                    f"dataset.json has {ours} where the trained folds in {self.model_folder} have {theirs}: put back"
                    " its organs and labels, or, to start anew, remove that folder."
                )
        then, now = self.entry.laterality, left_right.laterality
        if then and now and _side(then) != _side(now):
            raise self._other_sides(f"{_side(then)}, but now {_side(now)}.")
        if then and left_right.unsafe_axes != (then.axis,):
            raise self._other_sides(f"{_side(then)}, but now: {left_right.message}")
        if mirror_axes != self.mirror_axes:
            before, after = (", ".join(map(str, axes)) or "none" for axes in (self.mirror_axes, mirror_axes))
            raise self._other_sides(f"axes {before} are mirrored, but now {after}: {left_right.message}")

    def _other_sides(self, what: str) -> ValueError:
        return ValueError(
            f"In the trained folds in {self.model_folder} {what} Put back the images, or the pairs in dataset.json, or,"
            " to start anew, remove that folder."
        )

    def check_patch(self, patch_size: Sequence[int]) -> None:
        """Check that this fold's ROIs fit into the patches of a fold that is about to be trained.

        Training would cut them, and the validation after the last epoch end with an error.

        Args:
            patch_size: (z, y, x) in voxels.

        Raises:
            ValueError: an ROI is longer along an axis.
        """
        for organ in self.entry.organs_with_networks:
            roi_size = self.entry.roi_sizes[organ.label]
            if any(size > patch for size, patch in zip(roi_size, patch_size, strict=True)):
                raise ValueError(
                    f"The ROI of {organ.name} has {list(roi_size)} voxels (z, y, x) in the trained folds in"
                    f" {self.model_folder}, and the plans' patch has {list(patch_size)} now: {OTHER_PLANS}."
                )

    def left_right_of(self, now: LeftRight) -> LeftRight:
        """What is known of left and right, with this fold's flips, which are made whatever the images are like now."""
        if self.entry.laterality == now.laterality:
            return now
        names = {organ.label: organ.name for organ in self.entry.organs}
        made = "no left-right flips are made"
        if flip := self.entry.swap_flip:
            swapped = ", ".join(f"{names[left]}/{names[right]}" for left, right in flip.pairs)
            made = f"left-right flips go along axis {flip.axis} and swap {swapped}"
        message = f"As in the trained folds in {self.model_folder}, {made}."
        return replace(now, laterality=self.entry.laterality, message=message)

    def check_network(self, network: nn.Module) -> None:
        """Check that a network was built from plans that this fold's weights fit.

        Raises:
            ValueError: they don't.
        """
        if difference := find_difference(network, self.weights):
            raise ValueError(
                f"{self.model_folder} has folds that were trained with other plans ({difference}): {OTHER_PLANS}."
            )

    def what_is_kept(self, ours: PlansEntry) -> str | None:
        """A line for the log, where plans and labels as they are now would give another entry."""
        names = [field.name for field in fields(ours) if getattr(ours, field.name) != getattr(self.entry, field.name)]
        if not names:
            return None
        different = ", ".join(names).replace("_", " ")
        return (
            f"WARNING: as labels, dataset.json and plans are now, {different} would differ from what"
            f" trained folds in {self.model_folder} have: theirs are kept, so that all folds fit. To start anew, remove"
            " that folder."
        )


def _side(laterality: Laterality) -> str:
    return f"left is at the {'end' if laterality.left_at_end else 'beginning'} of axis {laterality.axis}"


def _entry(planned: dict[str, Any], path: Path) -> PlansEntry:
    try:
        return PlansEntry.of(planned)
    except ValueError:
        raise ValueError(
            f"{path} is of another version of this package: go on with that one, or, to start anew, remove"
            f" {path.parents[1]}."
        ) from None


def checkpoints_in(fold_folder: Path) -> list[Path]:
    """A fold's checkpoints, in the order in which nnU-Net takes them."""
    return [path for name in RESUME_ORDER if (path := fold_folder / name).is_file()]
