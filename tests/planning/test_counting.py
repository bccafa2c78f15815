"""What a training step costs, by hand and beside what autograd saves when the step is taken."""

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from boxes import DATASET
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager
from torch import Tensor, nn

from nnunetv2_focusnet.architectures.focusnet import FocusNetOutput
from nnunetv2_focusnet.architectures.main_network import as_list
from nnunetv2_focusnet.planning.counting import (
    TEMPORARY,
    count_memory,
    count_saved_bytes,
    count_step,
    parameter_bytes,
)
from nnunetv2_focusnet.planning.meta_training import Training
from nnunetv2_focusnet.planning.planner import FocusNetPlanner
from nnunetv2_focusnet.trainers.focusnet_trainer import FocusNetTrainer
from nnunetv2_focusnet.trainers.networks import build_loss, build_network
from nnunetv2_focusnet.trainers.plans_network_trainer import FocusNetTrainerPlansNetwork
from nnunetv2_focusnet.trainers.snet_trainer import SNetTrainer

SHAPE = (2, 1, 4, 6, 8)  # 384 voxels


def sum_of_squares(logits: Tensor, _target: Any) -> Tensor:
    return (logits * logits).sum()


@pytest.fixture
def convolution() -> nn.Module:
    """1x1x1, from one channel to three, without bias: three parameters."""
    return nn.Conv3d(1, 3, 1, bias=False, device="meta")


def test_memory_of_one_convolution(convolution: nn.Module) -> None:
    # In half precision it saves its input, and the square its own: 384 and 3 * 384 values of two bytes. Each parameter
    # has a value, a gradient and two averages of four bytes.
    # 7 % on top of what is saved come and go.
    assert count_memory(convolution, sum_of_squares, SHAPE) == round(1.07 * 4 * 384 * 2) + 3 * 16


def test_operations_of_one_convolution(convolution: nn.Module) -> None:
    # A multiplication and an addition for each voxel and weight, forward and for the weights' gradient; the image has
    # no gradient.
    assert count_step(convolution, sum_of_squares, SHAPE).flop == 2 * (2 * 384 * 3)


def test_each_storage_counts_once_and_parameters_never() -> None:
    convolution = nn.Conv3d(1, 1, 1, bias=False)
    image = torch.randn(1, 1, 2, 2, 2)
    with count_saved_bytes(convolution) as saved:
        out = convolution(image)
        (out * out + out.reshape(-1).view(out.shape) * out).sum()
    assert saved() == (8 + 8) * 4  # the image and the output


# ---- beside what is saved ----

TRAINERS = [SNetTrainer, FocusNetTrainer, FocusNetTrainerPlansNetwork]
PATCHES = [(8, 32, 32), (8, 48, 32), (16, 32, 32), (16, 48, 48), (16, 64, 64)]


@pytest.fixture
def narrow(preprocessed: Path) -> tuple[FocusNetPlanner, dict[str, Any]]:
    """A planner, and its 3d_fullres with four to eight channels, whose strides divide all of PATCHES."""
    planner = FocusNetPlanner(DATASET, trainer=SNetTrainer, num_processes=1)
    planner.UNet_base_num_features, planner.UNet_max_features_3d = 4, 8
    plan = planner.plan_experiment()["configurations"]["3d_fullres"]
    architecture = plan["architecture"]["arch_kwargs"]
    strides = [[1, 1, 1], [1, 2, 2], [2, 2, 2], [2, 2, 2]]
    architecture |= {"n_stages": len(strides), "strides": strides, "n_conv_per_stage_decoder": [2, 2, 2]}
    for name in ("features_per_stage", "kernel_sizes", "n_conv_per_stage"):
        architecture[name] = architecture[name][: len(strides)]
    return planner, plan | {"batch_size": 1}


def saved_in_a_step(network: nn.Module, loss: Any, shape: Sequence[int]) -> int:
    """Bytes, counted while the step is taken, under autocast as on a GPU."""
    with count_saved_bytes(network) as saved:
        with torch.autocast("cpu", torch.bfloat16):
            output = network(torch.randn(tuple(shape)))
        logits = output.main_logits if isinstance(output, FocusNetOutput) else output
        targets = [torch.ones(len(each), 1, *each.shape[2:]) for each in as_list(logits)]
        loss(output, targets if isinstance(logits, list) else targets[0])
    return saved()


def test_expected_memory_is_what_training_saves(narrow: tuple[FocusNetPlanner, dict[str, Any]]) -> None:
    planner, plan = narrow
    for trainer, patch in product(TRAINERS, PATCHES):
        planner.trainer = trainer
        planned = plan | {"patch_size": patch}
        entry, configuration = planner.entry_of(planned), ConfigurationManager(planned)
        network = build_network(entry.network, configuration, 1, 4, bool(trainer.default_enable_deep_supervision))
        saved = saved_in_a_step(network, build_loss(entry, None), (1, 1, *patch))
        counted = planner.training_of(planned).memory_bytes
        assert (counted - parameter_bytes(network)) / TEMPORARY == pytest.approx(saved, rel=0.15), (trainer, patch)
        # and in proportion to the voxels of patch and ROIs, by which the planner searches
        assert planner.memory_of(planned) == pytest.approx(counted, rel=0.01), (trainer, patch)


def test_expected_memory_of_stock_nnunet(narrow: tuple[FocusNetPlanner, dict[str, Any]]) -> None:
    for patch in PATCHES:
        configuration = ConfigurationManager(narrow[1] | {"patch_size": patch})
        training = Training.by_stock(configuration, 1, 4)
        counted = training.memory_bytes
        network = training.network.to_empty(device="cpu").float()
        saved = saved_in_a_step(network, training.loss, training.shape)
        assert (counted - parameter_bytes(network)) / TEMPORARY == pytest.approx(saved, rel=0.15), patch
