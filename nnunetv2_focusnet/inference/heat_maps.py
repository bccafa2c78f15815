"""Heat maps of a whole image: the maximum over tiles and views, the mean over folds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from nnunetv2_focusnet.architectures.blocks import Triple
from nnunetv2_focusnet.architectures.rois import Rois, find_peaks


class Peaks(NamedTuple):
    """The highest voxel of each of K heat maps."""

    probabilities: Tensor
    """(K,)"""
    voxels: Tensor
    """(K, 3), (z, y, x) in the image."""


class HeatMaps:
    """The heat maps of an image's small organs, gathered tile by tile.

    Of two tiles one may see just a part of an organ, or take its neighbour for it: the maximum is what the one says
    that is surer. Folds see the same, so they have to agree.

    Args:
        organs: their number K.
        image_size: (Z, Y, X) in voxels, multiples of ``stride``.
        stride: voxels (z, y, x) per voxel of a heat map.
    """

    def __init__(self, organs: int, image_size: Sequence[int], stride: Triple) -> None:
        self.stride = stride
        self.folds = 0
        self._size = [size // step for size, step in zip(image_size, stride, strict=True)]
        self._sum = torch.zeros(organs, *self._size)

    def begin_fold(self, device: torch.device) -> None:
        """Forget what was added since the last fold ended."""
        self._highest = torch.zeros(self._sum.shape, device=device)

    def add(self, heat_maps: Tensor, corner: Sequence[int]) -> None:
        """Add those of a tile.

        Args:
            heat_maps: (K, z, y, x), probabilities.
            corner: of the tile, (z, y, x) in voxels of the image, multiples of the stride.
        """
        lowest = [at // step for at, step in zip(corner, self.stride, strict=True)]
        box = tuple(slice(low, low + size) for low, size in zip(lowest, heat_maps.shape[1:], strict=True))
        part = self._highest[(slice(None), *box)]
        torch.maximum(part, heat_maps.to(part), out=part)

    def end_fold(self) -> None:
        """A network has seen all tiles in all views."""
        self._sum += self._highest.cpu()
        self.folds += 1
        del self._highest

    def peaks(self) -> Peaks:
        """Where the organs are."""
        return self._peaks_of(self._sum)

    def second_peaks(self, rois: Rois) -> Peaks:
        """Where else they may be: the highest voxels outside ROIs, one per organ, in the image."""
        outside = self._sum.clone()
        for k, (corner, size) in enumerate(zip(rois.corners[0].tolist(), rois.sizes, strict=True)):
            box = tuple(
                slice(low // step, -(-(low + n) // step))
                for low, n, step in zip(corner, size, self.stride, strict=True)
            )
            outside[(k, *box)] = 0
        return self._peaks_of(outside)

    def _peaks_of(self, total: Tensor) -> Peaks:
        values, positions = find_peaks(total[None])
        stride = torch.tensor(self.stride)
        return Peaks(values[0] / self.folds, positions[0] * stride + stride // 2)
