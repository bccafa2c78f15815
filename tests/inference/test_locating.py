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


TWO = {13: 0.9, 2: 0.7}  # heights of peaks by their x
FOUR = {14: 0.9, 10: 0.8, 6: 0.7, 2: 0.6}


@pytest.mark.parametrize(
    ("peaks", "main_network", "x"),
    [
        (TWO, {13: 32, 2: 8}, 13),  # voxels around each peak that it calls lens, of 8 that a lens has
        (TWO, {13: 8, 2: 32}, 13),  # drawn too large it is no more there than drawn as large as it is
        (TWO, {13: 4, 2: 8}, 2),  # 0.9 * (0.1 + 0.5) is less than 0.7 * (0.1 + 1)
        (TWO, {}, 13),
        (TWO, {2: 0.16}, 13),  # 0.9 * 0.1 is more than 0.7 * (0.1 + 0.02): next to nothing is no reason
        (TWO, {2: 0.32}, 2),  # and less than 0.7 * (0.1 + 0.04)
        (FOUR, {6: 8}, 6),
        (FOUR, {2: 8}, 14),  # three are looked at
        ({13: 0.9, 2: 0.46}, {2: 8}, 2),
        ({13: 0.9, 2: 0.44}, {2: 8}, 13),  # less than half as high
    ],
)
def test_a_peak_counts_as_much_as_is_seen_there_up_to_the_organ_s_volume(
    peaks: dict[int, float], main_network: dict[int, float], x: int
) -> None:
    heat_maps = HeatMaps(1, IMAGE, (1, 1, 1))
    heat_maps.begin_fold(torch.device("cpu"))
    seen = torch.zeros(1, *IMAGE)
    for at, height in peaks.items():
        seen[0, 2, 4, at] = height
    heat_maps.add(seen, (0, 0, 0))
    heat_maps.end_fold()
    logits = torch.zeros(2, *IMAGE)
    logits[1] = -50.0
    for centre, voxels in main_network.items():
        probabilities = (voxels - torch.arange(32.0)).clamp(0, 1)  # a fraction makes one voxel less sure
        logits[1, 1:3, 2:6, centre - 2 : centre + 2] = probabilities.logit(1e-6).view(ROI)

    located = locate(heat_maps, logits, [LENS], lambda centres: Rois.around(centres[None], [ROI], IMAGE))
    assert located.voxels.tolist() == [[2, 4, x]]
