"""Heat maps of whole images."""

import torch

from nnunetv2_focusnet.architectures.rois import Rois
from nnunetv2_focusnet.inference.heat_maps import HeatMaps

CPU, STRIDE = torch.device("cpu"), (1, 2, 2)


def tile(*peaks: tuple[float, tuple[int, int, int]]) -> torch.Tensor:
    """One organ's heat map of 4 x 4 x 4 voxels, empty but for these."""
    heat_map = torch.zeros(1, 4, 4, 4)
    for value, voxel in peaks:
        heat_map[(0, *voxel)] = value
    return heat_map


def test_the_surest_tile_wins() -> None:
    maps = HeatMaps(1, (4, 8, 12), STRIDE)
    maps.begin_fold(CPU)
    maps.add(tile((0.6, (0, 0, 0))), (0, 0, 0))  # takes something for the organ, of which it sees nothing
    maps.add(tile((0.9, (2, 1, 3))), (0, 0, 4))
    maps.end_fold()
    peaks = maps.peaks()
    assert torch.allclose(peaks.probabilities, torch.tensor([0.9]))
    # Voxel (2, 1, 3) of a heat map that begins at (0, 0, 4), two voxels each within slices, its second one: + 1.
    assert peaks.voxels.tolist() == [[2, 3, 4 + 6 + 1]]


def test_a_tile_that_has_a_voxel_at_its_border_counts_less_than_one_that_has_it_inside() -> None:
    maps = HeatMaps(1, (4, 8, 12), STRIDE)
    maps.begin_fold(CPU)
    maps.add(tile((0.8, (1, 1, 2))), (0, 0, 0))  # sees the organ whole
    maps.add(tile((0.95, (1, 1, 0)), (0.7, (1, 1, 3))), (0, 0, 4))  # sees its end alone, and is sure of that
    maps.end_fold()
    # Of 4 voxels the outer two count 0.75: 0.95 x 0.75 against 0.8, and 0.7 where no other tile sees anything.
    assert torch.allclose(maps.mean()[0, 1, 1], torch.tensor([0.0, 0.0, 0.8, 0.0, 0.0, 0.7]))


def test_folds_are_averaged_before_the_peak_is_looked_for() -> None:
    maps = HeatMaps(1, (4, 8, 8), STRIDE)
    for of_fold in (tile((0.9, (0, 0, 0)), (0.6, (3, 3, 3))), tile((0.8, (1, 1, 1)), (0.7, (3, 3, 3)))):
        maps.begin_fold(CPU)
        maps.add(of_fold, (0, 0, 0))
        maps.end_fold()
    # Each fold has its highest peak where the other has none: .45 and .4, against .65 where they agree.
    peaks = maps.peaks()
    assert torch.allclose(peaks.probabilities, torch.tensor([0.65]))
    assert peaks.voxels.tolist() == [[3, 7, 7]]


def test_what_was_added_before_a_new_beginning_is_forgotten() -> None:
    maps = HeatMaps(1, (4, 8, 8), STRIDE)
    maps.begin_fold(CPU)
    maps.add(tile((0.9, (0, 0, 0))), (0, 0, 0))
    maps.begin_fold(CPU)  # on another device, after the first one's memory ran out
    maps.add(tile((0.3, (1, 0, 0))), (0, 0, 0))
    maps.end_fold()
    assert maps.folds == 1
    assert torch.allclose(maps.peaks().probabilities, torch.tensor([0.3]))


def test_a_slope_that_reaches_out_of_the_roi_is_no_second_peak() -> None:
    maps = HeatMaps(1, (4, 8, 8), STRIDE)
    maps.begin_fold(CPU)
    maps.add(tile((0.9, (1, 1, 1)), (0.8, (1, 2, 1)), (0.7, (1, 3, 1)), (0.2, (3, 0, 3))), (0, 0, 0))
    maps.end_fold()
    maps.empty_slopes()
    maps.clear(Rois.at(torch.tensor([[[0, 2, 2]]]), [(2, 4, 4)], (4, 8, 8)), [0])
    second = maps.peaks()
    assert torch.allclose(second.probabilities, torch.tensor([0.2]))
    assert second.voxels.tolist() == [[3, 1, 7]]


def test_second_peaks_are_outside_the_roi() -> None:
    maps = HeatMaps(1, (4, 8, 8), STRIDE)
    maps.begin_fold(CPU)
    maps.add(tile((0.9, (1, 1, 1)), (0.8, (1, 2, 1)), (0.5, (1, 3, 3))), (0, 0, 0))
    maps.end_fold()
    # An ROI of 2 x 3 x 3 voxels from (0, 2, 2) on reaches y = 4, in the third voxel of the heat map.
    assert torch.allclose(maps.peaks().probabilities, torch.tensor([0.9]))
    maps.clear(Rois.at(torch.tensor([[[0, 2, 2]]]), [(2, 3, 3)], (4, 8, 8)), [0])
    second = maps.peaks()
    assert torch.allclose(second.probabilities, torch.tensor([0.5]))
    assert second.voxels.tolist() == [[1, 7, 7]]


def test_where_the_organ_of_the_other_side_is_there_is_no_second_peak() -> None:
    left, right = (1, 1, 1), (1, 1, 3)  # voxels of the heat maps
    maps = HeatMaps(2, (4, 8, 8), STRIDE)
    maps.begin_fold(CPU)
    maps.add(torch.cat([tile((0.9, left), (0.8, right), (0.3, (3, 3, 0))), tile((0.9, right), (0.7, left))]), (0, 0, 0))
    maps.end_fold()
    rois = Rois.at(torch.tensor([[[0, 2, 2], [0, 2, 6]]]), [(2, 2, 2)] * 2, (4, 8, 8))
    maps.clear(rois, partners=[1, 0])
    assert torch.allclose(maps.peaks().probabilities, torch.tensor([0.3, 0.0]))
