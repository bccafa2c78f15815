"""ROIs as index arithmetic: no loop over samples, no branch on data, one gather for the ROIs of all organs.

The voxels of the ROIs of K organs are concatenated along one axis of N = sum of their voxels. An index is a position in
the flattened volume, z * Y * X + y * X + x. Slices instead of indices would fill a whole volume per ROI in backward.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from nnunetv2_focusnet.architectures.blocks import Triple, constant


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


def find_centres(labels: Tensor, organs: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Centre of mass of each organ's visible voxels.

    Args:
        labels: label map (B, Z, Y, X).
        organs: K label values.

    Returns:
        Centres (B, K, 3) as (z, y, x) in voxels, zero for organs that aren't visible, and their visibility (B, K) bool.
    """
    wanted = constant(organs, labels.device)
    masks = (labels[:, None] == wanted[:, None, None, None]).to(torch.uint8)
    in_rows = masks.sum(4, dtype=torch.int32)  # sums of booleans, and of 64 bits, take several times as long
    profiles = [in_rows.sum(3), in_rows.sum(2), masks.sum((2, 3), dtype=torch.int32)]
    counts = profiles[0].sum(2)
    moments = [(profile * torch.arange(profile.shape[2], device=labels.device)).sum(2) for profile in profiles]
    return torch.stack([moment / counts.clamp(min=1) for moment in moments], -1), counts > 0


def stride_of(coarse_size: Triple, volume_size: Triple) -> list[int]:
    """Voxels (z, y, x) of a volume that one voxel of a coarser map of it covers."""
    return [v // c for v, c in zip(volume_size, coarse_size, strict=True)]


def peak_positions(voxels: Tensor, stride: Triple) -> Tensor:
    """Where heat maps have their peaks, given the voxels that ROIs are placed around.

    An ROI of even length has its middle between two voxels, and so has a heat map's voxel of even length.

    Args:
        voxels: (..., 3) integers, (z, y, x), as :meth:`Rois.around` takes them.
        stride: voxels (z, y, x) per voxel of a heat map.

    Returns:
        Centres of the heat maps' voxels, in the same voxels.
    """
    return voxels - constant([0.5 * (1 - step % 2) for step in stride], voxels.device)


class Rois(NamedTuple):
    """One ROI for each sample and small organ, and where its voxels lie in a volume.

    A tuple, so that it passes through ``torch.compile`` and DDP as part of a network's output.
    """

    corners: Tensor
    """(B, K, 3), lowest corner (z, y, x) of each ROI in voxels."""
    sizes: Sequence[Triple]
    """K sizes (z, y, x) in voxels."""
    indices: Tensor
    """(B, N), position of each voxel of the ROIs in the flattened volume."""
    volume_size: Triple
    """(Z, Y, X) of the volume that is indexed."""

    @classmethod
    def around(
        cls, centres: Tensor, sizes: Sequence[Triple], volume_size: Triple, multiple_of: Triple = (1, 1, 1)
    ) -> "Rois":
        """ROIs around centres, cut down to the volume and shifted so that each lies inside of it.

        Args:
            centres: (B, K, 3) integers (z, y, x) in voxels.
            sizes: K sizes (z, y, x) in voxels.
            volume_size: (Z, Y, X).
            multiple_of: of which the corners are multiples (z, y, x), where sizes and volume are, too.
        """
        fitting = [[min(size, v) for size, v in zip(roi, volume_size, strict=True)] for roi in sizes]
        extent = constant(fitting, centres.device)
        highest = constant(volume_size, centres.device) - extent
        corners = torch.minimum((centres - extent // 2).clamp(min=0), highest)
        step = constant(multiple_of, centres.device)
        return cls.at(corners // step * step, fitting, volume_size)

    @classmethod
    def at(cls, corners: Tensor, sizes: Sequence[Triple], volume_size: Triple) -> "Rois":
        """ROIs with these corners (B, K, 3) and K sizes, which lie inside the volume; all (z, y, x) in voxels."""
        return cls(corners, sizes, _flat_indices(corners, sizes, volume_size), volume_size)

    @property
    def voxels(self) -> list[int]:
        """Number of voxels of each organ's ROI."""
        return [math.prod(size) for size in self.sizes]

    def boxes(self) -> list[tuple[slice, ...]]:
        """The first sample's ROIs as slices along (z, y, x), for one image that isn't trained on."""
        corners = self.corners[0].tolist()
        return [
            tuple(slice(low, low + n) for low, n in zip(corner, size, strict=True))
            for corner, size in zip(corners, self.sizes, strict=True)
        ]

    def on_coarser(self, volume_size: Triple) -> "Rois":
        """The same ROIs, indexing a coarser map of the volume: each voxel is looked up in the one it lies in.

        Args:
            volume_size: (Z, Y, X) of the coarser map.
        """
        stride = stride_of(volume_size, self.volume_size)
        return self._replace(
            indices=_flat_indices(self.corners, self.sizes, volume_size, stride), volume_size=volume_size
        )

    def coarsened(self, stride: Triple) -> "Rois":
        """ROIs in a coarser map's own voxels that cover these.

        Args:
            stride: voxels (z, y, x) that one of the map covers; corners, sizes and volume are multiples of it.
        """
        volume_size, *sizes = (
            [n // s for n, s in zip(size, stride, strict=True)] for size in (self.volume_size, *self.sizes)
        )
        return Rois.at(self.corners // constant(stride, self.corners.device), sizes, volume_size)

    def gather(self, volume: Tensor) -> Tensor:
        """Values (B, C, N) of a volume (B, C, Z, Y, X)."""
        return volume.flatten(2).gather(2, self.indices[:, None].expand(-1, volume.shape[1], -1))

    def gather_own(self, volume: Tensor, channels: Sequence[int]) -> Tensor:
        """Values (B, 1, N) of a volume (B, C, Z, Y, X), the ROI of each of the K organs from a channel of its own."""
        return volume.flatten(1).gather(1, self._indices_in_channels(channels))[:, None]

    def paste_(self, values: Tensor, volume: Tensor, channels: Sequence[int]) -> Tensor:
        """Put values (B, N) into a contiguous volume (B, C, Z, Y, X), each organ's in its ROI, in its own channel."""
        volume.view(len(volume), -1).scatter_(1, self._indices_in_channels(channels), values)
        return volume

    def spread(self, of_organs: Tensor) -> Tensor:
        """For each voxel of the ROIs what (B, K) says of its organ, (B, N)."""
        voxels = constant(self.voxels, of_organs.device)
        return of_organs.repeat_interleave(voxels, 1, output_size=sum(self.voxels))

    def split(self, values: Tensor) -> list[Tensor]:
        """Cut (B, C, N) into K tensors (B, C, z, y, x), one per organ."""
        parts = values.split(self.voxels, 2)
        return [part.unflatten(2, list(size)) for part, size in zip(parts, self.sizes, strict=True)]

    def _indices_in_channels(self, channels: Sequence[int]) -> Tensor:
        """(B, N), positions in a flattened (C, Z, Y, X) volume, organ k's in the k-th of these K channels."""
        starts = constant([channel * math.prod(self.volume_size) for channel in channels], self.indices.device)
        return self.indices + self.spread(starts[None])


def _flat_indices(corners: Tensor, sizes: Sequence[Triple], volume_size: Triple, stride: Triple = (1, 1, 1)) -> Tensor:
    """(B, N); ``stride`` is that of the indexed volume's voxels (z, y, x), in those of corners and sizes."""
    _, size_y, size_x = volume_size
    terms = []  # of the indices, by axis and organ
    for axis, weight in enumerate((size_y * size_x, size_x, 1)):
        lengths = [size[axis] for size in sizes]
        # All organs at once: each by itself would be a dozen kernels, for whose launches a GPU waits.
        organs = constant([k for k, n in enumerate(lengths) for _ in range(n)], corners.device)
        offsets = constant([i for n in lengths for i in range(n)], corners.device)
        positions = (corners[:, :, axis].index_select(1, organs) + offsets) // stride[axis] * weight
        terms.append(positions.split(lengths, 1))
    per_organ = [
        (z[:, :, None, None] + y[:, None, :, None] + x[:, None, None, :]).flatten(1)
        for z, y, x in zip(*terms, strict=True)
    ]
    return torch.cat(per_organ, 1)
