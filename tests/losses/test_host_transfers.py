"""What passes between host and GPU in a step, seen on the meta device: as little as in a step of nnU-Net, nothing."""

from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from nnunetv2_focusnet.architectures.config import FocusNetConfig, SNetConfig
from nnunetv2_focusnet.architectures.focusnet import PARTS, FocusNet
from nnunetv2_focusnet.architectures.snet import SNet
from nnunetv2_focusnet.losses.modules import FocusNetLoss

SIZE, CLASSES, SMALL = (8, 12, 16), 6, (2, 5, 4)


class Transfers(TorchFunctionMode):
    """Collects what brings values from the host to the device."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_function__(self, function: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        read, written = (self.devices_of(part) for part in ((args, kwargs), result))
        by_list = function is torch.Tensor.__getitem__ and self.holds_list(args[1])
        if function in (torch.tensor, torch.as_tensor) or by_list or ("cpu" in read and "meta" in written):
            self.found.append(function.__name__)
        return result

    @staticmethod
    def holds_list(index: Any) -> bool:
        return any(isinstance(part, list) for part in (index if isinstance(index, tuple) else (index,)))

    @staticmethod
    def devices_of(values: Any) -> set[str]:
        return {leaf.device.type for leaf in tree_leaves(values) if isinstance(leaf, torch.Tensor)}


def network_and_loss(ignore_label: int | None = None) -> tuple[FocusNet, FocusNetLoss]:
    rois = ((2, 4, 4), (4, 2, 6), (4, 4, 4))
    main = SNetConfig(features_per_stage=(4, 6), dilations=((1, 1, 1), (1, 2, 2)))
    config = FocusNetConfig(main=main, small_organs=SMALL, roi_sizes=rois, sol_level=1, sos_corrects_main=True)
    sigmas, voxels = [(1.0, 2.0, 2.0)] * 3, [10.0, 20.0, 30.0]
    loss = FocusNetLoss([1.0] * CLASSES, SMALL, sigmas, voxels, ignore_label)
    return FocusNet(SNet(1, CLASSES, main), config).to("meta"), loss.to("meta")


@pytest.mark.parametrize("ignore_label", [None, CLASSES])
@pytest.mark.parametrize("parts", [("main",), ("sol",), ("sos",), PARTS])
def test_a_training_step_neither_waits_for_the_gpu_nor_copies_to_it(
    parts: tuple[str, ...], ignore_label: int | None
) -> None:
    network, loss = network_and_loss(ignore_label)
    network.train_parts(parts)
    image, target = (torch.empty(2, 1, *SIZE, device="meta") for _ in range(2))
    loss.annotated = torch.ones(2, CLASSES, dtype=torch.bool, device="meta")
    loss(network(image), target).backward()  # the first step copies constants
    with Transfers() as transfers:
        # The meta device has no values: reading one, or as many as a mask has, would raise.
        loss(network(image), target).backward()
    assert transfers.found == []


@torch.no_grad()
def test_a_prediction_neither_waits_for_the_gpu_nor_copies_to_it() -> None:
    network, _ = network_and_loss()
    image = torch.empty(2, 1, *SIZE, device="meta")
    network.eval()(image)
    with Transfers() as transfers:
        network(image)
    assert transfers.found == []


def test_copies_and_readings_would_be_seen() -> None:
    with Transfers() as transfers:
        there = torch.tensor([1, 2], device="meta")
        there[[0, 1]]
        torch.ones(2).to("meta")
    assert transfers.found == ["tensor", "__getitem__", "to"]
    with pytest.raises((RuntimeError, NotImplementedError)):
        there.sum().item()
