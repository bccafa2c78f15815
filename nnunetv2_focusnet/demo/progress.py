"""One line per epoch out of nnU-Net's many."""

from __future__ import annotations

import re
from collections.abc import Callable

_FIELDS = {
    "epoch": re.compile(r"Epoch (\d+)\s*$"),
    "loss": re.compile(r"train_loss (\S+)"),
    "error": re.compile(r"(localisation error: .+)"),
}
_END = re.compile(r"Epoch time: ")


class EpochProgress:
    """Takes the lines of a training log one by one and prints once per epoch how far it is.

    Args:
        name: of the model.
        num_epochs: how many there will be.
        clock: the time to put in front.
    """

    def __init__(self, name: str, num_epochs: int, clock: Callable[[], str]) -> None:
        self.name, self.num_epochs, self.clock = name, num_epochs, clock
        self.seen: dict[str, str] = {}

    def __call__(self, line: str) -> None:
        """Take one line of the log."""
        for field, pattern in _FIELDS.items():
            if match := pattern.search(line):
                self.seen[field] = match[1].strip()
        if _END.search(line) and "epoch" in self.seen:
            print(self._line())
            self.seen = {}

    def _line(self) -> str:
        text = f"[{self.clock()}] {self.name}: epoch {int(self.seen['epoch']) + 1} of {self.num_epochs}"
        if "loss" in self.seen:
            text += f", loss {self.seen['loss']}"
        if "error" in self.seen:
            text += f", {self.seen['error']}"
        return text
