import pytest
import torch

from nnunetv2_focusnet.architectures.dense_aspp import DILATIONS, DenseASPP, dilations_in_mm


@pytest.mark.parametrize("channels", [1, 4, 5])
@pytest.mark.parametrize("dilations", [[(1, 1, 1)], [(1, 2, 2), (2, 4, 4), (1, 1, 3)]])
def test_output_has_the_shape_of_the_input(channels, dilations):
    x = torch.randn(2, channels, 4, 6, 8)
    assert DenseASPP(channels, dilations)(x).shape == x.shape


def test_each_layer_sees_the_input_and_all_layers_before():
    aspp = DenseASPP(6, [(1, 1, 1), (2, 2, 2), (3, 3, 3)])
    assert [layer[0][0].in_channels for layer in aspp.layers] == [6, 9, 12]
    assert [layer[1][0].dilation for layer in aspp.layers] == [(1, 1, 1), (2, 2, 2), (3, 3, 3)]
    assert aspp.fuse[0].in_channels == 15


def test_rates_of_isotropic_voxels_are_the_same_along_all_axes():
    assert dilations_in_mm((1.0, 1.0, 1.0), (64, 64, 64)) == [(rate, rate, rate) for rate in DILATIONS]


def test_unit_of_the_spacing_does_not_matter():
    assert dilations_in_mm((2.0, 2.0, 2.0), (64, 64, 64)) == [(rate, rate, rate) for rate in DILATIONS]


def test_thick_slices_get_smaller_rates():
    # across slices 3, 6, 12, 18 mm are 1.2, 2.4, 4.8, 7.2 slices of 2.5 mm
    assert dilations_in_mm((2.5, 1.0, 1.0), (64, 64, 64)) == [(1, 3, 3), (2, 6, 6), (5, 12, 12), (7, 18, 18)]


def test_rate_is_never_below_1():
    assert dilations_in_mm((10.0, 1.0, 1.0), (64, 64, 64), rates=(3,)) == [(1, 3, 3)]
    assert dilations_in_mm((1.0, 1.0, 1.0), (1, 64, 64), rates=(3,)) == [(1, 3, 3)]


def test_rates_reach_at_most_half_of_the_input():
    assert dilations_in_mm((1.0, 1.0, 1.0), (8, 20, 64)) == [(3, 3, 3), (4, 6, 6), (4, 10, 12), (4, 10, 18)]
