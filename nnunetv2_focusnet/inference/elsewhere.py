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
        fused: (K,) bool, organs that are segmented in their ROIs; of the others 0 voxels are counted.
        within: along (Z, Y, X), the image without what it was padded with.
    """
    highest = logits.amax(0)  # many times as fast as argmax
    there = torch.zeros_like(highest, dtype=torch.bool)
    there[tuple(within)] = True
    in_no_roi, boxes = there.clone(), rois.boxes()
    for box in (box for box, is_fused in zip(boxes, fused.tolist(), strict=True) if is_fused):
        in_no_roi[box] = False
    inside, elsewhere = torch.zeros((2, len(boxes)), dtype=torch.long)
    for k in fused.nonzero()[:, 0].tolist():
        seen = logits[small[k]] == highest
        inside[k] = (seen[boxes[k]] & there[boxes[k]]).count_nonzero()
        elsewhere[k] = (seen & in_no_roi).count_nonzero()
    return inside, elsewhere
