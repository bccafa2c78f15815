from itertools import pairwise

import pytest
import torch

from nnunetv2_focusnet.architectures.focusnet import PARTS
from nnunetv2_focusnet.trainers.schedule import Stage, StagedPolyLR, focusnet_schedule, resume_schedule, stage_at

EPOCHS = [*range(1, 21), 100, 250, 1000]


@pytest.mark.parametrize("num_epochs", EPOCHS)
def test_stages_follow_each_other_and_cover_all_epochs(num_epochs):
    schedule = focusnet_schedule(num_epochs, 0.01)
    assert schedule[0].start == 0
    assert schedule[-1].end == num_epochs
    assert all(stage.end == following.start for stage, following in pairwise(schedule))
    assert all(stage.end - stage.start >= 1 for stage in schedule)


@pytest.mark.parametrize("num_epochs", [n for n in EPOCHS if n >= 4])
def test_all_four_stages_in_the_paper_s_order(num_epochs):
    schedule = focusnet_schedule(num_epochs, 0.01)
    assert [stage.parts for stage in schedule] == [("main",), ("sol",), ("sos",), PARTS]
    assert [stage.name for stage in schedule] == ["S-Net", "SOL", "SOS", "joint"]


@pytest.mark.parametrize("num_epochs", [1, 2, 3])
def test_very_short_runs_train_all_parts_together(num_epochs):
    assert focusnet_schedule(num_epochs, 0.01) == [Stage("joint", PARTS, 0.01, 0, num_epochs)]


@pytest.mark.parametrize(
    ("num_epochs", "ends"),
    # one epoch each, and what is left in shares of 1/3, 1/6, 1/6, 1/3
    [(4, [1, 2, 3, 4]), (10, [3, 5, 7, 10]), (100, [33, 50, 67, 100]), (1000, [333, 500, 667, 1000])],
)
def test_shares_of_the_epochs(num_epochs, ends):
    assert [stage.end for stage in focusnet_schedule(num_epochs, 0.01)] == ends


@pytest.mark.parametrize("num_epochs", EPOCHS)
def test_rate_starts_at_the_initial_one_and_falls_within_each_stage(num_epochs):
    for stage in focusnet_schedule(num_epochs, 0.01):
        rates = [stage.learning_rate(epoch) for epoch in range(stage.start, stage.end)]
        assert rates[0] == stage.initial_lr
        assert all(a > b for a, b in pairwise(rates))
        assert rates[-1] > 0


def test_joint_training_is_fine_tuning():
    assert [stage.initial_lr for stage in focusnet_schedule(100, 0.01)] == pytest.approx([0.01, 0.01, 0.01, 0.01 / 3])


def test_poly_schedule_by_hand():
    stage = Stage("SOL", ("sol",), 0.01, 10, 20)
    assert stage.learning_rate(15) == pytest.approx(0.01 * 0.5**0.9)
    assert stage.learning_rate(20) == 0


def test_stage_at_the_borders():
    first, second = schedule = [Stage("a", ("main",), 1.0, 0, 3), Stage("b", ("sol",), 1.0, 3, 5)]
    assert [stage_at(schedule, epoch) for epoch in range(7)] == [first, first, first, second, second, second, second]


def test_scheduler_sets_the_stage_s_rate_in_all_groups():
    a, b = torch.nn.Parameter(torch.zeros(1)), torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([{"params": [a]}, {"params": [b], "lr": 7.0}], lr=1.0)
    scheduler = StagedPolyLR(optimizer, focusnet_schedule(12, 0.1))  # ends at 4, 6, 8, 12
    half = 0.1 * 0.5**0.9
    for epoch, rate in [(0, 0.1), (2, half), (4, 0.1), (5, half), (6, 0.1), (8, 0.1 / 3)]:
        scheduler.step(epoch)
        assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([rate, rate])


def borders(schedule):
    return [(stage.name, stage.start, stage.end) for stage in schedule]


@pytest.mark.parametrize("epoch", range(13))
def test_the_same_number_of_epochs_changes_nothing_on_resuming(epoch):
    schedule = focusnet_schedule(12, 0.01)
    assert resume_schedule(schedule, schedule, epoch) == schedule


@pytest.mark.parametrize("epoch", [0, 3, 5, 8, 12])
def test_more_epochs_go_to_the_last_stage(epoch):
    schedule = resume_schedule(focusnet_schedule(12, 0.01), focusnet_schedule(1000, 0.01), epoch)
    assert borders(schedule) == [("S-Net", 0, 4), ("SOL", 4, 6), ("SOS", 6, 8), ("joint", 8, 1000)]


@pytest.mark.parametrize(
    ("epoch", "expected"),
    # 12 epochs were 4, 2, 2, 4. Of 8 epochs, 8 - epoch are left: an epoch each, and the others where the shares of what
    # 12 would have left add up to. At 2 these are 2, 2, 2, 4 of 10, so 2 more epochs lie at 0.4, 0.8, 1.2, 2.
    [
        (0, [("S-Net", 0, 2), ("SOL", 2, 4), ("SOS", 4, 6), ("joint", 6, 8)]),
        (2, [("S-Net", 0, 3), ("SOL", 3, 5), ("SOS", 5, 6), ("joint", 6, 8)]),
        (5, [("S-Net", 0, 4), ("SOL", 4, 6), ("SOS", 6, 7), ("joint", 7, 8)]),
        (6, [("S-Net", 0, 4), ("SOL", 4, 6), ("SOS", 6, 7), ("joint", 7, 8)]),
        (7, [("S-Net", 0, 4), ("SOL", 4, 6), ("SOS", 6, 7), ("joint", 7, 8)]),  # one epoch for two stages
        (8, [("S-Net", 0, 4), ("SOL", 4, 6), ("SOS", 6, 8), ("joint", 8, 12)]),  # nothing is left to do
        (11, [("S-Net", 0, 4), ("SOL", 4, 6), ("SOS", 6, 8), ("joint", 8, 12)]),
    ],
)
def test_fewer_epochs_are_shared_by_the_stages_that_are_left(epoch, expected):
    schedule = resume_schedule(focusnet_schedule(12, 0.01), focusnet_schedule(8, 0.01), epoch)
    assert borders(schedule) == expected


@pytest.mark.parametrize("before", [4, 5, 12, 100])
@pytest.mark.parametrize("after", [1, 3, 4, 6, 12, 40, 1000])
def test_no_stage_comes_again_whatever_the_number_of_epochs(before, after):
    order = ["S-Net", "SOL", "SOS", "joint"]
    saved = focusnet_schedule(before, 0.01)
    for epoch in range(1, before + 1):
        schedule = resume_schedule(saved, focusnet_schedule(after, 0.01), epoch)
        assert all(stage.end == following.start for stage, following in pairwise(schedule))
        assert all(stage.end > stage.start for stage in schedule)
        assert schedule[-1].name == "joint"
        if epoch < after:
            assert schedule[-1].end == after
            was = order.index(stage_at(saved, epoch - 1).name)
            assert order.index(stage_at(schedule, epoch).name) >= was
            # a stage that goes on keeps its start, so the optimiser's state isn't thrown away
            now = stage_at(schedule, epoch)
            assert now.start == epoch or now.start == saved[order.index(now.name)].start


def test_rates_are_those_of_today():
    schedule = resume_schedule(focusnet_schedule(12, 0.01), focusnet_schedule(12, 0.003), 5)
    assert [stage.initial_lr for stage in schedule] == pytest.approx([0.003, 0.003, 0.003, 0.001])


def test_stages_that_the_trainer_has_no_more_stay_as_they_were():
    saved = focusnet_schedule(12, 0.01)
    planned = [Stage("joint", PARTS, 0.02, 0, 20)]
    assert resume_schedule(saved, planned, 5) == [*saved[:3], Stage("joint", PARTS, 0.02, 8, 20)]
