"""Heat maps of a whole image: the maximum over tiles, the mean over folds."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

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
        self._shape = (organs, *(size // step for size, step in zip(image_size, stride, strict=True)))
        self._sum: Tensor | None = None

    def begin_fold(self, device: torch.device) -> None:
        """Forget what was added since the last fold ended."""
        self._highest = torch.zeros(self._shape, device=device)

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
        """A network has seen all tiles."""
        highest = self._highest.cpu()
        self._sum = highest if self._sum is None else self._sum.add_(highest)
        self.folds += 1
        del self._highest

    def mean(self) -> Tensor:
        """(K, z, y, x), probabilities."""
        assert self._sum is not None
        return self._sum / self.folds

    def peaks(self) -> Peaks:
        """Where the organs are."""
        assert self._sum is not None
        values, positions = find_peaks(self._sum[None])
        stride = torch.tensor(self.stride)
        return Peaks(values[0] / self.folds, positions[0] * stride + stride // 2)

    def copy(self) -> HeatMaps:
        """The same, which may be cleared by itself."""
        assert self._sum is not None
        copied = copy(self)
        copied._sum = self._sum.clone()
        return copied

    def empty_slopes(self) -> None:
        """Leave local maxima alone: a slope that reaches out of an organ's ROI is no place of its own."""
        assert self._sum is not None
        self._sum.masked_fill_(functional.max_pool3d(self._sum, 3, 1, 1) > self._sum, 0)

    def clear(self, rois: Rois, partners: Sequence[int]) -> None:
        """Leave what may be the organs' places as well: peaks outside their ROIs, once slopes are empty.

        The ROI of the organ on the other side is emptied, too, as heat maps of left and right organs often have a peak
        in it.

        Args:
            rois: one per organ, in the image.
            partners: of each organ, the one that was found on the other side; itself if there is none.
        """
        assert self._sum is not None
        boxes = [
            tuple(
                slice(low // step, -(-(low + n) // step))
                for low, n, step in zip(corner, size, self.stride, strict=True)
            )
            for corner, size in zip(rois.corners[0].tolist(), rois.sizes, strict=True)
        ]
        for k, partner in enumerate(partners):
            self._sum[k][boxes[k]] = self._sum[k][boxes[partner]] = 0
