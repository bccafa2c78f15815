"""Centres and heat maps of the small organs, and what is annotated, from the augmented label patch and on its device.

Augmentation and targets can't disagree that way. An organ cut by the patch border has the centre of what is visible.
"""

from collections.abc import Collection, Sequence

import torch
from torch import Tensor


def find_centres(labels: Tensor, organs: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Centre of mass of each organ's visible voxels.

    Args:
        labels: label map (B, Z, Y, X).
        organs: K label values.

    Returns:
        Centres (B, K, 3) as (z, y, x) in voxels, zero for organs that aren't visible, and their visibility (B, K) bool.
    """
    wanted = torch.tensor(organs, dtype=labels.dtype, device=labels.device)
    masks = labels[:, None] == wanted[:, None, None, None]
    counts = masks.sum((2, 3, 4))
    centres = []
    for axis in (2, 3, 4):
        profile = masks.sum([other for other in (2, 3, 4) if other != axis])
        positions = torch.arange(labels.shape[axis - 1], device=labels.device)
        centres.append((profile * positions).sum(2) / counts.clamp(min=1))
    return torch.stack(centres, -1), counts > 0


def draw_heat_maps(centres: Tensor, sigmas: Tensor, volume_size: Sequence[int]) -> Tensor:
    """3D Gaussians with a peak of 1 (paper sec. 2, SOL-Net).

    Args:
        centres: (B, K, 3) as (z, y, x) in voxels.
        sigmas: (K, 3) as (z, y, x) in voxels.
        volume_size: (Z, Y, X).

    Returns:
        Heat maps (B, K, Z, Y, X).
    """
    profiles = []
    for axis, size in enumerate(volume_size):
        positions = torch.arange(size, device=centres.device)
        distance = (positions - centres[..., axis, None]) / sigmas[:, axis, None]
        profiles.append(torch.exp(-0.5 * distance.square()))
    z, y, x = profiles
    return z[..., :, None, None] * y[..., None, :, None] * x[..., None, None, :]


def find_annotated(
    labels: Tensor, unannotated: Sequence[Collection[int]], num_classes: int, pairs: Sequence[tuple[int, int]]
) -> Tensor:
    """Which classes each sample of a batch has annotated, where samples may have been flipped with swapped labels.

    A flip also swaps which side of a pair is annotated, but happens in nnU-Net's workers, which tell nothing but images
    and labels. Where a case has just one side annotated, the patch itself tells: the side that is visible is the one.
    Where neither is, both count as not annotated, so no label is lost, only some background.

    Args:
        labels: label map (B, Z, Y, X).
        unannotated: of each sample's case, the labels that aren't annotated.
        num_classes: background included.
        pairs: (left label, right label) that a flip may have swapped.

    Returns:
        (B, num_classes) bool, true for the background.
    """
    annotated = torch.ones(len(labels), num_classes, dtype=torch.bool)
    for sample, missing in zip(annotated, unannotated, strict=True):
        sample[list(missing)] = False
    for pair in pairs:
        (one_sided,) = (annotated[:, pair[0]] != annotated[:, pair[1]]).nonzero(as_tuple=True)
        for side in pair:
            annotated[one_sided, side] = (labels[one_sided] == side).flatten(1).any(1).cpu()
    return annotated.to(labels.device)
