"""Heat maps of a whole image: of tiles the surest that has a voxel well inside, of folds the mean."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from nnunetv2_focusnet.architectures.blocks import Triple
from nnunetv2_focusnet.architectures.rois import Rois, find_peaks

_TINY = torch.finfo(torch.float32).tiny  # what a voxel counts that no tile has


class Peaks(NamedTuple):
    """The highest voxel of each of K heat maps."""

    probabilities: Tensor
    """(K,)"""
    voxels: Tensor
    """(K, 3), (z, y, x) in the image."""


class HeatMaps:
    """The heat maps of an image's small organs, gathered tile by tile.

    Of two tiles one may take an organ's neighbour for it: the maximum is what the one says that is surer. A tile that
    cuts an organ has learned to be as sure of the centre of what it sees, so tiles count less towards their borders
    where another one has the voxel further inside. Folds see the same, so they have to agree.

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
        self._innermost = torch.zeros(self._shape[1:], device=device)

    def add(self, heat_maps: Tensor, corner: Sequence[int]) -> None:
        """Add those of a tile.

        Args:
            heat_maps: (K, z, y, x), probabilities.
            corner: of the tile, (z, y, x) in voxels of the image, multiples of the stride.
        """
        lowest = [at // step for at, step in zip(corner, self.stride, strict=True)]
        box = tuple(slice(low, low + size) for low, size in zip(lowest, heat_maps.shape[1:], strict=True))
        inside = _how_far_inside(heat_maps.shape[1:], self._highest.device)
        for gathered, of_tile in (
            (self._highest[(slice(None), *box)], heat_maps.to(self._highest) * inside),
            (self._innermost[box], inside),
        ):
            torch.maximum(gathered, of_tile, out=gathered)

    def end_fold(self) -> None:
        """A network has seen all tiles."""
        highest = self._highest.div_(self._innermost.clamp_(min=_TINY)).cpu()
        self._sum = highest if self._sum is None else self._sum.add_(highest)
        self.folds += 1
        del self._highest, self._innermost

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


def _how_far_inside(size: Sequence[int], device: torch.device) -> Tensor:
    """What voxels of a tile count, (z, y, x): 1 in its inner half along each axis, down to a half at its borders.

    Tiles that overlap by half, as nnU-Net's do, have each voxel within the inner half of one of them, but for the
    image's own border.
    """
    places = ((torch.arange(n, device=device) + 0.5) / n for n in size)
    z, y, x = ((0.5 + 2 * torch.minimum(at, 1 - at)).clamp(max=1) for at in places)
    return z[:, None, None] * y[:, None] * x
