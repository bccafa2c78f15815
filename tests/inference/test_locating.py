"""Of several peaks of a heat map, the main network chooses; by hand."""

import pytest
import torch

from nnunetv2_focusnet.architectures.rois import Rois
from nnunetv2_focusnet.inference.heat_maps import HeatMaps
from nnunetv2_focusnet.inference.locating import locate
from nnunetv2_focusnet.organs.organ import SmallOrgan

IMAGE, ROI = (4, 8, 16), (2, 4, 4)
LENS = SmallOrgan(
    name="Lens", label=1, volume_voxels=8.0, roi_size=ROI, wanted_roi_size=ROI, sigma=(1,) * 3, diameter_mm=4
)


@pytest.mark.parametrize(
    ("main_network", "x"),
    [
        ({13: 32, 2: 8}, 13),  # voxels that it calls lens around the peaks at x = 13 (0.9 high) and 2 (0.7)
        ({13: 8, 2: 32}, 13),  # drawn too large it is no more there than drawn as large as it is
        ({13: 4, 2: 8}, 2),  # 0.9 * (0.1 + 0.5) is less than 0.7 * (0.1 + 1)
        ({}, 13),
    ],
)
def test_a_peak_counts_as_much_as_is_seen_there_up_to_the_organ_s_volume(main_network: dict[int, int], x: int) -> None:
    heat_maps = HeatMaps(1, IMAGE, (1, 1, 1))
    heat_maps.begin_fold(torch.device("cpu"))
    seen = torch.zeros(1, *IMAGE)
    seen[0, 2, 4, 13], seen[0, 2, 4, 2] = 0.9, 0.7
    heat_maps.add(seen, (0, 0, 0))
    heat_maps.end_fold()
    logits = torch.zeros(2, *IMAGE)
    logits[1] = -50.0
    for centre, voxels in main_network.items():
        in_roi = torch.full((32,), -50.0)
        in_roi[:voxels] = 50.0
        logits[1, 1:3, 2:6, centre - 2 : centre + 2] = in_roi.view(ROI)

    peaks = locate(heat_maps, logits, [LENS], lambda centres: Rois.around(centres[None], [ROI], IMAGE))
    assert peaks.voxels.tolist() == [[2, 4, x]]
