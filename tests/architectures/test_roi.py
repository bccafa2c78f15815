import numpy as np
import pytest
import torch

from nnunetv2_focusnet.architectures import fusion, roi

VOLUME = [6, 8, 10]
SIZES = [[2, 4, 6], [6, 8, 10], [1, 3, 5], [4, 4, 4]]  # the second is the whole volume
CPU = torch.device("cpu")


def random_corners(batch: int, seed: int) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    low = [[[rng.integers(0, v - s + 1) for v, s in zip(VOLUME, size, strict=True)] for size in SIZES]]
    for _ in range(batch - 1):
        low.append([[rng.integers(0, v - s + 1) for v, s in zip(VOLUME, size, strict=True)] for size in SIZES])
    return torch.tensor(np.array(low))


def sliced(volume: torch.Tensor, corner: torch.Tensor, size: list[int]) -> torch.Tensor:
    (z, y, x), (dz, dy, dx) = corner.tolist(), size
    return volume[..., z : z + dz, y : y + dy, x : x + dx]


def slice_all(volume: torch.Tensor, corners: torch.Tensor) -> list[torch.Tensor]:
    """Per organ (B, C, z, y, x) from a volume (B, C, Z, Y, X)."""
    return [
        torch.stack([sliced(v, c[k], size) for v, c in zip(volume, corners, strict=True)])
        for k, size in enumerate(SIZES)
    ]


@pytest.mark.parametrize("seed", range(4))
def test_gathered_rois_are_slices(seed):
    corners = random_corners(batch=3, seed=seed)
    volume = torch.randn(3, 5, *VOLUME)
    indices = roi.roi_indices(corners, SIZES, VOLUME)
    parts = roi.split_rois(roi.gather_voxels(volume, indices), SIZES)
    for part, expected in zip(parts, slice_all(volume, corners), strict=True):
        assert torch.equal(part, expected)


@pytest.mark.parametrize("seed", range(4))
def test_own_channel_is_read_for_each_organ(seed):
    corners = random_corners(batch=2, seed=seed)
    volume = torch.randn(2, len(SIZES), *VOLUME)
    indices = roi.roi_indices(corners, SIZES, VOLUME)
    offsets = roi.organ_offsets(SIZES, VOLUME, CPU)
    parts = roi.split_rois(roi.gather_own_channel(volume, indices, offsets), SIZES)
    for k, (part, expected) in enumerate(zip(parts, slice_all(volume, corners), strict=True)):
        assert torch.equal(part, expected[:, k : k + 1])


def test_gradient_of_gathered_rois_is_that_of_slices():
    corners = random_corners(batch=2, seed=7)
    volume = torch.randn(2, 3, *VOLUME, requires_grad=True)
    parts = roi.split_rois(roi.gather_voxels(volume, roi.roi_indices(corners, SIZES, VOLUME)), SIZES)
    weights = [torch.randn_like(part) for part in parts]
    torch.stack([(w * part).sum() for w, part in zip(weights, parts, strict=True)]).sum().backward()
    copy = volume.detach().clone().requires_grad_()
    expected = slice_all(copy, corners)
    torch.stack([(w * part).sum() for w, part in zip(weights, expected, strict=True)]).sum().backward()
    torch.testing.assert_close(volume.grad, copy.grad)


@pytest.mark.parametrize("seed", range(4))
def test_pasted_rois_lie_where_slices_do_and_nowhere_else(seed):
    corners = random_corners(batch=2, seed=seed)
    indices = roi.roi_indices(corners, SIZES, VOLUME)
    offsets = roi.organ_offsets(SIZES, VOLUME, CPU)
    logits = torch.randn(2, indices.shape[1])
    pasted = fusion.paste_rois(logits, indices, offsets, [len(SIZES), *VOLUME])
    expected = torch.full((2, len(SIZES), *VOLUME), -10.0)
    for k, part in enumerate(roi.split_rois(logits[:, None], SIZES)):
        for b in range(2):
            sliced(expected[b, k], corners[b, k], SIZES[k]).copy_(part[b, 0])
    assert torch.equal(pasted, expected)


def test_gradient_of_pasted_rois_reaches_each_voxel_once():
    corners = random_corners(batch=2, seed=3)
    indices = roi.roi_indices(corners, SIZES, VOLUME)
    logits = torch.randn(2, indices.shape[1], requires_grad=True)
    volume = [len(SIZES), *VOLUME]
    fusion.paste_rois(logits, indices, roi.organ_offsets(SIZES, VOLUME, CPU), volume).sum().backward()
    assert torch.equal(logits.grad, torch.ones_like(logits))


@pytest.mark.parametrize(
    ("centre", "size", "corner"),
    [
        ((3, 4, 5), (2, 4, 6), (2, 2, 2)),  # fits: centre - size / 2
        ((0, 0, 0), (2, 4, 6), (0, 0, 0)),
        ((5, 7, 9), (2, 4, 6), (4, 4, 4)),
        ((0, 7, 5), (3, 3, 3), (0, 5, 4)),
        ((5, 0, 9), (6, 8, 10), (0, 0, 0)),  # the whole volume
        ((5, 7, 9), (1, 1, 1), (5, 7, 9)),
    ],
)
def test_rois_are_shifted_inside_the_volume(centre, size, corner):
    assert roi.place_rois(torch.tensor([[centre]]), [size], VOLUME).tolist() == [[list(corner)]]


def test_every_centre_gives_a_roi_that_lies_inside_and_holds_it():
    centres = torch.cartesian_prod(*(torch.arange(v) for v in VOLUME))[:, None].expand(-1, len(SIZES), -1)
    corners = roi.place_rois(centres, SIZES, VOLUME)
    ends = corners + torch.tensor(SIZES)
    assert (corners >= 0).all()
    assert (ends <= torch.tensor(VOLUME)).all()
    assert (corners <= centres).all()
    assert (centres < ends).all()


def test_sizes_are_clipped_to_the_volume_axis_by_axis():
    assert roi.clip_sizes([(2, 20, 10), (7, 8, 9)], VOLUME) == [[2, 8, 10], [6, 8, 9]]


def test_peaks_as_numpy_finds_them():
    heat_maps = torch.rand(3, 4, *VOLUME)
    values, positions = roi.find_peaks(heat_maps)
    for b in range(3):
        for k in range(4):
            array = heat_maps[b, k].numpy()
            assert tuple(positions[b, k].tolist()) == np.unravel_index(array.argmax(), array.shape)
            assert values[b, k].item() == array.max()


def test_peak_in_each_corner_of_the_volume():
    corners = [(z, y, x) for z in (0, 5) for y in (0, 7) for x in (0, 9)]
    heat_maps = torch.zeros(1, len(corners), *VOLUME)
    for k, (z, y, x) in enumerate(corners):
        heat_maps[0, k, z, y, x] = 0.25
    values, positions = roi.find_peaks(heat_maps)
    assert [tuple(position) for position in positions[0].tolist()] == corners
    assert values.tolist() == [[0.25] * 8]
