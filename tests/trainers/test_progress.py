"""How often progress.png is drawn."""

import gc

import pytest

from nnunetv2_focusnet.trainers.host import curves
from nnunetv2_focusnet.trainers.progress import StageLogger
from nnunetv2_focusnet.trainers.schedule import Stage


def test_progress_is_drawn_less_often_the_more_epochs_there_are_and_in_the_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn: list[int] = []
    monkeypatch.setattr(gc, "collect", lambda: 0)  # takes longer than all the rest
    monkeypatch.setattr(StageLogger, "_plot_progress", lambda self, folder: drawn.append(len(curves(self)["stage"])))
    logger = StageLogger([], [])
    logger.schedule = [Stage("joint", ("main",), 1e-3, 0, 1000)]
    for _ in range(1000):
        curves(logger)["stage"].append("joint")
        logger.plot_progress_png("folder")
    assert drawn[:99] == [*range(1, 100)]
    assert [epoch for epoch in drawn if 99 < epoch < 210] == [*range(100, 200, 2), 201, 204, 207]
    assert drawn[-3:] == [980, 990, 1000]
