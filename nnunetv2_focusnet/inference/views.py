"""The views of an image that a prediction is averaged over: mirrored, left and right with swapped labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor

from nnunetv2_focusnet.architectures.blocks import Triple
from nnunetv2_focusnet.laterality import swap_table
from nnunetv2_focusnet.organs.plans_entry import Laterality


@dataclass(frozen=True)
class Channels:
    """What the channels of a network's input and outputs are.

    Attributes:
        images: number of image channels.
        previous: labels that the previous stage of a cascade has predicted, each a channel after those of the image.
        classes: number of classes, background included.
        small_organs: class of each of the K small organs.
    """

    images: int
    previous: Sequence[int]
    classes: int
    small_organs: Sequence[int]


@dataclass(frozen=True)
class View:
    """An image mirrored along some axes, and how what a network says of it is read.

    Attributes:
        axes: 0, 1, 2 for z, y, x.
        inputs: which channel of the image each one of the view is.
        classes: which class of the view each one of the image is.
        organs: likewise for small organs; None where the view's isn't small.
    """

    axes: tuple[int, ...]
    inputs: Sequence[int]
    classes: Sequence[int]
    organs: Sequence[int | None]

    @property
    def says_of_organs(self) -> list[bool]:
        """Of which of the image's small organs it has a heat map."""
        return [organ is not None for organ in self.organs]

    def show(self, image: Tensor) -> Tensor:
        """What the network sees of an image (1, channels, Z, Y, X)."""
        return _take(self.mirror(image), self.inputs)

    def read_logits(self, logits: Tensor) -> Tensor:
        """The image's logits (1, C, Z, Y, X), given those of the view."""
        return _take(self.mirror(logits), self.classes)

    def read_heat_maps(self, heat_maps: Tensor) -> Tensor:
        """The image's heat maps (1, K, Z, Y, X), given those of the view; 0 for organs that it says nothing of."""
        of_view = [0 if organ is None else organ for organ in self.organs]
        known = torch.tensor(self.says_of_organs, device=heat_maps.device)
        return torch.where(known[:, None, None, None], _take(self.mirror(heat_maps), of_view), 0)

    def mirror(self, volume: Tensor) -> Tensor:
        """A volume (1, channels, Z, Y, X) mirrored, which is undone by mirroring it again."""
        return volume.flip([2 + axis for axis in self.axes]) if self.axes else volume

    def corners(self, corners: Tensor, sizes: Sequence[Triple] | Tensor, patch_size: Triple) -> Tensor:
        """Lowest corners (K, 3) in the view of boxes, given their lowest corners (K, 3) in the image and K sizes."""
        mirrored = torch.tensor(patch_size) - torch.as_tensor(sizes) - corners
        return torch.where(torch.tensor([axis in self.axes for axis in range(3)]), mirrored, corners)


def all_views(mirror_axes: Sequence[int], swap_flip: Laterality | None, channels: Channels) -> list[View]:
    """The image itself, then all combinations of the flips.

    Args:
        mirror_axes: to mirror along without swapping labels.
        swap_flip: to flip with swapped labels.
        channels: of the network.
    """
    axes = sorted({*mirror_axes, *([swap_flip.axis] if swap_flip else [])})
    return [
        _view(chosen, swap_flip.pairs if swap_flip and swap_flip.axis in chosen else (), channels)
        for number in range(len(axes) + 1)
        for chosen in combinations(axes, number)
    ]


def two_views(views: Sequence[View], swap_flip: Laterality | None) -> list[View]:
    """The image itself and one flip of it, if there is any: left-right where that is allowed.

    Args:
        views: as :func:`all_views` returns them.
        swap_flip: as it was given.
    """
    axis = swap_flip.axis if swap_flip else max((axis for view in views for axis in view.axes), default=None)
    return [view for view in views if view.axes in ((), (axis,))]


def _view(axes: tuple[int, ...], pairs: Sequence[tuple[int, int]], channels: Channels) -> View:
    table = swap_table(pairs, channels.classes)
    previous, small = list(channels.previous), list(channels.small_organs)
    return View(
        axes,
        [*range(channels.images), *(channels.images + previous.index(table[label]) for label in previous)],
        table,
        [small.index(table[label]) if table[label] in small else None for label in small],
    )


def _take(x: Tensor, channels: Sequence[int]) -> Tensor:
    return x if list(channels) == list(range(x.shape[1])) else x[:, list(channels)]
