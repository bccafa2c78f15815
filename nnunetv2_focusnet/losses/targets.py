"""Heat maps of the small organs, and what is annotated, from the augmented label patch and on its device.

Augmentation and targets can't disagree that way. An organ cut by the patch border has the centre of what is visible.
"""

from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from nnunetv2_focusnet.laterality import swap_table


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


def count_classes(labels: Tensor, num_classes: int) -> Tensor:
    """How many voxels each class has in each sample, (B, num_classes).

    Args:
        labels: (B, ...), integers; -1 is none.
        num_classes: background included.
    """
    return torch.stack([(sample.flatten() + 1).bincount(minlength=num_classes + 1)[1:] for sample in labels])


def find_annotated(
    unannotated: Sequence[Collection[int]],
    num_classes: int,
    flipped: Sequence[bool],
    pairs: Sequence[tuple[int, int]],
) -> Tensor:
    """Which classes each sample of a batch has annotated.

    Args:
        unannotated: of each sample's case, the labels that aren't annotated.
        num_classes: background included.
        flipped: whether the sample was flipped, and so the labels of pairs swapped: those that aren't annotated, too.
        pairs: (left label, right label) that a flip swaps.

    Returns:
        (B, num_classes) bool, true for the background.
    """
    annotated = torch.ones(len(unannotated), num_classes, dtype=torch.bool)
    swapped = swap_table(pairs, num_classes)
    for sample, missing, was_flipped in zip(annotated, unannotated, flipped, strict=True):
        sample[[swapped[label] if was_flipped else label for label in missing]] = False
    return annotated
