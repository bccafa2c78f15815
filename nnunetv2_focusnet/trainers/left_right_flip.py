"""A flip that keeps the labels of left and right organs true."""

from collections.abc import Sequence
from typing import Any

import torch
from batchgeneratorsv2.transforms.spatial.mirroring import MirrorTransform

from nnunetv2_focusnet.laterality import swap_table

FLIPPED = "flipped"  # entry of a sample, and of a batch, beside nnU-Net's own


class LeftRightFlipTransform(MirrorTransform):  # type: ignore[misc]
    """Flips along the left-right axis and swaps paired labels, with probability 0.5.

    Works on (C, z, y, x) images and segmentations; every channel of a segmentation holds labels. Labels without a
    partner, the ignore label and -1 (outside of the image) stay what they are. The sample then also has ``flipped``.

    Args:
        axis: spatial axis to flip along, 0, 1, 2 for z, y, x.
        pairs: (left label, right label) of the paired organs.
    """

    def __init__(self, axis: int, pairs: Sequence[tuple[int, int]]) -> None:
        super().__init__((axis,))
        self.table = torch.tensor(swap_table(pairs, 1 + max((label for pair in pairs for label in pair), default=0)))

    def apply(self, data_dict: dict[str, Any], **params: Any) -> dict[str, Any]:
        """Flip a sample, or don't, and say so: its case has other organs annotated then."""
        return super().apply(data_dict, **params) | {FLIPPED: bool(params["axes"])}

    def _apply_to_segmentation(self, segmentation: torch.Tensor, **params: Any) -> torch.Tensor:
        labels: torch.Tensor = super()._apply_to_segmentation(segmentation, **params)
        if not params["axes"]:
            return labels
        largest = len(self.table) - 1
        swapped = self.table[labels.clamp(0, largest).long()].to(labels.dtype)
        return torch.where((labels >= 0) & (labels <= largest), swapped, labels)
