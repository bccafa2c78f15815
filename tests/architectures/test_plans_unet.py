import pytest
import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet, ResidualEncoderUNet
from torch import nn

from nnunetv2_focusnet.architectures.plans_unet import PlansUNet

SIZE = (8, 16, 16)
FEATURES = (4, 6, 8)
COMMON = {
    "input_channels": 2,
    "n_stages": 3,
    "features_per_stage": FEATURES,
    "conv_op": nn.Conv3d,
    "kernel_sizes": [[1, 3, 3], [3, 3, 3], [3, 3, 3]],
    "strides": [[1, 1, 1], [1, 2, 2], [2, 2, 2]],
    "num_classes": 5,
    "conv_bias": True,
    "norm_op": nn.InstanceNorm3d,
    "norm_op_kwargs": {"affine": True},
    "nonlin": nn.LeakyReLU,
    "nonlin_kwargs": {"inplace": True},
}


def make_unet(architecture: type[nn.Module], deep_supervision: bool = False) -> nn.Module:
    torch.manual_seed(0)
    convolutions = {"n_conv_per_stage": 2} if architecture is PlainConvUNet else {"n_blocks_per_stage": 2}
    unet = architecture(**COMMON, **convolutions, n_conv_per_stage_decoder=1, deep_supervision=deep_supervision)
    unet.apply(unet.initialize)
    return unet


@pytest.fixture(params=[PlainConvUNet, ResidualEncoderUNet])
def architecture(request: pytest.FixtureRequest) -> type[nn.Module]:
    return request.param


@torch.no_grad()
def test_answers_as_the_network_itself(architecture):
    unet = make_unet(architecture)
    x = torch.randn(2, 2, *SIZE)
    main = PlansUNet(unet, 2)
    assert torch.equal(main.classify(main.features(x).decoder), unet(x))


@torch.no_grad()
def test_deep_supervision_is_that_of_the_network(architecture):
    unet = make_unet(architecture, deep_supervision=True)
    x = torch.randn(1, 2, *SIZE)
    main = PlansUNet(unet, 2)
    for ours, theirs in zip(main.classify(main.features(x).decoder), unet(x), strict=True):
        assert torch.equal(ours, theirs)
    main.decoder.deep_supervision = False  # as nnU-Net does for inference
    assert torch.equal(main.classify(main.features(x).decoder), unet(x))


def test_features_are_those_of_the_first_encoder_and_of_all_decoder_stages(architecture):
    main = PlansUNet(make_unet(architecture), 2)
    features = main.features(torch.randn(1, 2, *SIZE))
    assert main.features_per_stage == FEATURES[:2]
    assert features.encoder.shape == (1, 4, *SIZE)
    assert [tuple(f.shape) for f in features.decoder] == [(1, 4, *SIZE), (1, 6, 8, 8, 8)]
