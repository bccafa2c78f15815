import pytest
import torch
from torch import nn

from nnunetv2_focusnet.architectures.sol import SOLNet
from nnunetv2_focusnet.architectures.sos import SOSNet


@pytest.mark.parametrize("kernel_size", [(3, 3, 3), (1, 3, 3)])
def test_sol_gives_one_map_per_organ_in_full_size(kernel_size):
    assert SOLNet(4, 3, kernel_size)(torch.randn(2, 4, 4, 5, 6)).shape == (2, 3, 4, 5, 6)


def test_sol_starts_with_low_probabilities():
    torch.manual_seed(0)
    probability = SOLNet(8, 3)(torch.randn(1, 8, 8, 8, 8)).sigmoid()
    assert probability.median().item() == pytest.approx(0.00669, rel=0.2)  # sigmoid(-5)
    assert probability.max().item() < 0.05


def test_sol_of_one_block_has_its_two_convolutions():
    # (4 * 4 * 27 + 4) per convolution, 2 * 4 per norm, gate 4 * 2 + 2 and 2 * 4 + 4, head 4 * 3 + 3
    parameters = sum(p.numel() for p in SOLNet(4, 3, num_blocks=1).parameters())
    assert parameters == 2 * 436 + 2 * 8 + 10 + 12 + 15


@pytest.mark.parametrize("size", [(2, 2, 2), (4, 6, 8), (1, 2, 2), (3, 5, 7)])
def test_sos_takes_rois_of_any_size(size):
    assert SOSNet(10, 4)(torch.randn(2, 10, *size)).shape == (2, 1, *size)


def test_sos_that_squeezes_is_narrow_after_its_first_convolution():
    network = SOSNet(10, 4, num_blocks=1, squeeze=True)
    assert network(torch.randn(2, 10, 4, 6, 8)).shape == (2, 1, 4, 6, 8)
    widths = [m.in_channels for m in network.modules() if isinstance(m, nn.Conv3d) and max(m.kernel_size) > 1]
    assert widths == [4, 4]


def test_sos_keeps_samples_apart():
    torch.manual_seed(0)
    network = SOSNet(3, 4)
    a, b = torch.randn(2, 1, 3, 4, 4, 4)
    torch.testing.assert_close(network(torch.cat([a, b])), torch.cat([network(a), network(b)]))


@pytest.mark.parametrize("num_blocks", [1, 2, 3])
def test_sos_of_any_number_of_blocks_reads_all_channels_in_the_first(num_blocks):
    convolutions = [m for m in SOSNet(10, 4, num_blocks=num_blocks).modules() if isinstance(m, nn.Conv3d)]
    assert [m.in_channels for m in convolutions if max(m.kernel_size) > 1] == [10, *[4] * (2 * num_blocks - 1)]
