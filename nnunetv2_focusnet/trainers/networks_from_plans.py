"""S-Net and FocusNet in the sizes that nnU-Net's plans give."""

from typing import Any

import torch
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager
from torch import nn

from nnunetv2_focusnet.architectures.dense_aspp import dilations_in_mm
from nnunetv2_focusnet.architectures.focusnet import FocusNet
from nnunetv2_focusnet.architectures.plans_unet import PlansUNet
from nnunetv2_focusnet.architectures.snet import SNet
from nnunetv2_focusnet.trainers.trained_with import OTHER_PLANS, PUT_BACK


def build_snet(configuration: ConfigurationManager, input_channels: int, num_classes: int) -> SNet:
    """S-Net with the plan's first two widths, its first stride that isn't 1, and its kernels.

    Raises:
        ValueError: the plan's network has no such entries.
    """
    arch = _unet_kwargs(configuration)
    strides = arch["strides"]
    below = next((i for i, stride in enumerate(strides) if max(stride) > 1), 0)
    stride = strides[below]
    return SNet(
        input_channels,
        num_classes,
        features_per_stage=(arch["features_per_stage"][0], arch["features_per_stage"][min(1, len(strides) - 1)]),
        kernel_sizes=(arch["kernel_sizes"][0], arch["kernel_sizes"][below]),
        stride=stride,
        dilations=dilations_in_mm(
            [mm * s for mm, s in zip(configuration.spacing, stride, strict=True)],
            [size // s for size, s in zip(configuration.patch_size, stride, strict=True)],
        ),
    )


def small_organs_of(configuration: ConfigurationManager) -> list[dict[str, Any]]:
    """The small organs that have networks of their own, as the plans describe them.

    Raises:
        ValueError: the plans aren't those of a training of FocusNet.
    """
    try:
        small = configuration.configuration["focusnet"]["small_organs"]
        for organ in small:
            organ["name"], organ["label"], organ["roi_size"]
    except (KeyError, TypeError) as error:
        raise ValueError(f'{OTHER_PLANS} (its entry "focusnet" lacks {error}): {PUT_BACK}.') from None
    return small


def build_focusnet(configuration: ConfigurationManager, input_channels: int, num_classes: int) -> FocusNet | SNet:
    """FocusNet for the plans' small organs; S-Net where there are none.

    Raises:
        ValueError: the plans aren't those of a training of FocusNet, or their network is no U-Net.
    """
    main = build_snet(configuration, input_channels, num_classes)
    small = small_organs_of(configuration)
    if not small:
        return main
    arch = _unet_kwargs(configuration)
    return FocusNet(
        main,
        small_organs=[organ["label"] for organ in small],
        roi_sizes=[organ["roi_size"] for organ in small],
        kernel_size=arch["kernel_sizes"][0],
    )


def build_focusnet_on_plans_network(
    configuration: ConfigurationManager, input_channels: int, num_classes: int, deep_supervision: bool
) -> nn.Module:
    """The plans' own network with FocusNet's parts for the small organs; without any small organ that network alone.

    Raises:
        ValueError: the plans aren't those of a training of FocusNet, or their network is no U-Net.
    """
    unet = get_network_from_plans(
        configuration.network_arch_class_name,
        configuration.network_arch_init_kwargs,
        configuration.network_arch_init_kwargs_req_import,
        input_channels,
        num_classes,
        deep_supervision=deep_supervision,
    )
    small = small_organs_of(configuration)
    if not small:
        return unet
    arch = _unet_kwargs(configuration)
    if not hasattr(unet, "encoder") or not hasattr(unet, "decoder"):
        raise ValueError(
            f"The plans' network {configuration.network_arch_class_name} has no encoder and decoder to read features"
            " from: use plans of a U-Net, for example -p nnUNetPlans or -p nnUNetResEncUNetMPlans."
        )
    main = PlansUNet(unet, input_channels)
    return FocusNet(
        main,
        small_organs=[organ["label"] for organ in small],
        roi_sizes=[organ["roi_size"] for organ in small],
        kernel_size=arch["kernel_sizes"][0],
        sos_features=max(arch["features_per_stage"][0] // 2, 1),
        sol_level=min(1, len(main.features_per_stage) - 1),  # half resolution, if the network goes below it
        sol_blocks=1,
        read_answer=True,
        gradient_to_main=0.1,
    )


def lay_out_for_device(network: nn.Module) -> nn.Module:
    """Channels-last weights where there is no accelerator: a step takes about two thirds of the time on a CPU."""
    if torch.cuda.is_available() or torch.backends.mps.is_available():
        return network
    return network.to(memory_format=torch.channels_last_3d)


def _unet_kwargs(configuration: ConfigurationManager) -> dict[str, Any]:
    kwargs = configuration.network_arch_init_kwargs
    missing = [key for key in ("features_per_stage", "strides", "kernel_sizes") if key not in kwargs]
    if missing:
        raise ValueError(
            f"The plans' network {configuration.network_arch_class_name} has no {', '.join(missing)}, which S-Net takes"
            " its sizes from: use plans of a U-Net, for example -p nnUNetPlans or -p nnUNetResEncUNetMPlans."
        )
    return kwargs
