"""Networks for all organs in the sizes that nnU-Net's plans give: S-Net, and those it is compared with in the paper."""

import math
from dataclasses import replace
from functools import cache
from typing import Any

import torch
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager
from torch import nn

from nnunetv2_focusnet.architectures.anatomynet import AnatomyNet
from nnunetv2_focusnet.architectures.blocks import zyx
from nnunetv2_focusnet.architectures.config import (
    AnatomyNetConfig,
    DeepLabConfig,
    MainConfig,
    SEResUNetConfig,
    SNetConfig,
)
from nnunetv2_focusnet.architectures.deeplab import DeepLabV3Plus
from nnunetv2_focusnet.architectures.dense_aspp import dilations_in_mm
from nnunetv2_focusnet.architectures.segmentation_network import SegmentationNetwork
from nnunetv2_focusnet.architectures.seres_unet import SEResUNet
from nnunetv2_focusnet.architectures.snet import SNet

# Halving slices of 2.5 or 3 mm along with pixels of 1 mm takes 0.6 of the FLOPs and memory that halving pixels alone
# takes. Where slices are thicker still, a lens would be left with one.
LARGEST_HALVED_ANISOTROPY = 4.0
SMALLEST_HALVED = 4  # voxels; of a single one left, instance normalisation has no variance
MOST_FEATURES = 320  # as nnU-Net's planner, where a network goes deeper than the plan's
# Output stride 8, not the 16 that Chen et al. take for 513 pixels: a patch has some 160, and a lens 9 mm. With 8 the
# decoder's own level has stride 2, a quarter as they have it.
DEEPLAB_DOWNSAMPLINGS = 3
ASPP_RATES = (1 / 6, 1 / 3, 1 / 2)  # of the longest axis of what ASPP reads; Chen et al. have 6, 12, 18 of 33
ANATOMYNET_FEATURES = (28, 30, 32, 34)  # Zhu et al.; for plans that begin with 32, a usual network's
USUAL_FIRST_FEATURES = 32
PARAMETERS_TOLERANCE = 0.01


def snet_config(configuration: ConfigurationManager) -> SNetConfig:
    """S-Net with the plan's first two widths, its kernels, and one downsampling that halves all axes.

    An axis is left out that the plan's network never halves either, as patches may be odd along it, and one whose
    voxels are more than four times as long as the finest.

    Raises:
        ValueError: the plan's network has no such entries.
    """
    (stride,) = _halvings(configuration, 1)
    return _snet_with_stride(configuration, stride)


def snet_config_with_plans_stride(configuration: ConfigurationManager) -> SNetConfig:
    """S-Net whose one downsampling is the plan's first: on ordinary CTs within slices alone.

    So is the first of two in the first author's later code.

    Raises:
        ValueError: the plan's network has no such entries.
    """
    return _snet_with_stride(configuration, first_stride(configuration))


def seres_unet_config(configuration: ConfigurationManager, num_downsamplings: int) -> SEResUNetConfig:
    """SERes U-Net with the plan's widths and kernels; each downsampling halves what S-Net's one would halve there.

    With one downsampling it is the plan's S-Net without DenseASPP.

    Raises:
        ValueError: the plan's network has no such entries.
    """
    return SEResUNetConfig(
        features_per_stage=_features(configuration, num_downsamplings + 1),
        kernel_sizes=_kernels(configuration, num_downsamplings),
        strides=_halvings(configuration, num_downsamplings),
    )


def deeplab_config(configuration: ConfigurationManager) -> DeepLabConfig:
    """DeepLab v3+ with the plan's widths and kernels, and rates that reach equally far in mm along every axis.

    Raises:
        ValueError: the plan's network has no such entries.
    """
    strides = _halvings(configuration, DEEPLAB_DOWNSAMPLINGS)
    features = _features(configuration, DEEPLAB_DOWNSAMPLINGS + 1)
    along_axes = [math.prod(along_axis) for along_axis in zip(*strides, strict=True)]
    spacing = [mm * by for mm, by in zip(configuration.spacing, along_axes, strict=True)]
    size = [voxels // by for voxels, by in zip(configuration.patch_size, along_axes, strict=True)]
    rates = [max(int(rate * max(size)), 1) for rate in ASPP_RATES]
    last_dilation, *dilations = dilations_in_mm(spacing, size, (2, *rates))
    return DeepLabConfig(
        features_per_stage=features,
        kernel_sizes=_kernels_with_strided_first(configuration, strides),
        strides=strides,
        last_dilation=last_dilation,
        dilations=tuple(dilations),
        aspp_features=features[2],
        low_level_features=features[0],
        decoder_features=features[1],
    )


def anatomynet_config(configuration: ConfigurationManager) -> AnatomyNetConfig:
    """AnatomyNet with its own widths, as much narrower or wider as the plan's first is than 32, and the plan's kernels.

    Raises:
        ValueError: the plan's network has no such entries.
    """
    (first,) = _features(configuration, 1)
    (stride,) = strides = _halvings(configuration, 1)
    full, below = _kernels_with_strided_first(configuration, strides)
    return AnatomyNetConfig(
        features_per_stage=tuple(max(round(n * first / USUAL_FIRST_FEATURES), 2) for n in ANATOMYNET_FEATURES),
        kernel_sizes=(full, below),
        stride=stride,
    )


def widened(config: SNetConfig, parameters: int) -> SNetConfig:
    """S-Net with both widths multiplied by one ratio, so that it has as many parameters.

    Widths are whole numbers. Of those that miss the parameters by a hundredth at most, it has the pair that comes
    nearest to one ratio; where none does, the pair that misses them least.
    """
    full, half = config.features_per_stage
    undilated = replace(config, dilations=tuple((1, 1, 1) for _ in config.dilations))  # to be counted but once
    middle = round(half * math.sqrt(parameters / num_parameters(undilated)))
    widths = [
        (full_now, half_now)
        for half_now in range(max(middle - 1, 1), middle + 2)
        for full_now in range(max(full * half_now // half - 1, 1), full * half_now // half + 3)
    ]

    def unlike(features: tuple[int, int]) -> tuple[float, float]:
        missing = num_parameters(replace(undilated, features_per_stage=features)) / parameters - 1
        return max(abs(missing), PARAMETERS_TOLERANCE), abs(features[0] - full * features[1] / half)

    return replace(config, features_per_stage=min(widths, key=unlike))


@cache
def num_parameters(config: MainConfig) -> int:
    """Parameters of a main network for one image channel and one organ; others change it by less than a hundredth."""
    with torch.device("meta"):
        return count_parameters(build_main_network(config, input_channels=1, num_classes=2))


def count_parameters(network: nn.Module) -> int:
    """Numbers in all parameters."""
    return sum(parameter.numel() for parameter in network.parameters())


def build_main_network(config: MainConfig, input_channels: int, num_classes: int) -> SegmentationNetwork:
    """The main network that ``config`` describes.

    Args:
        config: as the model's plans have it.
        input_channels: of images.
        num_classes: background included.
    """
    match config:
        case SNetConfig():
            return SNet(input_channels, num_classes, config)
        case SEResUNetConfig():
            return SEResUNet(input_channels, num_classes, config)
        case DeepLabConfig():
            return DeepLabV3Plus(input_channels, num_classes, config)
        case AnatomyNetConfig():
            return AnatomyNet(input_channels, num_classes, config)


def first_stride(configuration: ConfigurationManager) -> tuple[int, int, int]:
    """The plan's first stride that isn't 1: of thick slices, within slices alone."""
    strides = unet_kwargs(configuration)["strides"]
    return zyx(next((stride for stride in strides if max(stride) > 1), strides[0]))


def unet_kwargs(configuration: ConfigurationManager) -> dict[str, Any]:
    """The sizes of the U-Net that the plan names.

    Raises:
        ValueError: it has none that a network here could take.
    """
    kwargs: dict[str, Any] = configuration.network_arch_init_kwargs
    missing = [key for key in ("features_per_stage", "strides", "kernel_sizes") if key not in kwargs]
    if missing:
        raise ValueError(
            f"The plans' network {configuration.network_arch_class_name} has no {', '.join(missing)}, which this"
            " trainer's network takes its sizes from: use plans of a U-Net, for example -p nnUNetPlans or -p"
            " nnUNetResEncUNetMPlans."
        )
    return kwargs


def _snet_with_stride(configuration: ConfigurationManager, stride: tuple[int, int, int]) -> SNetConfig:
    features = unet_kwargs(configuration)["features_per_stage"]
    full, below = _kernels(configuration, 1)
    return SNetConfig(
        features_per_stage=(features[0], features[min(1, len(features) - 1)]),
        kernel_sizes=(full, below),
        stride=stride,
        dilations=tuple(
            dilations_in_mm(
                [mm * s for mm, s in zip(configuration.spacing, stride, strict=True)],
                [size // s for size, s in zip(configuration.patch_size, stride, strict=True)],
            )
        ),
    )


def _halvings(configuration: ConfigurationManager, number: int) -> tuple[tuple[int, int, int], ...]:
    """Strides of so many downsamplings that follow each other, each as :func:`snet_config` says.

    Deeper than the plan's network, an axis is halved as long as the patch stays whole along it.
    """
    halved = [max(along_axis) > 1 for along_axis in zip(*unet_kwargs(configuration)["strides"], strict=True)]
    spacing, size = list(configuration.spacing), list(configuration.patch_size)
    strides = []
    for _ in range(number):
        coarsest = LARGEST_HALVED_ANISOTROPY * min(spacing)
        bears = [
            plan and mm <= coarsest and voxels % 2 == 0 and voxels >= SMALLEST_HALVED
            for plan, mm, voxels in zip(halved, spacing, size, strict=True)
        ]
        stride = zyx([2 if each else 1 for each in bears])
        spacing = [mm * by for mm, by in zip(spacing, stride, strict=True)]
        size = [voxels // by for voxels, by in zip(size, stride, strict=True)]
        strides.append(stride)
    return tuple(strides)


def _kernels(configuration: ConfigurationManager, num_downsamplings: int) -> tuple[tuple[int, int, int], ...]:
    """The plan's kernel at full resolution, and below each of so many downsamplings its longest along every axis.

    Where slices are four times as thick as pixels or more, the plan's network begins to convolve across them two
    downsamplings deep: what has one would see each slice by itself.
    """
    kernels = unet_kwargs(configuration)["kernel_sizes"]
    longest = zyx([max(along_axis) for along_axis in zip(*kernels, strict=True)])
    return zyx(kernels[0]), *[longest] * num_downsamplings


def _kernels_with_strided_first(
    configuration: ConfigurationManager, strides: tuple[tuple[int, int, int], ...]
) -> tuple[tuple[int, int, int], ...]:
    """The same for networks whose first convolution halves axes: one of length 1 along them would leave out slices."""
    first, *below = _kernels(configuration, len(strides))
    return zyx([max(size, 2 * step - 1) for size, step in zip(first, strides[0], strict=True)]), *below


def _features(configuration: ConfigurationManager, number: int) -> tuple[int, ...]:
    """The plan's first widths; where it has fewer, the last one doubled as nnU-Net's planner does."""
    features = list(unet_kwargs(configuration)["features_per_stage"][:number])
    while len(features) < number:
        features.append(max(features[-1], min(2 * features[-1], MOST_FEATURES)))
    return tuple(features)
