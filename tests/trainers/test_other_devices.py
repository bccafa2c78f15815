"""Training on devices that the tests' machine doesn't have, judged by PyTorch's own table of what its backends do."""

import re
from pathlib import Path
from typing import Any

import pytest
import torchgen
from small_trainers import SmallFocusNetTrainer, SmallPlansNetworkTrainer
from test_focusnet_trainer import change_json
from torch.utils._python_dispatch import TorchDispatchMode

TABLE = Path(torchgen.__file__).parent / "packaged" / "ATen" / "native" / "native_functions.yaml"


def operations_on(backend: str) -> set[str]:
    """Names of the operations that a backend has, with their overloads, or that are made of others."""
    entries = re.split(r"^- func: ", TABLE.read_text(), flags=re.MULTILINE)[1:]
    names = [entry[: entry.index("(")] for entry in entries]
    own = {
        name
        for name, entry in zip(names, entries, strict=True)
        if re.search(rf"^    [\w, ]*\b({backend}|CompositeExplicit\w*|CompositeImplicit\w*)\b", entry, re.MULTILINE)
        or not re.search(r"^  (dispatch|structured_delegate):", entry, re.MULTILINE)
    }
    delegates = (re.search(r"^  structured_delegate: (\S+)", entry, re.MULTILINE) for entry in entries)
    return own | {name for name, other in zip(names, delegates, strict=True) if other and other[1] in own}


class RecordOperations(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.namespace == "aten":
            self.names.add(func._schema.name.removeprefix("aten::") + f".{func._overloadname}".removesuffix(".default"))
        return func(*args, **(kwargs or {}))


def test_table_knows_what_mps_lacks() -> None:
    on_mps = operations_on("MPS")
    assert {"max_pool3d_with_indices", "convolution", "add.Tensor", "gather"} <= on_mps
    assert "adaptive_max_pool3d" in operations_on("CPU")
    assert "adaptive_max_pool3d" not in on_mps


@pytest.mark.parametrize("ignore", [False, True])
@pytest.mark.parametrize("trainer_class", [SmallFocusNetTrainer, SmallPlansNetworkTrainer])
def test_training_needs_nothing_that_mps_lacks(
    make_trainer: Any, project: Path, trainer_class: type[SmallFocusNetTrainer], ignore: bool
) -> None:
    if ignore:
        labels = {f"organ {i}": i for i in range(1, 10)}
        change_json(project / "dataset.json", labels={"background": 0, **labels, "ignore": 10})
    trainer = make_trainer(trainer_class)
    with RecordOperations() as recorded:
        trainer.run_training()
    assert "convolution_backward" in recorded.names
    assert recorded.names - operations_on("MPS") == set()
