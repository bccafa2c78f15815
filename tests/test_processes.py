"""Work spread over processes."""

import os

import pytest

from nnunetv2_focusnet.processes import map_in_processes


def test_results_come_in_the_order_of_the_items() -> None:
    assert list(map_in_processes(abs, [-3, 2, -1], num_processes=2)) == [3, 2, 1]


@pytest.mark.parametrize(("items", "num_processes"), [([0], 4), ([0, 1], 1)])
def test_what_one_process_can_do_is_done_here(items: list[int], num_processes: int) -> None:
    # No other process could be handed a lambda.
    assert set(map_in_processes(lambda _: os.getpid(), items, num_processes)) == {os.getpid()}


def test_an_error_reaches_the_caller() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        list(map_in_processes(int, ["4", "four"], num_processes=2))
