import pytest
import torch
from torch import nn

from nnunetv2_focusnet.architectures.blocks import (
    ConvNormNonlin,
    SEResBlock,
    SqueezeExcitation,
    constant,
    conv_feature_map_size,
    initialize,
)


@pytest.mark.parametrize(
    ("kernel_size", "stride", "dilation", "size_out"),
    [
        ((3, 3, 3), (1, 1, 1), (1, 1, 1), (6, 8, 10)),
        ((1, 3, 5), (1, 1, 1), (1, 1, 1), (6, 8, 10)),
        ((3, 3, 3), (1, 1, 1), (2, 3, 4), (6, 8, 10)),
        ((3, 3, 3), (2, 2, 2), (1, 1, 1), (3, 4, 5)),
        ((1, 3, 3), (1, 2, 2), (1, 1, 1), (6, 4, 5)),
    ],
)
def test_convolution_keeps_the_size_but_for_the_stride(kernel_size, stride, dilation, size_out):
    block = ConvNormNonlin(2, 5, kernel_size, stride, dilation)
    assert block(torch.randn(2, 2, 6, 8, 10)).shape == (2, 5, *size_out)


@pytest.mark.parametrize("channels", [1, 2, 7])
def test_gate_is_constant_over_all_three_axes(channels):
    torch.manual_seed(0)
    x = torch.rand(3, channels, 4, 5, 6) + 0.5  # nowhere 0, so that the gate is output / input
    squeeze = SqueezeExcitation(channels)
    with torch.no_grad():
        squeeze.gate[1].weight.abs_()  # no hidden value is negative and cut off
        squeeze.gate[1].bias.zero_()
    gate = squeeze(x) / x
    torch.testing.assert_close(gate, gate[..., :1, :1, :1].expand_as(gate))
    assert (gate > 0).all()
    assert (gate < 1).all()


def test_gate_differs_between_channels_and_samples():
    torch.manual_seed(0)
    x = torch.rand(3, 8, 4, 5, 6) * torch.tensor([1.0, 3.0, 9.0])[:, None, None, None, None] + 0.5
    gate = SqueezeExcitation(8)(x)[..., 0, 0, 0] / x[..., 0, 0, 0]
    for values in (*gate, *gate.T):
        assert values.unique().numel() == values.numel()
        assert values.max() - values.min() > 1e-3


def test_gate_of_known_weights():
    squeeze = SqueezeExcitation(2)
    hidden, out = squeeze.gate[1], squeeze.gate[3]
    with torch.no_grad():
        hidden.weight.copy_(torch.tensor([[1.0, 1.0]]).view(1, 2, 1, 1, 1))
        hidden.bias.zero_()
        out.weight.copy_(torch.tensor([[1.0], [-1.0]]).view(2, 1, 1, 1, 1))
        out.bias.zero_()
    x = torch.zeros(1, 2, 2, 2, 2)
    x[0, 0, 0, 0, 0] = 8.0  # channel means 1 and 2, hidden value 3
    x[0, 1] = 2.0
    gated = squeeze(x)
    sigmoid_of_3 = 0.9525741268
    assert gated[0, 0, 0, 0, 0].item() == pytest.approx(8 * sigmoid_of_3, rel=1e-5)
    assert gated[0, 1, 1, 1, 1].item() == pytest.approx(2 * (1 - sigmoid_of_3), rel=1e-5)


def test_gate_of_a_block_depends_on_the_image_in_spite_of_the_instance_norm():
    torch.manual_seed(0)
    block = SEResBlock(1, 4).apply(initialize)
    gates: list[torch.Tensor] = []
    block.residual[2].gate.register_forward_hook(lambda _module, _args, output: gates.append(output))
    spike = torch.zeros(1, 1, 6, 6, 6)
    spike[..., 3, 3, 3] = 1
    block(spike)
    block(torch.randn(1, 1, 6, 6, 6))
    assert gates[0].shape == (1, 4, 1, 1, 1)
    assert (gates[0] - gates[1]).abs().max() > 1e-2


@pytest.mark.parametrize(
    ("channels_in", "channels_out", "kernel_size", "stride", "size_in", "size_out"),
    [
        (4, 4, (3, 3, 3), (1, 1, 1), (4, 5, 6), (4, 5, 6)),
        (1, 4, (3, 3, 3), (1, 1, 1), (4, 5, 6), (4, 5, 6)),
        (4, 4, (3, 3, 3), (2, 2, 2), (4, 6, 8), (2, 3, 4)),
        (3, 6, (1, 3, 3), (1, 2, 2), (3, 6, 8), (3, 3, 4)),
        (6, 3, (3, 3, 3), (2, 1, 2), (4, 5, 8), (2, 5, 4)),
    ],
)
def test_shapes_of_the_residual_block(channels_in, channels_out, kernel_size, stride, size_in, size_out):
    block = SEResBlock(channels_in, channels_out, kernel_size, stride)
    assert block(torch.randn(2, channels_in, *size_in)).shape == (2, channels_out, *size_out)


def test_skip_is_the_input_itself_where_shapes_agree():
    torch.manual_seed(0)
    block = SEResBlock(3, 3)
    with torch.no_grad():
        for parameter in block.residual[1][1].parameters():
            parameter.zero_()  # the residual branch gives 0
    x = torch.randn(1, 3, 4, 4, 4)
    torch.testing.assert_close(block(x), torch.where(x > 0, x, 0.01 * x))


def test_skip_of_a_strided_block_is_the_mean_of_each_cell():
    block = SEResBlock(1, 1, stride=(1, 2, 2))
    with torch.no_grad():
        for parameter in block.residual[1][1].parameters():
            parameter.zero_()
    x = torch.tensor([[1.0, 3.0, 0.0, 0.0], [5.0, 7.0, 0.0, 2.0]]).expand(1, 1, 2, 2, 4)
    expected = torch.tensor([[4.0, 0.5]]).expand(1, 1, 2, 1, 2)
    torch.testing.assert_close(block(x), expected)


def test_initialisation_has_he_spread_and_zero_bias():
    torch.manual_seed(0)
    conv = nn.Conv3d(16, 64, 3)
    initialize(conv)
    he = (2 / (1 + 0.01**2) / (16 * 27)) ** 0.5
    assert conv.weight.std().item() == pytest.approx(he, rel=0.02)
    assert not conv.bias.any()


def test_feature_map_size_counts_each_convolution_once():
    network = nn.Sequential(nn.Conv3d(2, 3, 1), nn.AvgPool3d(2), nn.Conv3d(3, 5, 1), nn.ConvTranspose3d(5, 7, 2, 2))
    assert conv_feature_map_size(network, 2, (2, 4, 6)) == 3 * 48 + 5 * 6 + 7 * 48


def test_counting_leaves_the_network_as_it_was():
    network = nn.Sequential(nn.Conv3d(2, 3, 1), nn.Dropout()).train()
    conv_feature_map_size(network, 2, (2, 4, 6))
    assert network.training
    assert network[0].weight.device.type == "cpu"
    assert not network[0]._forward_hooks


def test_constants_keep_their_type() -> None:
    # One voxel of 1 mm: 1.0 and 1 are equal, and one of them is an index.
    assert constant([1.0, 1.0], torch.device("cpu")).is_floating_point()
    assert not constant([1, 1], torch.device("cpu")).is_floating_point()
    assert constant(((1, 2), (3, 4)), torch.device("cpu")).tolist() == [[1, 2], [3, 4]]
