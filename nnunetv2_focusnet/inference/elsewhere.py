"""How much of each small organ the main network sees in the organ's ROI, and elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from nnunetv2_focusnet.architectures.rois import Rois


def voxels_by_main(
    logits: Tensor, rois: Rois, small: Sequence[int], fused: Tensor, within: Sequence[slice]
) -> tuple[Tensor, Tensor]:
    """Voxels that the main network gives each of K small organs, (K,) each: in its ROI, and in none.

    Those in another organ's ROI may well be that one's: of a pair, one network may take one for the other.

    Args:
        logits: the main network's, (C, Z, Y, X).
        rois: one for each of the organs, in this image.
        small: their channels.
        fused: (K,) bool, organs that are segmented in their ROIs.
        within: along (Z, Y, X), the image without what it was padded with.
    """
    highest = logits.amax(0)  # many times as fast as argmax
    boxes = [
        tuple(slice(low, low + n) for low, n in zip(corner, size, strict=True))
        for corner, size in zip(rois.corners[0].tolist(), rois.sizes, strict=True)
    ]
    inside, elsewhere = [], []
    for label, box in zip(small, boxes, strict=True):
        seen = torch.zeros_like(highest, dtype=torch.bool)
        seen[tuple(within)] = (logits[label] == highest)[tuple(within)]
        inside.append(seen[box].count_nonzero())
        for other, is_fused in zip(boxes, fused.tolist(), strict=True):
            if is_fused:
                seen[other] = False
        elsewhere.append(seen.count_nonzero())
    return torch.stack(inside), torch.stack(elsewhere)
