import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from nnunetv2_focusnet.architectures.rois import Rois, find_peaks

VOLUME = [6, 8, 10]
SIZES = [[2, 4, 6], [6, 8, 10], [1, 3, 5], [4, 4, 4]]  # the second is the whole volume


def random_rois(batch: int, seed: int) -> Rois:
    rng = np.random.default_rng(seed)
    centres = [[rng.integers(0, VOLUME).tolist() for _ in SIZES] for _ in range(batch)]
    return Rois.around(torch.tensor(centres), SIZES, VOLUME)


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
    rois = random_rois(batch=3, seed=seed)
    volume = torch.randn(3, 5, *VOLUME)
    parts = rois.split(rois.gather(volume))
    for part, expected in zip(parts, slice_all(volume, rois.corners), strict=True):
        assert torch.equal(part, expected)


@pytest.mark.parametrize("seed", range(4))
def test_own_channel_is_read_for_each_organ(seed):
    rois = random_rois(batch=2, seed=seed)
    volume = torch.randn(2, len(SIZES), *VOLUME)
    parts = rois.split(rois.gather_own(volume, range(len(SIZES))))
    for k, (part, expected) in enumerate(zip(parts, slice_all(volume, rois.corners), strict=True)):
        assert torch.equal(part, expected[:, k : k + 1])


def test_gradient_of_gathered_rois_is_that_of_slices():
    rois = random_rois(batch=2, seed=7)
    volume = torch.randn(2, 3, *VOLUME, requires_grad=True)
    parts = rois.split(rois.gather(volume))
    weights = [torch.randn_like(part) for part in parts]
    torch.stack([(w * part).sum() for w, part in zip(weights, parts, strict=True)]).sum().backward()
    copy = volume.detach().clone().requires_grad_()
    expected = slice_all(copy, rois.corners)
    torch.stack([(w * part).sum() for w, part in zip(weights, expected, strict=True)]).sum().backward()
    torch.testing.assert_close(volume.grad, copy.grad)


@pytest.mark.parametrize("seed", range(4))
def test_pasted_rois_lie_where_slices_do_and_nowhere_else(seed):
    rois = random_rois(batch=2, seed=seed)
    logits = torch.randn(2, sum(rois.voxels))
    channels = range(2, 2 + len(SIZES))
    before = torch.randn(2, 2 + len(SIZES), *VOLUME)
    pasted = rois.paste_(logits, before.clone(), channels)
    expected = before.clone()
    for k, part in enumerate(rois.split(logits[:, None])):
        for b in range(2):
            sliced(expected[b, channels[k]], rois.corners[b, k], SIZES[k]).copy_(part[b, 0])
    assert torch.equal(pasted, expected)


def test_gradient_of_pasted_rois_reaches_each_voxel_once():
    rois = random_rois(batch=2, seed=3)
    logits = torch.randn(2, sum(rois.voxels), requires_grad=True)
    rois.paste_(logits, torch.zeros(2, len(SIZES), *VOLUME), range(len(SIZES))).sum().backward()
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
    assert Rois.around(torch.tensor([[centre]]), [size], VOLUME).corners.tolist() == [[list(corner)]]


def test_every_centre_gives_a_roi_that_lies_inside_and_holds_it():
    centres = torch.cartesian_prod(*(torch.arange(v) for v in VOLUME))[:, None].expand(-1, len(SIZES), -1)
    corners = Rois.around(centres, SIZES, VOLUME).corners
    ends = corners + torch.tensor(SIZES)
    assert (corners >= 0).all()
    assert (ends <= torch.tensor(VOLUME)).all()
    assert (corners <= centres).all()
    assert (centres < ends).all()


def test_sizes_are_clipped_to_the_volume_axis_by_axis():
    centres = torch.zeros(1, 2, 3, dtype=torch.long)
    assert Rois.around(centres, [(2, 20, 10), (7, 8, 9)], VOLUME).sizes == [[2, 8, 10], [6, 8, 9]]


def test_coarser_map_is_read_where_the_voxels_lie():
    rois = Rois.around(torch.tensor([[[2, 3, 5]]]), [(4, 4, 4)], VOLUME)  # corner (0, 1, 3)
    coarse = torch.arange(3 * 4 * 5).view(1, 1, 3, 4, 5)  # each of its voxels covers 2 x 2 x 2
    (part,) = rois.on_coarser((3, 4, 5)).split(rois.on_coarser((3, 4, 5)).gather(coarse))
    fine = coarse.repeat_interleave(2, 2).repeat_interleave(2, 3).repeat_interleave(2, 4)
    assert torch.equal(part, fine[:, :, 0:4, 1:5, 3:7])


def test_peaks_as_numpy_finds_them():
    heat_maps = torch.rand(3, 4, *VOLUME)
    values, positions = find_peaks(heat_maps)
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
    values, positions = find_peaks(heat_maps)
    assert [tuple(position) for position in positions[0].tolist()] == corners
    assert values.tolist() == [[0.25] * 8]


class Kernels(TorchDispatchMode):
    """Counts operations that compute something."""

    number = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.number += not function.is_view
        return function(*args, **(kwargs or {}))


def test_an_organ_more_is_indexed_in_few_kernels():
    # On a GPU each costs as much as a small convolution: ten organs in kernels of their own were a third of a patch's.
    def kernels(organs: int) -> int:
        with Kernels() as counted:
            Rois.around(torch.zeros(1, organs, 3, dtype=torch.long), [[2, 4, 6]] * organs, VOLUME)
        return counted.number

    kernels(9)  # constants are made and kept the first time
    kernels(3)
    assert kernels(9) - kernels(3) <= 3 * 6
