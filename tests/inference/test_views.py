"""Mirrored views, and what is read from them."""

import pytest
import torch

from nnunetv2_focusnet.inference.views import Channels, View, all_views, two_views
from nnunetv2_focusnet.organs.plans_entry import Laterality

FLIP = Laterality(axis=2, left_at_end=True, pairs=((2, 3), (5, 4)))
# Two image channels, a cascade's five labels, background and these five labels; small are 5, 3 and 2.
CHANNELS = Channels(images=2, previous=(1, 2, 3, 4, 5), classes=6, small_organs=(5, 3, 2))


def view_along(*axes: int) -> View:
    return next(view for view in all_views((0, 1), FLIP, CHANNELS) if view.axes == axes)


def test_all_combinations_come_once_and_the_image_itself_first() -> None:
    axes = [view.axes for view in all_views((0, 1), FLIP, CHANNELS)]
    assert axes == [(), (0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)]
    assert [view.axes for view in all_views((1,), None, CHANNELS)] == [(), (1,)]
    assert [view.axes for view in all_views((), None, CHANNELS)] == [()]


@pytest.mark.parametrize(
    ("mirror_axes", "flip", "expected"),
    [((0, 1), FLIP, [(), (2,)]), ((0, 1), None, [(), (1,)]), ((), FLIP, [(), (2,)]), ((), None, [()])],
)
def test_two_views_are_the_image_and_if_possible_its_left_right_flip(mirror_axes, flip, expected) -> None:
    assert [view.axes for view in two_views(all_views(mirror_axes, flip, CHANNELS), flip)] == expected


def test_the_image_itself_is_not_copied() -> None:
    image = torch.randn(1, 7, 2, 3, 4)
    view = view_along()
    assert view.show(image) is image
    assert view.read_logits(image[:, :6]).data_ptr() == image.data_ptr()


def test_mirroring_alone_swaps_nothing() -> None:
    image, logits = torch.randn(1, 7, 2, 3, 4), torch.randn(1, 6, 2, 3, 4)
    view = view_along(0, 1)
    assert torch.equal(view.show(image), image.flip(2, 3))
    assert torch.equal(view.read_logits(logits), logits.flip(2, 3))
    assert view.organs == [0, 1, 2]


def test_a_left_right_flip_swaps_labels_in_input_and_output() -> None:
    view = view_along(2)
    image = torch.arange(7.0).view(1, 7, 1, 1, 1).expand(1, 7, 1, 1, 2)
    # The images' channels stay; of the previous stage's labels 1 to 5, which are channels 2 to 6, 2/3 and 4/5 swap.
    assert view.show(image)[0, :, 0, 0, 0].tolist() == [0, 1, 2, 4, 3, 6, 5]
    logits = torch.arange(6.0).view(1, 6, 1, 1, 1).expand(1, 6, 1, 1, 2)
    assert view.read_logits(logits)[0, :, 0, 0, 0].tolist() == [0, 1, 3, 2, 5, 4]
    marked = torch.zeros(1, 6, 1, 1, 3)
    marked[0, 2, 0, 0, 0] = 1  # the view's label 2 at one end
    assert view.read_logits(marked).nonzero().tolist() == [[0, 3, 0, 0, 2]]  # is the image's label 3 at the other


def test_heat_maps_of_a_side_whose_partner_is_large_are_empty_in_the_flipped_view() -> None:
    view = view_along(2)
    assert view.organs == [None, 2, 1]  # 5's partner 4 isn't small; 3 and 2 change places
    heat_maps = torch.rand(1, 3, 2, 2, 4) + 0.1
    read = view.read_heat_maps(heat_maps)
    assert not read[0, 0].any()
    assert torch.equal(read[0, 1:], heat_maps[0, [2, 1]].flip(3))


@pytest.mark.parametrize("axes", [(), (2,), (0, 1, 2)])
def test_boxes_hold_the_same_voxels_in_the_view(axes: tuple[int, ...]) -> None:
    size, view = (6, 7, 8), view_along(*axes)
    image = torch.arange(6 * 7 * 8.0).view(1, 1, *size)
    corners, sizes = torch.tensor([[1, 0, 3], [2, 3, 0]]), [(2, 3, 4), (4, 4, 1)]
    for (z, y, x), (vz, vy, vx), (dz, dy, dx) in zip(
        corners.tolist(), view.corners(corners, sizes, size).tolist(), sizes, strict=True
    ):
        seen = view.mirror(image)[..., vz : vz + dz, vy : vy + dy, vx : vx + dx]
        assert torch.equal(view.mirror(seen), image[..., z : z + dz, y : y + dy, x : x + dx])
