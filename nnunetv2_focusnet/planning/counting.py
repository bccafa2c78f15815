"""What a training step costs, counted without taking it.

The network runs on the meta device, where tensors have shapes and no data, in half precision, as nnU-Net trains it on a
GPU. What is counted is therefore the network's own, whatever it is made of, and the same on every machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from nnunetv2_focusnet.architectures.focusnet import FocusNetOutput
from nnunetv2_focusnet.architectures.main_network import as_list
from nnunetv2_focusnet.trainers.main_networks import count_parameters

GIB = 2**30
# In single precision whatever the activations have: weight, gradient, and AdamW's two averages.
BYTES_PER_PARAMETER = 4 * 4
# A GPU's peak is above that by gradients on their way and workspaces of convolutions: on an H200 by 5 to 8 % (patch
# 64 x 160 x 192, batch 2, 17 organs; stock nnU-Net, S-Net, FocusNet, FocusNet on the plans' network).
TEMPORARY = 1.07

Loss = Callable[[Any, Any], Tensor]


@dataclass(frozen=True)
class StepCost:
    """Of a training step, or a prediction: bytes that kernels read and write, operations, and how many kernels."""

    moved_bytes: int
    flop: int
    kernels: int


def count_memory(network: nn.Module, loss: Loss, shape: Sequence[int]) -> int:
    """Bytes that a training step holds at its peak, when the backward pass begins.

    Args:
        network: on the meta device, in training mode.
        loss: of the network's output and a target, on the meta device.
        shape: (B, C, Z, Y, X) of the images.
    """
    network = network.half()
    with count_saved_bytes(network) as saved:
        _loss_of(network, loss, torch.empty(tuple(shape), dtype=torch.half, device="meta"))
    return round(TEMPORARY * saved()) + parameter_bytes(network)


def parameter_bytes(network: nn.Module) -> int:
    """Bytes of the parameters, of their gradients and of AdamW's state."""
    return BYTES_PER_PARAMETER * count_parameters(network)


def count_step(network: nn.Module, loss: Loss, shape: Sequence[int]) -> StepCost:
    """Count forward and backward pass; the optimiser's own work isn't worth counting.

    Args:
        network: on the meta device, in training mode.
        loss: of the network's output and a target, on the meta device.
        shape: (B, C, Z, Y, X) of the images.
    """
    images = torch.empty(tuple(shape), dtype=torch.half, device="meta")
    return _count(lambda: _loss_of(network.half(), loss, images).backward())


def count_prediction(network: nn.Module, shape: Sequence[int]) -> StepCost:
    """Count a forward pass as in inference.

    Args:
        network: on the meta device, in evaluation mode.
        shape: (B, C, Z, Y, X) of the images.
    """
    images = torch.empty(tuple(shape), dtype=torch.half, device="meta")
    with torch.no_grad():
        return _count(lambda: network.half()(images))


def _count(run: Callable[[], Any]) -> StepCost:
    traffic, flop = _Traffic(), FlopCounterMode(display=False)
    with flop, traffic:
        run()
    return StepCost(traffic.bytes, flop.get_total_flops(), traffic.kernels)


@contextmanager
def count_saved_bytes(network: nn.Module) -> Iterator[Callable[[], int]]:
    """Count what autograd saves in the block, on any device: each storage once, the network's parameters not at all.

    Args:
        network: that runs in the block.

    Yields:
        A function that returns the bytes so far.
    """
    parameters = {parameter.untyped_storage()._cdata for parameter in network.parameters()}
    storages: dict[int, torch.UntypedStorage] = {}  # kept alive, else another could get the address of one that is gone

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in parameters:
            storages.setdefault(storage._cdata, storage)
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        yield lambda: sum(storage.nbytes() for storage in storages.values())


def _loss_of(network: nn.Module, loss: Loss, images: Tensor) -> Tensor:
    output = network(images)
    logits = output.main_logits if isinstance(output, FocusNetOutput) else output
    targets = [images.new_empty((len(each), 1, *each.shape[2:]), dtype=torch.float) for each in as_list(logits)]
    return loss(output, targets if isinstance(logits, list | tuple) else targets[0])


class _Traffic(TorchDispatchMode):
    """Each operation reads its inputs and writes its outputs once, unless it is a view."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes, self.kernels = 0, 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        if not function.is_view:
            leaves = tree_leaves((args, kwargs, result))
            self.bytes += sum(leaf.numel() * leaf.element_size() for leaf in leaves if isinstance(leaf, Tensor))
            self.kernels += 1
        return result
