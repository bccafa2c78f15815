"""Where each small organ is in an image: by its heat map, and where that has several peaks, by the main network."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from nnunetv2_focusnet.architectures.rois import Rois
from nnunetv2_focusnet.inference.heat_maps import HeatMaps, Peaks
from nnunetv2_focusnet.organs.organ import SmallOrgan

CANDIDATES = 3
LOWEST_CANDIDATE = 0.5  # of the highest peak
HEAT_MAP_ALONE = 0.1  # what a peak counts for where the main network sees nothing of the organ


def locate(
    heat_maps: HeatMaps, logits: Tensor, organs: Sequence[SmallOrgan], rois_around: Callable[[Tensor], Rois]
) -> Peaks:
    """The place of each of K organs.

    In an image of many tiles one that doesn't hold the organ may have a high peak, too. Of the highest three, apart by
    an ROI and at least half as high as the first, the one is taken around which the main network sees the organ: the
    peak counts as much as it sees of the organ's volume in training, more than all of it as much as all. (Where it
    draws an organ too large, its volume would be likelier in a corner of it than where the organ is.)

    Args:
        heat_maps: of all tiles, without slopes; they stay as they are.
        logits: the main network's, (C, Z, Y, X).
        organs: the K small organs.
        rois_around: ROIs in the image around centres (K, 3).
    """
    left, candidates, scores = heat_maps.copy(), [], []
    for _ in range(CANDIDATES):
        peaks = left.peaks()
        rois = rois_around(peaks.voxels)
        candidates.append(peaks)
        scores.append(peaks.probabilities * (HEAT_MAP_ALONE + _share_seen(logits, rois, organs)))
        left.clear(rois, range(len(organs)))
    probabilities = torch.stack([peaks.probabilities for peaks in candidates])
    too_low = probabilities < LOWEST_CANDIDATE * probabilities[0]
    best = torch.stack(scores).masked_fill(too_low, -1.0).argmax(0)
    of_organ = torch.arange(len(organs))
    voxels = torch.stack([peaks.voxels for peaks in candidates])
    return Peaks(probabilities[best, of_organ], voxels[best, of_organ])


def _share_seen(logits: Tensor, rois: Rois, organs: Sequence[SmallOrgan]) -> Tensor:
    """How much of each organ's volume in training the main network sees in its ROI, 0 to 1, (K,)."""
    shares = []
    for organ, box in zip(organs, rois.boxes(), strict=True):
        seen = logits[(slice(None), *box)].float().softmax(0)[organ.label].sum()
        shares.append(seen / organ.volume_voxels)
    return torch.stack(shares).clamp(max=1)
