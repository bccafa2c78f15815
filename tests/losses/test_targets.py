import math

import pytest
import torch

from nnunetv2_focusnet.architectures.rois import find_centres
from nnunetv2_focusnet.losses.modules import SegmentationLoss
from nnunetv2_focusnet.losses.targets import draw_heat_maps, find_annotated
from nnunetv2_focusnet.trainers.left_right_flip import LeftRightFlipTransform


def boxes(size: tuple[int, int, int], *organs: tuple[int, tuple[slice, slice, slice]]) -> torch.Tensor:
    """Label map (1, Z, Y, X) with one box per (label, extent)."""
    labels = torch.zeros(1, *size, dtype=torch.long)
    for label, (z, y, x) in organs:
        labels[0, z, y, x] = label
    return labels


def test_centres_of_boxes():
    labels = boxes(
        (8, 8, 10),
        (3, (slice(2, 5), slice(0, 2), slice(4, 8))),  # voxels 2 3 4, 0 1, 4 5 6 7
        (7, (slice(6, 7), slice(5, 6), slice(9, 10))),
    )
    centres, visible = find_centres(labels, [7, 3])
    assert centres.tolist() == [[[6.0, 5.0, 9.0], [3.0, 0.5, 5.5]]]
    assert visible.tolist() == [[True, True]]


def test_centre_of_mass_of_an_uneven_organ():
    labels = torch.zeros(1, 1, 1, 8, dtype=torch.long)
    labels[0, 0, 0, [0, 1, 5]] = 2
    assert find_centres(labels, [2])[0].tolist() == [[[0.0, 0.0, 2.0]]]


def test_organ_cut_by_the_border_has_the_centre_of_what_is_visible():
    whole = boxes((8, 8, 8), (1, (slice(1, 5), slice(2, 6), slice(2, 4))))
    assert find_centres(whole, [1])[0].tolist() == [[[2.5, 3.5, 2.5]]]
    cut = whole[:, 3:, :, :3]  # planes 3 and 4 are now 0 and 1; of x only voxel 2 is left
    assert find_centres(cut, [1])[0].tolist() == [[[0.5, 3.5, 2.0]]]


def test_absent_organ_is_invisible_and_has_centre_zero():
    labels = torch.cat([boxes((4, 4, 4), (1, (slice(3, 4),) * 3)), boxes((4, 4, 4), (2, (slice(2, 3),) * 3))])
    centres, visible = find_centres(labels, [1, 2])
    assert visible.tolist() == [[True, False], [False, True]]
    assert centres.tolist() == [[[3.0] * 3, [0.0] * 3], [[0.0] * 3, [2.0] * 3]]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int64, torch.float32])
def test_labels_of_any_type(dtype):
    labels = boxes((4, 4, 4), (3, (slice(0, 2), slice(1, 2), slice(2, 4)))).to(dtype)
    centres, visible = find_centres(labels, [3])
    assert centres.tolist() == [[[0.5, 1.0, 2.5]]]
    assert visible.all()


def test_centre_of_a_large_organ_is_exact():
    labels = torch.ones(1, 65, 129, 257, dtype=torch.uint8)  # 2 million voxels
    assert find_centres(labels, [1])[0].tolist() == [[[32.0, 64.0, 128.0]]]


def test_peak_is_1_at_the_centre():
    heat_map = draw_heat_maps(torch.tensor([[[2.0, 3.0, 4.0]]]), torch.tensor([[1.0, 1.0, 1.0]]), (6, 7, 8))
    assert heat_map.shape == (1, 1, 6, 7, 8)
    assert heat_map[0, 0, 2, 3, 4].item() == 1
    assert (heat_map == 1).sum() == 1


def test_value_at_one_sigma_along_each_axis():
    centres, sigmas = torch.tensor([[[4.0, 5.0, 6.0]]]), torch.tensor([[1.0, 2.0, 4.0]])
    heat_map = draw_heat_maps(centres, sigmas, (9, 11, 13))[0, 0]
    for voxel in [(3, 5, 6), (5, 5, 6), (4, 3, 6), (4, 7, 6), (4, 5, 2), (4, 5, 10)]:
        assert heat_map[voxel].item() == pytest.approx(math.exp(-0.5))
    assert heat_map[5, 7, 10].item() == pytest.approx(math.exp(-1.5))
    assert heat_map[4, 5, 8].item() == pytest.approx(math.exp(-0.125))


def test_centre_between_two_voxels():
    heat_map = draw_heat_maps(torch.tensor([[[0.0, 0.0, 1.5]]]), torch.tensor([[1.0, 1.0, 1.0]]), (1, 1, 4))
    expected = [math.exp(-1.125), math.exp(-0.125), math.exp(-0.125), math.exp(-1.125)]
    assert heat_map.flatten().tolist() == pytest.approx(expected)


def test_each_sample_and_organ_has_its_own_map():
    centres = torch.tensor([[[0.0, 0, 0], [1, 1, 1]], [[2, 0, 1], [0, 2, 2]]])
    sigmas = torch.tensor([[1.0, 1, 1], [0.5, 2, 3]])
    heat_maps = draw_heat_maps(centres, sigmas, (3, 3, 3))
    for b in range(2):
        for k in range(2):
            alone = draw_heat_maps(centres[b : b + 1, k : k + 1], sigmas[k : k + 1], (3, 3, 3))
            assert torch.equal(heat_maps[b, k], alone[0, 0])
            assert tuple(int(i) for i in (heat_maps[b, k] == 1).nonzero()[0]) == tuple(centres[b, k].int().tolist())


# ---- which organs a sample has annotated ----

BRAIN, LENS_L, LENS_R = 1, 2, 3
PAIRS = [(LENS_L, LENS_R)]


def lens_patch(*lenses: int) -> torch.Tensor:
    """Label map (1, 2, 4, 6): a brain voxel, and a voxel of each lens at its end of the last axis."""
    ends = {LENS_L: slice(5, 6), LENS_R: slice(0, 1)}
    visible = [(lens, (slice(1, 2), slice(3, 4), ends[lens])) for lens in lenses]
    return boxes((2, 4, 6), (BRAIN, (slice(0, 1), slice(0, 1), slice(2, 3))), *visible)


def flipped(labels: torch.Tensor) -> torch.Tensor:
    return LeftRightFlipTransform(2, PAIRS)._apply_to_segmentation(labels, axes=[2])


def test_what_dataset_json_says_holds_where_nothing_was_flipped():
    annotated = find_annotated([set(), {BRAIN, LENS_R}], 4, [False, False], PAIRS)
    assert annotated.tolist() == [[True] * 4, [True, False, True, False]]


def test_annotated_side_of_a_pair_follows_the_flip():
    annotated = find_annotated([{LENS_R}, {LENS_R}, {BRAIN, LENS_L}], 4, [False, True, True], PAIRS)
    assert annotated.tolist() == [[True, True, True, False], [True, True, False, True], [True, False, True, False]]


def test_a_flip_changes_nothing_where_both_sides_are_annotated_or_neither():
    annotated = find_annotated([{BRAIN}, {LENS_L, LENS_R}], 4, [True, True], PAIRS)
    assert annotated.tolist() == [[True, False, True, True], [True, True, False, False]]


@pytest.mark.parametrize("lens", [LENS_L, LENS_R])
def test_loss_and_gradient_of_a_flipped_sample_are_the_flipped_ones(lens):
    labels = lens_patch(lens)
    unannotated = [{LENS_L, LENS_R} - {lens}]
    logits = torch.randn(1, 4, 2, 4, 6, generator=torch.Generator().manual_seed(0)).requires_grad_()
    swapped = logits.detach()[:, [0, 1, 3, 2]].flip(4).requires_grad_()
    loss = SegmentationLoss([0.5, 1.0, 8.0, 8.0])
    totals = []
    for prediction, target, was_flipped in ((logits, labels, False), (swapped, flipped(labels), True)):
        loss.annotated = find_annotated(unannotated, 4, [was_flipped], PAIRS)
        totals.append(loss(prediction, target[:, None]))
        totals[-1].backward()
    torch.testing.assert_close(totals[0], totals[1])
    torch.testing.assert_close(logits.grad, swapped.grad[:, [0, 1, 3, 2]].flip(4))
