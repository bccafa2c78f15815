"""What a training step or a prediction costs, counted on the meta device, as rows beside stock nnU-Net's."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from nnunetv2_focusnet.architectures.focusnet import PARTS
from nnunetv2_focusnet.planning.counting import GIB, TEMPORARY, StepCost, count_prediction, parameter_bytes
from nnunetv2_focusnet.planning.meta_training import Training


@dataclass(frozen=True)
class Cost:
    """Of a step, with the bytes that autograd keeps for its backward pass; of a prediction, which keeps none."""

    step: StepCost
    saved_bytes: float = 0.0

    def __sub__(self, other: "Cost") -> "Cost":
        step = StepCost(
            self.step.moved_bytes - other.step.moved_bytes,
            self.step.flop - other.step.flop,
            self.step.kernels - other.step.kernels,
        )
        return Cost(step, self.saved_bytes - other.saved_bytes)


# Column, and its figure.
COLUMNS: dict[str, Callable[[Cost], float]] = {
    "TFLOP": lambda cost: cost.step.flop / 1e12,
    "saved_GiB": lambda cost: cost.saved_bytes / GIB,
    "moved_GB": lambda cost: cost.step.moved_bytes / 1e9,
    "kernels": lambda cost: cost.step.kernels,
}


def cost_of_step(training: Training, parts: tuple[str, ...] | None = None) -> Cost:
    """Of a step that trains these parts of FocusNet; None: the network as it is."""
    training = replace(training)  # what is counted is kept with it
    training.network.train()
    if parts is not None:
        training.network.train_parts(parts)
    saved = (training.memory_bytes - parameter_bytes(training.network)) / TEMPORARY
    return Cost(training.step, saved)


def cost_of_tile(training: Training) -> Cost:
    """Of a prediction of one patch."""
    training.network.eval()
    return Cost(count_prediction(training.network, (1, *training.shape[1:])))


def costs(stock: Training, snet: Training, focusnet: Training, on_plans: Training) -> dict[str, Cost]:
    """Rows "step, ..." and "tile, ...", stock's first; the parts of a joint step add up to it."""
    steps = {"stock": cost_of_step(stock), "S-Net": cost_of_step(snet)}
    steps |= {name: cost_of_step(focusnet, (name.lower(),)) for name in ("SOL", "SOS")}
    until_main, until_sol, joint = (cost_of_step(focusnet, PARTS[: n + 1]) for n in range(len(PARTS)))
    steps |= {
        "joint": joint,
        "joint: S-Net's part": until_main,
        "joint: SOL's part": until_sol - until_main,
        "joint: SOS's part": joint - until_sol,
        "plans' network": cost_of_step(on_plans),
    }
    tiles = {"stock": stock, "S-Net": snet, "FocusNet": focusnet, "plans' network": on_plans}
    return {f"step, {name}": cost for name, cost in steps.items()} | {
        f"tile, {name}": cost_of_tile(training) for name, training in tiles.items()
    }


def as_columns(cost: Cost, stock: Cost) -> dict[str, str]:
    """Each figure and its ratio to stock's."""
    columns = {}
    for name, figure in COLUMNS.items():
        columns[name] = f"{figure(cost):.4g}"
        columns[f"x {name}"] = f"{figure(cost) / figure(stock):.2f}" if figure(stock) else ""
    return columns


def stock_row(row: str) -> str:
    """The row that a row is compared with."""
    return f"{row.split(',')[0]}, stock"


def counted_columns(counted: Mapping[str, Cost], row: str) -> dict[str, Any]:
    """The columns of a row."""
    return as_columns(counted[row], counted[stock_row(row)])
