"""Networks in the sizes that nnU-Net's plans give, and networks and losses from what a model's plans say of them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager
from torch import nn

from nnunetv2_focusnet.architectures.blocks import zyx
from nnunetv2_focusnet.architectures.config import FocusNetConfig, PairsConfig, SNetConfig, ZoomConfig
from nnunetv2_focusnet.architectures.focusnet import FocusNet
from nnunetv2_focusnet.architectures.plans_unet import PlansUNet
from nnunetv2_focusnet.architectures.zoom import OnCoarserGrid, ZoomNet
from nnunetv2_focusnet.losses.modules import FOCAL_AND_DICE, FocusNetLoss, SegmentationLoss
from nnunetv2_focusnet.organs.organ import SmallOrgan
from nnunetv2_focusnet.organs.plans_entry import Laterality, PlansEntry
from nnunetv2_focusnet.trainers.main_networks import (
    build_main_network,
    first_stride,
    snet_config,
    snet_config_with_plans_stride,
    unet_kwargs,
)

JITTER_MM = 4.0  # peaks of optic nerves are as far from their centres
SMALLEST_SOS_FEATURES = 8  # narrower SOS-Nets were the bottleneck in networks made narrow for CPUs


def small_organ_settings(configuration: ConfigurationManager, small_organs: Sequence[SmallOrgan]) -> dict[str, Any]:
    """What the networks for small organs take from these: channels, ROIs and how far these are moved in training.

    Their kernels are 3x3x3 on every plan. The plan's first ones are (1, 3, 3) on ordinary CTs, which is meant for a
    network that goes deeper: with nothing else, SOL-Net and SOS-Nets would see one slice each.
    """
    return {
        "small_organs": tuple(organ.label for organ in small_organs),
        "roi_sizes": tuple(organ.roi_size for organ in small_organs),
        "jitter": zyx([round(JITTER_MM / mm) for mm in configuration.spacing]),
    }


def focusnet_config(configuration: ConfigurationManager, small_organs: Sequence[SmallOrgan]) -> FocusNetConfig:
    """FocusNet at the price of a U-Net: SOL-Net and SOS-Nets of two blocks, SOL-Net below S-Net's downsampling."""
    main = snet_config(configuration)
    return FocusNetConfig(
        main=main,
        sol_level=1,
        sol_features=main.features_per_stage[0],
        sos_squeeze=True,
        **small_organ_settings(configuration, small_organs),
    )


def paper_config(configuration: ConfigurationManager, small_organs: Sequence[SmallOrgan]) -> FocusNetConfig:
    """FocusNet with heat maps at full resolution, and the plan's first stride as S-Net's one downsampling."""
    main = snet_config_with_plans_stride(configuration)
    return FocusNetConfig(main=main, sol_level=0, **small_organ_settings(configuration, small_organs))


def focusnet_config_on_plans_network(
    configuration: ConfigurationManager, small_organs: Sequence[SmallOrgan]
) -> FocusNetConfig:
    """Lean networks for the small organs on the network that the plans name."""
    arch = unet_kwargs(configuration)
    num_decoder_layers = len(arch["features_per_stage"]) - 1
    return FocusNetConfig(
        main=None,
        sol_level=min(1, num_decoder_layers - 1),  # half resolution, if the network goes below it
        sol_blocks=1,
        sos_features=max(arch["features_per_stage"][0] // 2, SMALLEST_SOS_FEATURES),
        sos_blocks=2,
        sos_squeeze=True,
        sos_corrects_main=True,
        gradient_to_main=0.1,
        **small_organ_settings(configuration, small_organs),
    )


def zoom_config(
    configuration: ConfigurationManager,
    small_organs: Sequence[SmallOrgan],
    main: SNetConfig | None = None,
) -> FocusNetConfig:
    """SOS-Nets on the image's grid, on the plans' network on a coarser grid.

    Args:
        configuration: of the plans.
        small_organs: at its spacing.
        main: of :func:`zoomed_snet_config`; None: the plans' network.
    """
    features = unet_kwargs(configuration)["features_per_stage"]
    stride = first_stride(configuration)
    settings = small_organ_settings(configuration, small_organs)
    return FocusNetConfig(
        **settings | {"roi_sizes": tuple(_whole_strides(size, stride) for size in settings["roi_sizes"])},
        main=main,
        sol_level=1 if main else min(1, len(features) - 2),
        sol_blocks=1,
        gradient_to_main=0.1,
        zoom=ZoomConfig(
            stride=stride,
            features=(max(features[0] // 2, SMALLEST_SOS_FEATURES), max(features[0], 2 * SMALLEST_SOS_FEATURES)),
        ),
    )


def _whole_strides(roi_size: Sequence[int], stride: Sequence[int]) -> tuple[int, int, int]:
    """An ROI's size rounded up to multiples of the stride, and to two of them where there would be just one.

    Of the single voxel that it would have on the main network's grid, instance normalisation has no variance.
    """
    z, y, x = (-(-size // step) * step for size, step in zip(roi_size, stride, strict=True))
    return (z, y, 2 * x) if (z, y, x) == tuple(stride) else (z, y, x)


def share_sos_nets(config: FocusNetConfig, flip: Laterality | None) -> FocusNetConfig:
    """One SOS-Net for the left and the right organ of each pair of which both are small: either teaches it.

    Args:
        config: with a SOS-Net for each small organ.
        flip: that makes left organs right ones; None: nothing is shared.
    """
    if flip is None:
        return config
    labels = list(config.small_organs)
    pairs = [pair for pair in flip.pairs if set(pair) <= set(labels)]
    if not pairs:
        return config
    organs = tuple((labels.index(left), labels.index(right)) for left, right in pairs)
    sizes = list(config.roi_sizes)
    for left, right in organs:
        sizes[left] = sizes[right] = zyx([max(both) for both in zip(sizes[left], sizes[right], strict=True)])
    return replace(config, roi_sizes=tuple(sizes), pairs=PairsConfig(organs=organs, mirror_axis=flip.axis))


def zoomed_snet_config(configuration: ConfigurationManager) -> SNetConfig:
    """S-Net on the coarser grid, in the plan's sizes."""
    stride = first_stride(configuration)
    coarser = {
        "spacing": zoomed_spacing(configuration),
        "patch_size": [size // by for size, by in zip(configuration.patch_size, stride, strict=True)],
    }
    return snet_config(ConfigurationManager(configuration.configuration | coarser))


def zoomed_spacing(configuration: ConfigurationManager) -> list[float]:
    """(z, y, x) in mm, of the main network's grid."""
    return [mm * by for mm, by in zip(configuration.spacing, first_stride(configuration), strict=True)]


def zoomed_patch(configuration: ConfigurationManager) -> list[int]:
    """The plan's patch taken as one of the main network's grid, but not larger than the usual image needs.

    Returns:
        (z, y, x) in voxels of the images.
    """
    strides = [first_stride(configuration), *unet_kwargs(configuration)["strides"]]
    steps = [math.prod(along_axis) for along_axis in zip(*strides, strict=True)]
    wanted = [
        min(size * by, max(size, round(image)))
        for size, by, image in zip(
            configuration.patch_size, strides[0], configuration.median_image_size_in_voxels, strict=True
        )
    ]
    return [-(-size // step) * step for size, step in zip(wanted, steps, strict=True)]


def build_network(
    config: FocusNetConfig,
    configuration: ConfigurationManager,
    input_channels: int,
    num_classes: int,
    deep_supervision: bool,
) -> nn.Module:
    """The network that ``config`` describes; without small organs it is the main network alone.

    Args:
        config: as the model's plans have it.
        configuration: of the plans, which name the main network where ``config`` doesn't.
        input_channels: of images.
        num_classes: background included.
        deep_supervision: whether a main network of the plans has outputs at several resolutions.

    Raises:
        ValueError: the plans' network is needed and is no U-Net.
    """
    share = math.prod(config.zoom.stride) if config.zoom else 1  # voxels of the image in one of the main network's
    channels = input_channels * share, num_classes * share
    main: Any  # a main network, or one that stands alone
    if config.main is not None:
        main = build_main_network(config.main, *channels)
    else:
        main = get_network_from_plans(
            configuration.network_arch_class_name,
            configuration.network_arch_init_kwargs,
            configuration.network_arch_init_kwargs_req_import,
            *channels,
            deep_supervision=deep_supervision,
        )
    if not config.small_organs and config.zoom is None:
        return main
    if config.main is None:
        main = _readable(main, configuration.network_arch_class_name, channels[0])
    if config.zoom is None:
        return FocusNet(main, config)
    coarser = OnCoarserGrid(main, input_channels, config.zoom.stride)
    return ZoomNet(coarser, config) if config.small_organs else coarser


def _readable(unet: nn.Module, name: str, input_channels: int) -> PlansUNet:
    if not hasattr(unet, "encoder") or not hasattr(unet, "decoder"):
        raise ValueError(
            f"The plans' network {name} has no encoder and decoder to read features from: use plans of a U-Net, for"
            " example -p nnUNetPlans or -p nnUNetResEncUNetMPlans."
        )
    return PlansUNet(unet, input_channels)


def build_loss(
    entry: PlansEntry, ignore_label: int | None, factors: Mapping[str, float] = FOCAL_AND_DICE
) -> SegmentationLoss:
    """The loss of the network that the plans describe, of all its parts where it has parts for small organs.

    Args:
        entry: of the plans.
        ignore_label: voxels of this label don't count.
        factors: of the main network's terms.
    """
    small = entry.organs_with_networks
    if not small:
        return SegmentationLoss(entry.focal_weights, ignore_label, factors)
    return FocusNetLoss(
        entry.focal_weights,
        organs=[organ.label for organ in small],
        sigmas=[organ.sigma for organ in small],
        organ_voxels=[organ.volume_voxels for organ in small],
        ignore_label=ignore_label,
        factors=factors,
    )


def lay_out_for_device(network: nn.Module) -> nn.Module:
    """Channels-last weights where there is no accelerator: a step takes about two thirds of the time on a CPU."""
    if torch.cuda.is_available() or torch.backends.mps.is_available():
        return network
    return network.to(memory_format=torch.channels_last_3d)
