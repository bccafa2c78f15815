"""Every network that a trainer here trains, on plans of two kinds: shapes, gradients, learning, compiling."""

from typing import Any

import pytest
import torch
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager
from torch import Tensor, nn

from nnunetv2_focusnet.architectures.blocks import SqueezeExcitation
from nnunetv2_focusnet.losses.modules import SegmentationLoss
from nnunetv2_focusnet.organs.dataset_json import DatasetJson
from nnunetv2_focusnet.organs.organ import Organ
from nnunetv2_focusnet.organs.plans_entry import PlansEntry
from nnunetv2_focusnet.trainers.base import BaseTrainer
from nnunetv2_focusnet.trainers.focusnet_trainer import (
    FocusNetTrainer,
    FocusNetTrainer_ROI2x,
    FocusNetTrainer_ROI5x,
    FocusNetTrainerPaper,
)
from nnunetv2_focusnet.trainers.main_network_trainer import MainNetworkTrainer
from nnunetv2_focusnet.trainers.main_networks import count_parameters
from nnunetv2_focusnet.trainers.networks import build_loss, build_network
from nnunetv2_focusnet.trainers.paper_networks import (
    AnatomyNetTrainer,
    DeepLabV3PlusTrainer,
    FatUNetTrainer,
    SEResUNetTrainer,
    SEResUNetTrainer_1ds,
    SEResUNetTrainer_1ds_CE,
    SEResUNetTrainer_1ds_FL,
    SEResUNetTrainer_2ds_CE,
    SEResUNetTrainer_3ds_CE,
    SEResUNetTrainer_CE,
)
from nnunetv2_focusnet.trainers.plans_network_trainer import FocusNetTrainerPlansNetwork
from nnunetv2_focusnet.trainers.snet_trainer import SNetTrainer
from nnunetv2_focusnet.trainers.zoom_trainer import FocusNetTrainerZoom, FocusNetTrainerZoomSNet

ON_S_NET = [FocusNetTrainer, FocusNetTrainer_ROI2x, FocusNetTrainer_ROI5x, FocusNetTrainerPaper]
ON_PLANS_NETWORK = [FocusNetTrainerPlansNetwork, FocusNetTrainerZoom, FocusNetTrainerZoomSNet]
WITH_CROSS_ENTROPY = [
    *(SEResUNetTrainer_CE, SEResUNetTrainer_1ds_CE, SEResUNetTrainer_2ds_CE, SEResUNetTrainer_3ds_CE),
]
ALONE = [
    *(SNetTrainer, FatUNetTrainer, DeepLabV3PlusTrainer, AnatomyNetTrainer),
    *(SEResUNetTrainer, SEResUNetTrainer_1ds, SEResUNetTrainer_1ds_FL, *WITH_CROSS_ENTROPY),
]
ALL = [*ON_S_NET, *ON_PLANS_NETWORK, *ALONE]
# One of each architecture, and each loss on one of them.
DIFFERENT = [
    *(FocusNetTrainer, *ON_PLANS_NETWORK, SNetTrainer, DeepLabV3PlusTrainer, AnatomyNetTrainer),
    *(SEResUNetTrainer, SEResUNetTrainer_1ds_CE, SEResUNetTrainer_1ds_FL),
]

ISOTROPIC, ANISOTROPIC = (1.0, 1.0, 1.0), (3.0, 1.0, 1.0)
PATCH = {ISOTROPIC: (8, 16, 16), ANISOTROPIC: (10, 24, 32)}  # 10 slices are halved but once
ORGANS = [
    Organ("Brain", 1, 500.0, (9.0, 9.0, 9.0), 5, (500.0, 500.0)),
    Organ("Lens_L", 2, 60.0, (4.0, 4.0, 4.0), 5, (60.0, 60.0)),
]
CLASSES = len(ORGANS) + 1
DATASET = DatasetJson(
    "dataset.json", {"Brain": 1, "Lens_L": 2}, ".nii.gz", small_organs=("Lens_L",), left_right_pairs=()
)


def plans_of(spacing: tuple[float, float, float], features: tuple[int, ...] = (4, 6, 8)) -> ConfigurationManager:
    """As nnU-Net plans at that spacing, but narrow: thick slices are neither convolved nor halved at first."""
    thick = spacing != ISOTROPIC
    stages = len(features)
    architecture = {
        "n_stages": stages,
        "features_per_stage": list(features),
        "conv_op": "torch.nn.modules.conv.Conv3d",
        "kernel_sizes": [[1, 3, 3] if thick else [3, 3, 3], *[[3, 3, 3]] * (stages - 1)],
        "strides": [[1, 1, 1], [1, 2, 2] if thick else [2, 2, 2], *[[2, 2, 2]] * (stages - 2)],
        "n_conv_per_stage": [1] * stages,
        "n_conv_per_stage_decoder": [1] * (stages - 1),
        "conv_bias": True,
        "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
        "norm_op_kwargs": {"eps": 1e-05, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    }
    return ConfigurationManager(
        {
            "spacing": list(spacing),
            "patch_size": list(PATCH[spacing]),
            "median_image_size_in_voxels": [2 * size for size in PATCH[spacing]],
            "batch_size": 2,
            "architecture": {
                "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
                "arch_kwargs": architecture,
                "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
            },
        }
    )


def entry_by(trainer: type[BaseTrainer], plans: ConfigurationManager) -> PlansEntry:
    return trainer.plan_entry(ORGANS, DATASET, plans)


def network_of(trainer: type[BaseTrainer], plans: ConfigurationManager, **kwargs: Any) -> Any:
    torch.manual_seed(0)
    supervised = bool(trainer.default_enable_deep_supervision)
    arguments = {"input_channels": 1, "num_classes": CLASSES, "deep_supervision": supervised} | kwargs
    return build_network(entry_by(trainer, plans).network, plans, **arguments)


def loss_of(trainer: type[BaseTrainer], plans: ConfigurationManager) -> SegmentationLoss:
    return build_loss(entry_by(trainer, plans), None, trainer.loss_factors)


def sample(plans: ConfigurationManager, batch: int = 1) -> tuple[Tensor, Tensor]:
    """An image (B, 1, Z, Y, X) with a large and a small organ, and its label map."""
    labels = torch.zeros(batch, 1, *plans.patch_size)
    labels[:, :, 1:8, 2:11, 3:12] = 1
    labels[:, :, 2:5, 11:15, 11:15] = 2
    return labels + 0.1 * torch.randn(labels.shape, generator=torch.Generator().manual_seed(1)), labels


def targets_for(output: Any, labels: Tensor) -> Any:
    """Labels at the resolution of every output, as nnU-Net samples them."""
    logits = getattr(output, "main_logits", output)
    if not isinstance(logits, list):
        return labels
    steps = [[n // m for n, m in zip(labels.shape[2:], each.shape[2:], strict=True)] for each in logits]
    return [labels[..., ::z, ::y, ::x] for z, y, x in steps]


@pytest.mark.parametrize("spacing", [ISOTROPIC, ANISOTROPIC])
@pytest.mark.parametrize("trainer", ALL)
@torch.no_grad()
def test_a_logit_for_every_class_and_voxel_of_the_patch(
    trainer: type[BaseTrainer], spacing: tuple[float, float, float]
) -> None:
    plans = plans_of(spacing)
    network = network_of(trainer, plans, input_channels=2, deep_supervision=False).eval()
    image = torch.randn(2, 2, *plans.patch_size)
    logits = network(image)
    assert logits.shape == (2, CLASSES, *plans.patch_size)
    assert logits.isfinite().all()
    assert network.compute_conv_feature_map_size(plans.patch_size) > logits[0].numel()


@pytest.mark.parametrize("trainer", ALONE)
@torch.no_grad()
def test_a_main_network_takes_images_of_any_size(trainer: type[MainNetworkTrainer]) -> None:
    network = network_of(trainer, plans_of(ANISOTROPIC)).eval()
    assert network(torch.randn(1, 1, 9, 35, 21)).shape == (1, CLASSES, 9, 35, 21)


@torch.no_grad()
def test_padding_is_that_of_nnunet_and_is_cropped_again() -> None:
    network = network_of(SEResUNetTrainer, plans_of(ISOTROPIC)).eval()
    image = torch.randn(1, 1, 16, 16, 16)
    image[..., 13:] = 0
    assert torch.equal(network(image[..., :13]), network(image)[..., :13])


@torch.no_grad()
def test_zoom_finds_room_for_an_organ_of_less_than_a_voxel() -> None:
    speck = Organ("Lens_L", 2, 0.2, (0.6, 0.6, 0.6), 5, (0.2, 0.2))
    plans = plans_of(ISOTROPIC)
    config = FocusNetTrainerZoom.plan_entry([ORGANS[0], speck], DATASET, plans).network
    network = build_network(config, plans, 1, CLASSES, deep_supervision=False)
    assert network.train()(sample(plans)[0]).roi_logits.isfinite().all()


@pytest.mark.parametrize("trainer", DIFFERENT)
def test_every_parameter_gets_a_gradient(trainer: type[BaseTrainer]) -> None:
    plans = plans_of(ANISOTROPIC)
    network = network_of(trainer, plans).train()
    with torch.no_grad():
        for parameter in network.parameters():  # where the last layer starts at zero, nothing before it learns at first
            parameter.add_(0.05 * torch.randn_like(parameter))
        for module in network.modules():  # of two hidden units both may be below zero
            if isinstance(module, SqueezeExcitation):
                module.gate[1].bias.fill_(1.0)
    image, labels = sample(plans, batch=2)
    output = network(image)
    loss_of(trainer, plans)(output, targets_for(output, labels)).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


@pytest.mark.parametrize("trainer", DIFFERENT)
def test_one_sample_is_learned_by_heart(trainer: type[BaseTrainer]) -> None:
    plans = plans_of(ISOTROPIC)
    network, loss = network_of(trainer, plans), loss_of(trainer, plans)
    image, labels = sample(plans)
    optimizer = torch.optim.AdamW(network.parameters(), 2e-2)
    for _ in range(30):
        for _ in range(10):
            output = network.train()(image)
            optimizer.zero_grad()
            loss(output, targets_for(output, labels)).backward()
            optimizer.step()
        if min(dice := dsc(network, image, labels)) > 0.9:
            return
    pytest.fail(f"DSC {dice}")


@torch.no_grad()
def dsc(network: nn.Module, image: Tensor, labels: Tensor) -> list[float]:
    """Of each organ."""
    logits = network.eval()(image)
    predicted = (logits[0] if isinstance(logits, list) else logits).argmax(1, keepdim=True)
    pairs = ((predicted == organ.label, labels == organ.label) for organ in ORGANS)
    return [(2 * (p & t).sum() / (p.sum() + t.sum())).item() for p, t in pairs]


# tests/architectures/test_focusnet.py compiles FocusNet on S-Net and on the plans' network, for training, too.
@pytest.mark.parametrize(
    "trainer", [SEResUNetTrainer_1ds, DeepLabV3PlusTrainer, AnatomyNetTrainer, FocusNetTrainerZoom]
)
@torch.no_grad()
def test_compiles_without_a_graph_break(trainer: type[BaseTrainer]) -> None:
    plans = plans_of(ISOTROPIC)
    network = network_of(trainer, plans, deep_supervision=False).eval()
    image, _ = sample(plans)
    if trainer in ALONE:  # with padding and cropping in the graph
        image = image[..., 1:]
    torch.compiler.reset()
    compiled = torch.compile(network, backend="eager", fullgraph=True)(image)
    torch.compiler.reset()
    torch.testing.assert_close(compiled, network(image))


# ---- what tells the trainers apart ----


@pytest.mark.parametrize(
    ("trainer", "strides"),
    [
        (SEResUNetTrainer_1ds, [(2, 2, 2)]),
        (SEResUNetTrainer_2ds_CE, [(2, 2, 2), (1, 2, 2)]),  # of 10 slices 5 are left
        (SEResUNetTrainer_3ds_CE, [(2, 2, 2), (1, 2, 2), (1, 2, 2)]),
        (SEResUNetTrainer, [(2, 2, 2), (1, 2, 2), (1, 2, 2), (1, 1, 2)]),  # of 24 rows 3 are left
    ],
)
def test_as_many_downsamplings_as_the_name_says(trainer: type[BaseTrainer], strides: list[Any]) -> None:
    network = network_of(trainer, plans_of(ANISOTROPIC))
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv3d) and max(m.stride) > 1]
    assert [m.stride for m in convolutions] == strides


def test_deeper_than_the_plan_widths_double_as_in_nnunet() -> None:
    config = entry_by(SEResUNetTrainer, plans_of(ISOTROPIC, features=(64, 128, 256))).network.main
    assert config.features_per_stage == (64, 128, 256, 320, 320)


def test_with_one_downsampling_it_is_s_net_without_dense_aspp() -> None:
    plans = plans_of(ANISOTROPIC)
    ours, snet = (network_of(trainer, plans) for trainer in (SEResUNetTrainer_1ds, SNetTrainer))
    dense_aspp = count_parameters(snet.bottom[-1])
    assert count_parameters(ours) == count_parameters(snet) - dense_aspp


@pytest.mark.parametrize(
    ("features", "num_organs", "channels"),
    [
        ((8, 16), 1, 1),
        ((8, 16), 3, 1),
        ((8, 16), 10, 1),
        ((20, 40), 3, 19),  # 18 of a cascade
        ((32, 64, 128), 3, 1),
        ((32, 64, 128), 10, 19),
    ],
)
def test_fat_unet_has_focusnets_number_of_parameters(features: Any, num_organs: int, channels: int) -> None:
    plans = plans_of(ANISOTROPIC, features)
    names = [f"Lens{i}" for i in range(num_organs)]
    organs = [Organ(name, i, 60.0, (4.0, 4.0, 4.0), 5, (60.0, 60.0)) for i, name in enumerate(names, 1)]
    dataset = DatasetJson("dataset.json", {name: i for i, name in enumerate(names, 1)}, ".nii.gz")
    counts, widths = [], []
    for trainer in (FatUNetTrainer, FocusNetTrainer):
        network = trainer.plan_entry(organs, dataset, plans).network
        widths.append(network.main.features_per_stage)
        with torch.device("meta"):
            counts.append(count_parameters(build_network(network, plans, channels, num_organs + 1, False)))
    assert counts[0] == pytest.approx(counts[1], rel=0.02)
    fat, usual = widths
    assert fat[0] / usual[0] == pytest.approx(
        fat[1] / usual[1], rel=2 / min(fat)
    )  # one ratio, but for a channel or two


def test_without_small_organs_fat_unet_is_s_net() -> None:
    plans = plans_of(ISOTROPIC)
    assert FatUNetTrainer.describe_network(plans, []) == SNetTrainer.describe_network(plans, [])


@pytest.mark.parametrize(
    ("trainer", "roi"),
    [(FocusNetTrainer_ROI2x, (4, 8, 8)), (FocusNetTrainer, (4, 12, 12)), (FocusNetTrainer_ROI5x, (8, 20, 20))],
)
def test_rois_are_as_much_longer_than_the_organ_as_the_name_says(trainer: type[BaseTrainer], roi: Any) -> None:
    # The lens has 4 mm along every axis: in slices of 3 mm 8/3, 12/3 and 20/3, rounded up to even.
    assert entry_by(trainer, plans_of(ANISOTROPIC)).network.roi_sizes == (roi,)


def test_a_table_s_roi_wins_over_the_users() -> None:
    dataset = DatasetJson("dataset.json", DATASET.labels, ".nii.gz", small_organs=("Lens_L",), roi_scale=4.0)
    rois = [
        trainer.plan_entry(ORGANS, dataset, plans_of(ISOTROPIC)).network.roi_sizes
        for trainer in (FocusNetTrainer, FocusNetTrainer_ROI2x)
    ]
    assert rois == [((8, 16, 16),), ((8, 8, 8),)]  # the patch has 8 slices


@pytest.mark.parametrize(
    ("trainers", "terms"),
    [
        (WITH_CROSS_ENTROPY, {"cross_entropy": 1.0}),
        ([SEResUNetTrainer_1ds_FL], {"focal": 1.0}),
        ([AnatomyNetTrainer], {"unweighted_focal": 0.5, "dice": 1.0}),
        (
            [SNetTrainer, FatUNetTrainer, DeepLabV3PlusTrainer, SEResUNetTrainer, SEResUNetTrainer_1ds],
            {"focal": 1.0, "dice": 1.0},
        ),
    ],
)
def test_each_has_the_loss_of_its_row(trainers: list[type[BaseTrainer]], terms: dict[str, float]) -> None:
    for trainer in trainers:
        assert loss_of(trainer, plans_of(ISOTROPIC)).factors == terms, trainer


def test_anatomynet_has_the_convolutions_of_its_authors_code() -> None:
    # Read off ResNetUNET3D of src/AnatomyNet.py, for one image channel: channels in and out of each 3x3x3 convolution.
    encoder = [(28, 30), *[(30, 30)] * 3, (30, 32), *[(32, 32)] * 3, (32, 34), *[(34, 34)] * 3]
    joined = [(34 + 32, 32), *[(32, 32)] * 3, (32 + 30, 30), *[(30, 30)] * 3, (30 + 28, 28), *[(28, 28)] * 3]
    expected = [(1, 28), *encoder, *joined, (14 + 1, 14), (14, 14), (14, CLASSES)]
    with torch.device("meta"):
        network = network_of(AnatomyNetTrainer, plans_of(ISOTROPIC, features=(32, 64, 128)))
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv3d) and m.kernel_size == (3, 3, 3)]
    assert [(m.in_channels, m.out_channels) for m in convolutions] == expected
    assert [m.stride for m in convolutions] == [(2, 2, 2), *[(1, 1, 1)] * (len(expected) - 1)]
    (upsampling,) = (m for m in network.modules() if isinstance(m, nn.ConvTranspose3d))
    assert (upsampling.in_channels, upsampling.out_channels, upsampling.stride) == (28, 14, (2, 2, 2))


@torch.no_grad()
def test_deeplab_reads_the_whole_map() -> None:
    # Image pooling: a change in one corner reaches the opposite one, which no convolution here does.
    network = network_of(DeepLabV3PlusTrainer, plans_of(ISOTROPIC)).aspp.double().eval()
    network.branches.requires_grad_(False)
    network.fuse[1] = nn.Identity()  # normalisation sees everything, too
    for branch in network.branches:
        branch[1] = nn.Identity()
    low = torch.randn(1, network.branches[0][0].in_channels, 12, 12, 12, dtype=torch.float64)
    changed = low.clone()
    changed[..., 0, 0, 0] += 100
    assert (network(changed) - network(low))[..., -1, -1, -1].abs().max() > 1e-6
