"""What the main network says of the small organs: it may see one elsewhere than its heat map has its place."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from nnunetv2_focusnet.architectures.rois import Rois


def voxels_by_main(logits: Tensor, rois: Rois, small: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Voxels that the main network gives each of K small organs, in its ROI and outside of it, (K,) each.

    Args:
        logits: the main network's, (C, Z, Y, X).
        rois: one for each of the organs, in this image.
        small: their channels.
    """
    highest = logits.amax(0)  # many times as fast as argmax
    inside, everywhere = [], []
    for label, corner, size in zip(small, rois.corners[0].tolist(), rois.sizes, strict=True):
        seen = logits[label] == highest
        everywhere.append(seen.sum())
        inside.append(seen[tuple(slice(low, low + n) for low, n in zip(corner, size, strict=True))].sum())
    return torch.stack(inside), torch.stack(everywhere) - torch.stack(inside)
