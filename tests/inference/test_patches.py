"""Few patches that hold the ROIs of all organs."""

import numpy as np
import pytest

from nnunetv2_focusnet.inference.patches import shared_patches


def patches_of(corners: list, sizes: list, organs: list[int], **options: tuple[int, int, int]) -> list:
    defaults = {"patch_size": (8, 16, 16), "image_size": (40, 64, 64), "multiple_of": (1, 1, 1)}
    return shared_patches(np.array(corners), np.array(sizes), organs, **defaults | options)


def test_neighbours_share_a_patch_centred_between_them() -> None:
    corners, sizes = [(10, 20, 20), (12, 22, 28), (10, 20, 40)], [(4, 4, 4)] * 3
    # The first two span 10 to 16, 20 to 26, 20 to 32: their middles are 13, 23, 26. The third is too far off in x.
    assert patches_of(corners, sizes, [0, 1, 2]) == [((9, 15, 18), [0, 1]), ((8, 14, 34), [2])]
    assert patches_of(corners, sizes, [1]) == [((10, 16, 22), [1])]
    assert patches_of(corners, sizes, []) == []


def test_patches_stay_inside_the_image() -> None:
    assert patches_of([(0, 60, 30)], [(2, 4, 4)], [0]) == [((0, 48, 24), [0])]


def test_an_image_of_one_patch_is_that_patch() -> None:
    corners, sizes = [(0, 0, 0), (4, 12, 12)], [(4, 4, 4)] * 2
    assert patches_of(corners, sizes, [0, 1], image_size=(8, 16, 16)) == [((0, 0, 0), [0, 1])]


@pytest.mark.parametrize("step", [(1, 1, 1), (1, 2, 2), (2, 4, 4)])
def test_rois_lie_in_their_patches_which_lie_on_whole_steps(step: tuple[int, int, int]) -> None:
    generator, patch, image = np.random.default_rng(0), np.array((8, 16, 16)), np.array((40, 64, 64))
    for _ in range(200):
        sizes = generator.integers(1, patch // step + 1, (6, 3)) * step
        corners = generator.integers(0, (image - sizes) // step + 1) * step
        patches = patches_of(corners.tolist(), sizes.tolist(), list(range(6)), multiple_of=step)
        assert sorted(k for _, organs in patches for k in organs) == list(range(6))
        for corner, organs in patches:
            assert (np.array(corner) % step == 0).all()
            assert (np.array(corner) >= 0).all()
            assert (corner + patch <= image).all()
            for k in organs:
                assert (corners[k] >= corner).all()
                assert (corners[k] + sizes[k] <= corner + patch).all()


def test_rois_larger_than_a_patch_are_refused() -> None:
    with pytest.raises(ValueError, match=r"ROIs of up to \[4, 4, 18\] voxels don't fit into patches of \[8, 16, 16\]"):
        patches_of([(0, 0, 0), (4, 12, 12)], [(4, 4, 4), (4, 4, 18)], [0])
