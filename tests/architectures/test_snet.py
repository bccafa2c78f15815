import itertools
from copy import deepcopy

import pytest
import torch
from torch import nn

from nnunetv2_focusnet.architectures.blocks import SqueezeExcitation
from nnunetv2_focusnet.architectures.config import SNetConfig
from nnunetv2_focusnet.architectures.snet import SNet

DILATIONS = ((1, 1, 1), (2, 2, 2))


def tiny_snet(**kwargs) -> SNet:
    torch.manual_seed(0)
    return SNet(1, 3, SNetConfig(features_per_stage=(4, 6), dilations=DILATIONS, **kwargs))


def impulse(size: tuple[int, int, int], voxel: tuple[int, int, int]) -> torch.Tensor:
    image = torch.zeros(1, 1, *size)
    image[0, 0, voxel[0], voxel[1], voxel[2]] = 1
    return image


def strided(network: nn.Module, kind: type[nn.Module] | tuple[type[nn.Module], ...]) -> list[nn.Module]:
    return [m for m in network.modules() if isinstance(m, kind) and max(tuple(m.stride)) > 1]


@pytest.mark.parametrize("stride", [(2, 2, 2), (1, 2, 2)])
def test_shapes_of_features_and_logits(stride):
    network = tiny_snet(stride=stride)
    bottom: list[torch.Size] = []
    network.bottom.register_forward_hook(lambda _module, _args, output: bottom.append(output.shape))
    x = torch.randn(2, 1, 4, 6, 8)
    features = network.features(x)
    assert features.encoder.shape == (2, 4, 4, 6, 8)
    assert features.decoder[0].shape == (2, 4, 4, 6, 8)
    assert bottom == [(2, 6, 4 // stride[0], 3, 4)]
    assert network.classify(features.decoder).shape == (2, 3, 4, 6, 8)
    assert torch.equal(network(x), network.classify(features.decoder))


def test_takes_several_image_channels():
    network = SNet(3, 2, SNetConfig(features_per_stage=(4, 4), dilations=DILATIONS, n_blocks=1))
    assert network(torch.randn(1, 3, 4, 4, 4)).shape == (1, 2, 4, 4, 4)


def test_downsamples_and_upsamples_once():
    network = tiny_snet(n_blocks=3)
    assert [conv.stride for conv in strided(network, nn.Conv3d)] == [(2, 2, 2)]
    assert [pool.stride for pool in strided(network, nn.AvgPool3d)] == [(2, 2, 2)]  # the skip around that convolution
    assert [conv.stride for conv in strided(network, nn.ConvTranspose3d)] == [(2, 2, 2)]
    assert not strided(network, (nn.MaxPool3d, nn.LPPool3d))


def test_impulse_gets_different_responses_within_one_cell_of_the_downsampling():
    network = tiny_snet().eval()
    size = (8, 8, 8)
    with torch.no_grad():
        change = (network(impulse(size, (4, 4, 4))) - network(torch.zeros(1, 1, *size))).abs().sum((0, 1))
    cell = change[4:6, 4:6, 4:6].flatten()
    gaps = [abs(a - b).item() for a, b in itertools.combinations(cell, 2)]
    assert min(gaps) > 1e-3 * cell.max().item()


@pytest.mark.parametrize("shift", [(0, 0, 1), (0, 1, 0), (1, 0, 0)])
def test_impulse_that_moves_one_voxel_moves_the_response_one_voxel(shift):
    network = tiny_snet().eval()
    size, voxel = (20, 20, 20), (9, 9, 9)  # four convolutions reach 4 voxels far, and so does the padding
    near = (slice(None), slice(None), *(slice(v - 4, v + 5) for v in voxel))
    near_moved = (slice(None), slice(None), *(slice(v - 4 + s, v + 5 + s) for v, s in zip(voxel, shift, strict=True)))
    with torch.no_grad():
        network.decoder.upsample.weight.zero_()  # leaves the path that is never downsampled
        response = network(impulse(size, voxel))[near]
        moved = network(impulse(size, tuple(v + s for v, s in zip(voxel, shift, strict=True))))[near_moved]
    torch.testing.assert_close(moved, response, rtol=1e-4, atol=1e-4)
    assert response.std() > 0.1


def test_receptive_field_has_the_reach_of_all_layers():
    # Along x only, with normalisation and gates, which see everything, left out.
    kernel = (1, 1, 3)
    torch.manual_seed(0)
    config = SNetConfig(
        features_per_stage=(3, 4),
        kernel_sizes=(kernel, kernel),
        stride=(1, 1, 2),
        dilations=tuple((1, 1, rate) for rate in (3, 6, 12, 18)),
        n_blocks=3,
    )
    network = SNet(1, 2, config).double()
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.InstanceNorm3d | SqueezeExcitation):
                setattr(module, name, nn.Identity())
            elif isinstance(child, nn.LeakyReLU):
                setattr(module, name, nn.Identity())  # its slope of 0.01 would drown the rim of the field
    image = torch.randn(1, 1, 1, 1, 256, dtype=torch.float64, requires_grad=True)
    network(image)[..., 128].sum().backward()
    (seen,) = image.grad.flatten().nonzero(as_tuple=True)
    # Voxel 128 needs 126..130 before the decoder's two convolutions, so cells 63..65; DenseASPP adds 3 + 6 + 12 + 18
    # cells and five convolutions 5; the strided one reads voxels 2c - 1..2c + 1, the encoder's two convolutions add 2.
    reach = 39 + 5
    assert seen.min().item() == 2 * (63 - reach) - 1 - 2
    assert seen.max().item() == 2 * (65 + reach) + 1 + 2
    assert seen.numel() == seen.max() - seen.min() + 1


def test_feature_map_size_by_hand():
    full, low = 8 * 8 * 8, 4 * 4 * 4
    encoder = 2 * 4 * full + (2 + 4) + 4 * full  # two convolutions, the gate's two, the skip's
    down = 2 * 6 * low + (3 + 6) + 6 * low
    second = 2 * 6 * low + (3 + 6)  # a skip without convolution
    aspp = 2 * (6 + 3) * low + 6 * low
    decoder = 4 * full + 2 * 4 * full + (2 + 4) + 4 * full
    logits = 3 * full
    expected = encoder + down + second + aspp + decoder + logits
    assert tiny_snet(n_blocks=2).compute_conv_feature_map_size((8, 8, 8)) == expected


def test_feature_map_size_is_that_of_a_real_forward():
    network = tiny_snet(stride=(1, 2, 2), kernel_sizes=((1, 3, 3), (3, 3, 3)))
    real = deepcopy(network)
    sizes: list[int] = []
    for module in real.modules():
        if isinstance(module, nn.Conv3d | nn.ConvTranspose3d):
            module.register_forward_hook(lambda _module, _args, output: sizes.append(output.numel()))
    real(torch.randn(1, 1, 4, 8, 6))
    assert network.compute_conv_feature_map_size((4, 8, 6)) == sum(sizes)
