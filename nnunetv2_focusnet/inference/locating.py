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
    an ROI and at least half as high as the first, the one is taken around which the main network sees about as much of
    the organ as there should be: the peak counts as much as the smaller of both volumes is of the larger one.

    Args:
        heat_maps: of all tiles, which stay as they are.
        logits: the main network's, (C, Z, Y, X).
        organs: the K small organs.
        rois_around: ROIs in the image around centres (K, 3).
    """
    left, candidates, scores = heat_maps.copy(), [], []
    for _ in range(CANDIDATES):
        peaks = left.peaks()
        rois = rois_around(peaks.voxels)
        candidates.append(peaks)
        scores.append(peaks.probabilities * (HEAT_MAP_ALONE + _agreement(logits, rois, organs)))
        left.clear(rois, range(len(organs)))
    probabilities = torch.stack([peaks.probabilities for peaks in candidates])
    too_low = probabilities < LOWEST_CANDIDATE * probabilities[0]
    best = torch.stack(scores).masked_fill(too_low, -1.0).argmax(0)
    of_organ = torch.arange(len(organs))
    voxels = torch.stack([peaks.voxels for peaks in candidates])
    return Peaks(probabilities[best, of_organ], voxels[best, of_organ])


def _agreement(logits: Tensor, rois: Rois, organs: Sequence[SmallOrgan]) -> Tensor:
    """How alike are the volume that the main network sees in each organ's ROI and that of training, 0 to 1, (K,)."""
    ratios = []
    for organ, corner, size in zip(organs, rois.corners[0].tolist(), rois.sizes, strict=True):
        box = tuple(slice(low, low + n) for low, n in zip(corner, size, strict=True))
        seen = logits[(slice(None), *box)].float().softmax(0)[organ.label].sum()
        ratios.append(seen / organ.volume_voxels)
    ratio = torch.stack(ratios)
    return torch.minimum(ratio, 1 / ratio)
