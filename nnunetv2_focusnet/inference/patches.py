"""Patches of an image in which small organs are segmented, as few as hold the ROIs of all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from nnunetv2_focusnet.architectures.blocks import Triple


class Patch(NamedTuple):
    """A patch, and the organs whose ROIs lie in it."""

    corner: tuple[int, ...]
    """Its lowest corner (z, y, x), in voxels of the image."""
    organs: list[int]
    """Indices of its organs."""


def shared_patches(
    corners: np.ndarray,
    sizes: np.ndarray,
    organs: Sequence[int],
    *,
    patch_size: Triple,
    image_size: Triple,
    multiple_of: Triple,
) -> list[Patch]:
    """Put each organ's ROI into the first patch that it fits into beside those that are there; centre all patches.

    All sizes and positions are (z, y, x) in voxels.

    Args:
        corners: (K, 3), of all organs' ROIs.
        sizes: (K, 3), likewise.
        organs: those that need a patch, by their indices.
        patch_size: of all patches.
        image_size: which is no smaller.
        multiple_of: of which the patches' corners are multiples, where the other arguments are.

    Raises:
        ValueError: an ROI is larger than a patch.
    """
    if (sizes > np.array(patch_size)).any():
        raise ValueError(
            f"ROIs of up to {sizes.max(0).tolist()} voxels don't fit into patches of {list(patch_size)}: plans.json has"
            " another patch than in training; put back that of the training, or train again."
        )
    patches: list[tuple[list[int], np.ndarray, np.ndarray]] = []
    for k in organs:
        first, end = corners[k], corners[k] + sizes[k]
        for members, low, high in patches:
            new_low, new_high = np.minimum(low, first), np.maximum(high, end)
            if (new_high - new_low <= patch_size).all():
                members.append(k)
                low[:], high[:] = new_low, new_high
                break
        else:
            patches.append(([k], first.copy(), end.copy()))
    step, last = np.array(multiple_of), np.subtract(image_size, patch_size)
    return [
        Patch(tuple(np.clip((low + high - patch_size) // 2 // step * step, 0, last).tolist()), members)
        for members, low, high in patches
    ]
