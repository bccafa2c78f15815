"""The main network on a coarser grid, and SOS-Nets that work on the image's."""

import pytest
import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet
from torch import nn

from nnunetv2_focusnet.architectures.config import FocusNetConfig, PairsConfig, ZoomConfig
from nnunetv2_focusnet.architectures.fusion import own_log_odds
from nnunetv2_focusnet.architectures.plans_unet import PlansUNet
from nnunetv2_focusnet.architectures.rois import Rois
from nnunetv2_focusnet.architectures.sos import LARGEST_LOG_ODDS
from nnunetv2_focusnet.architectures.zoom import (
    OnCoarserGrid,
    ZoomNet,
    depth_to_space,
    space_to_depth,
)

STRIDE, SIZE, CLASSES = (1, 2, 2), (4, 16, 16), 5
LEFT, RIGHT, CHIASM = 1, 2, 4  # labels; organs 0, 1, 2


def zoom_net(deep_supervision: bool = False, jitter: tuple[int, int, int] = (0, 0, 0)) -> ZoomNet:
    torch.manual_seed(0)
    voxels = 4
    strides, kernels = [[1, 1, 1], [2, 2, 2]], [[3, 3, 3]] * 2
    unet = PlainConvUNet(
        *(voxels, 2, (4, 6), nn.Conv3d, kernels, strides, 1, CLASSES * voxels, 1, True),
        norm_op=nn.InstanceNorm3d,
        norm_op_kwargs={"affine": True},
        nonlin=nn.LeakyReLU,
        deep_supervision=deep_supervision,
    )
    config = FocusNetConfig(
        main=None,
        small_organs=(LEFT, RIGHT, CHIASM),
        roi_sizes=((2, 6, 4), (2, 6, 4), (4, 4, 8)),
        sol_level=0,
        sol_blocks=1,
        gradient_to_main=0.1,
        jitter=jitter,
        zoom=ZoomConfig(stride=STRIDE, features=(3, 4)),
        pairs=PairsConfig(organs=((0, 1),), mirror_axis=2),
    )
    return ZoomNet(OnCoarserGrid(PlansUNet(unet, voxels), 1, STRIDE), config)


def image(batch: int = 2) -> torch.Tensor:
    return torch.randn(batch, 1, *SIZE, generator=torch.Generator().manual_seed(1))


def labels_with_organs_at(*centres: tuple[int, int, int]) -> torch.Tensor:
    labels = torch.zeros(1, 1, *SIZE)
    for label, (z, y, x) in zip((LEFT, RIGHT, CHIASM), centres, strict=False):
        labels[0, 0, z, y, x] = label
    return labels


def found_everywhere(network: ZoomNet) -> ZoomNet:
    with torch.no_grad():
        network.sol.head.bias.fill_(5.0)
    return network


@pytest.mark.parametrize("stride", [(1, 2, 2), (2, 2, 2), (1, 1, 1)])
def test_depth_to_space_undoes_space_to_depth(stride: tuple[int, int, int]) -> None:
    x = torch.randn(2, 3, 4, 6, 8)
    assert torch.equal(depth_to_space(space_to_depth(x, stride), stride), x)


def test_a_coarse_voxel_holds_the_voxels_that_it_covers() -> None:
    # Voxels numbered from 0 in a volume of 1 x 2 x 4: the first of 1 x 1 x 2 covers 0, 1 and 4, 5 below.
    x = torch.arange(8.0).view(1, 1, 1, 2, 4)
    assert space_to_depth(x, (1, 2, 2)).view(4, 2).T.tolist() == [[0, 1, 4, 5], [2, 3, 6, 7]]


def test_logits_have_the_image_s_grid_at_every_level() -> None:
    network = zoom_net(deep_supervision=True)
    logits = network.main(image())
    assert [tuple(level.shape) for level in logits] == [(2, CLASSES, 4, 16, 16)]
    assert network.main.features(image()).decoder[0].shape == (2, 4, 4, 8, 8)


def test_it_begins_with_what_the_main_network_says() -> None:
    network = found_everywhere(zoom_net()).eval()
    with torch.no_grad():
        fused, main = network(image()).softmax(1), network.main(image()).softmax(1)
        parts = network.parts(image())
    inside = parts.rois.paste_(torch.ones_like(parts.roi_logits), torch.zeros(2, 3, *SIZE), range(3)) > 0
    for k, label in enumerate((LEFT, RIGHT, CHIASM)):
        # With s = log(p / (1 - p)) of each organ, fusion leaves its odds against the large classes as they are if
        # it is the only one there; beside others the shares are those of exp(s).
        alone = inside[:, k] & (inside.sum(1) == 1)
        assert alone.any()
        torch.testing.assert_close(fused[:, label][alone], main[:, label][alone], rtol=1e-4, atol=1e-5)


def test_log_odds_by_hand() -> None:
    probabilities = torch.tensor([0.5, 0.3, 0.15, 0.04, 0.01])
    rois = Rois.around(torch.zeros(1, 2, 3, dtype=torch.long), [[1, 1, 1]] * 2, [1, 1, 1])
    log_odds = own_log_odds(probabilities.log().view(1, 5, 1, 1, 1), (1, 4), rois)
    expected = torch.tensor([0.3 / 0.7, 0.01 / 0.99]).log().view(1, 1, 2)
    torch.testing.assert_close(log_odds, expected)


def test_certainty_of_the_main_network_can_be_taken_back() -> None:
    network = zoom_net().eval()
    with torch.no_grad():
        for layer in network.main.decoder.seg_layers:
            layer.bias.fill_(0.0)
            layer.bias[LEFT * 4 : (LEFT + 1) * 4] = 100.0
        logits = network.parts(image()).roi_logits
    first = logits[:, : 2 * 6 * 4]
    torch.testing.assert_close(first, torch.full_like(first, LARGEST_LOG_ODDS))


def test_a_pair_shares_its_network_and_the_right_side_is_mirrored() -> None:
    network = zoom_net()
    assert len(network.sos) == 2
    nn.init.normal_(network.sos[0].head.weight)
    fine, coarse = torch.randn(2, 2, 2, 6, 4), torch.randn(2, 5, 2, 3, 2)
    other = torch.randn(2, 2, 4, 4, 8), torch.randn(2, 5, 4, 2, 4)
    with torch.no_grad():
        inputs = [fine, fine.flip(4), other[0]], [coarse, coarse.flip(4), other[1]]
        answers = network.run_sos_nets(range(3), *inputs)
    left, right = answers[:, : 2 * 48].unflatten(1, (2, 2, 6, 4)).unbind(1)
    torch.testing.assert_close(right, left.flip(3))
    assert not torch.allclose(left, left.flip(3))


def test_rois_cover_whole_voxels_of_the_main_grid_and_the_same_place_on_both() -> None:
    centres = torch.cartesian_prod(*(torch.arange(n) for n in SIZE))[:, None].expand(-1, 3, -1)
    network = zoom_net()
    rois = network.rois_around(centres, SIZE)
    assert (rois.corners % torch.tensor(STRIDE) == 0).all()
    volume = torch.randn(len(centres), 2, *SIZE)
    coarse = space_to_depth(volume, STRIDE)
    for fine, low in zip(rois.split(rois.gather(volume)), _split_coarse(rois, coarse), strict=True):
        assert torch.equal(space_to_depth(fine, STRIDE), low)


def _split_coarse(rois: Rois, coarse: torch.Tensor) -> list[torch.Tensor]:
    on_main = rois.coarsened(STRIDE)
    return on_main.split(on_main.gather(coarse))


def corners_of_two_steps(network: nn.Module, batch: torch.Tensor) -> dict[int, list[int]]:
    """Each organ's ROI in the first sample; of a pair one step has the left one, the next the right one."""
    steps = [network(batch), network(batch)]
    return {k: corner for step in steps for k, corner in zip(step.organs, step.rois.corners[0].tolist(), strict=True)}


def test_in_training_rois_are_around_the_organs_in_the_labels() -> None:
    network = zoom_net().train()
    labels = labels_with_organs_at((1, 8, 4), (2, 8, 12))  # and no chiasm
    corners = corners_of_two_steps(network, torch.cat([image(1), labels], 1))
    # Half an ROI of (2, 6, 4) before the centre, on even positions within slices: 8 - 3 = 5 becomes 4.
    assert (corners[0], corners[1]) == ([0, 4, 2], [1, 4, 10])
    assert corners[2] == corners_of_two_steps(network, image(1))[2]  # where it was found


def test_jitter_moves_rois_no_further_than_it_says() -> None:
    network = zoom_net(jitter=(0, 4, 2)).train()
    labels = labels_with_organs_at((1, 8, 8))
    batch = torch.cat([image(1), labels], 1)
    corners = torch.tensor([corners_of_two_steps(network, batch)[0] for _ in range(40)])
    assert set(corners[:, 0].tolist()) == {0}
    assert len(set(corners[:, 1].tolist())) > 2
    assert 8 - 3 - 4 - 1 <= corners[:, 1].min() < corners[:, 1].max() <= 8 - 3 + 4
    assert 8 - 2 - 2 - 1 <= corners[:, 2].min() < corners[:, 2].max() <= 8 - 2 + 2


def test_every_parameter_gets_a_gradient() -> None:
    network = zoom_net().train()
    nn.init.normal_(network.sos[0].head.weight)
    nn.init.normal_(network.sos[1].head.weight)
    output = network(torch.cat([image(), labels_with_organs_at((1, 8, 4), (2, 8, 12)).repeat(2, 1, 1, 1, 1)], 1))
    loss = output.main_logits.square().mean() + output.heat_logits.square().mean() + output.roi_logits.square().mean()
    loss.backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        if ".gate." not in name:  # two hidden units may both be off
            assert parameter.grad.abs().sum() > 0, name


def test_described_in_json_and_built_again() -> None:
    config = zoom_net().config
    assert FocusNetConfig.from_json(config.as_json()) == config
