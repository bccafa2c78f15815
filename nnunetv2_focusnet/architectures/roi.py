"""ROI pooling as index arithmetic: no loop over samples, no branch on data, one gather for the ROIs of all organs.

The ROIs of K organs lie one behind the other along one axis of N = sum of their voxels. An index is a position in
the flattened volume, z * Y * X + y * X + x. Slices instead of indices would fill a whole volume per ROI in backward.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from nnunetv2_focusnet.architectures.blocks import Triple


def find_peaks(heat_maps: Tensor) -> tuple[Tensor, Tensor]:
    """Highest value of each heat map and its voxel (paper sec. 2: the small organ's centre location).

    Args:
        heat_maps: (B, K, Z, Y, X).

    Returns:
        Values (B, K) and positions (B, K, 3) as integers (z, y, x).
    """
    _, _, _, size_y, size_x = heat_maps.shape
    value, index = heat_maps.flatten(2).max(2)
    position = [index // (size_y * size_x), index // size_x % size_y, index % size_x]
    return value, torch.stack(position, -1)


def stride_of(coarse_size: Triple, volume_size: Triple) -> list[int]:
    """Voxels (z, y, x) of a volume that one voxel of a coarser map of it covers."""
    return [v // c for v, c in zip(volume_size, coarse_size, strict=True)]


def clip_sizes(roi_sizes: Sequence[Triple], volume_size: Triple) -> list[list[int]]:
    """ROI sizes (z, y, x) that fit into a volume of ``volume_size`` voxels."""
    return [[min(r, v) for r, v in zip(size, volume_size, strict=True)] for size in roi_sizes]


def place_rois(centres: Tensor, roi_sizes: Sequence[Triple], volume_size: Triple) -> Tensor:
    """Lowest corners of ROIs around ``centres``, shifted where needed so that each ROI lies inside the volume.

    Args:
        centres: (B, K, 3) integers (z, y, x).
        roi_sizes: K sizes (z, y, x) in voxels, none larger than the volume.
        volume_size: (Z, Y, X).

    Returns:
        Corners (B, K, 3) as integers (z, y, x).
    """
    sizes = torch.tensor(roi_sizes, device=centres.device)
    highest = torch.tensor(volume_size, device=centres.device) - sizes
    return torch.minimum((centres - sizes // 2).clamp(min=0), highest)


def roi_indices(
    corners: Tensor, roi_sizes: Sequence[Triple], volume_size: Triple, stride: Triple = (1, 1, 1)
) -> Tensor:
    """Flat voxel indices (B, N) of the ROIs of all organs.

    Args:
        corners: (B, K, 3) integers (z, y, x).
        roi_sizes: K sizes (z, y, x) in voxels.
        volume_size: (Z, Y, X) of the volume that is indexed.
        stride: of that volume's voxels (z, y, x), in those of corners and sizes.
    """
    _, size_y, size_x = volume_size
    per_organ = []
    for k, roi_size in enumerate(roi_sizes):
        z, y, x = (
            (corners[:, k, axis, None] + torch.arange(size, device=corners.device)) // stride[axis]
            for axis, size in enumerate(roi_size)
        )
        index = (z[:, :, None, None] * size_y + y[:, None, :, None]) * size_x + x[:, None, None, :]
        per_organ.append(index.flatten(1))
    return torch.cat(per_organ, 1)


def organ_offsets(roi_sizes: Sequence[Triple], volume_size: Triple, device: torch.device) -> Tensor:
    """What to add to flat voxel indices (N,) to read organ k's ROI from channel k of a (K, Z, Y, X) volume."""
    voxels = volume_size[0] * volume_size[1] * volume_size[2]
    return torch.cat([torch.full((z * y * x,), k * voxels, device=device) for k, (z, y, x) in enumerate(roi_sizes)])


def gather_voxels(volume: Tensor, indices: Tensor) -> Tensor:
    """Values (B, C, N) of a volume (B, C, Z, Y, X) at flat voxel indices (B, N)."""
    return volume.flatten(2).gather(2, indices[:, None].expand(-1, volume.shape[1], -1))


def gather_own_channel(volume: Tensor, indices: Tensor, offsets: Tensor) -> Tensor:
    """Values (B, 1, N) of a volume (B, K, Z, Y, X), organ k's ROI read from channel k."""
    return volume.flatten(1).gather(1, indices + offsets)[:, None]


def split_rois(values: Tensor, roi_sizes: Sequence[Triple]) -> list[Tensor]:
    """Cut (B, C, N) into K tensors (B, C, z, y, x), one per organ."""
    parts = values.split([z * y * x for z, y, x in roi_sizes], 2)
    return [part.unflatten(2, list(size)) for part, size in zip(parts, roi_sizes, strict=True)]
