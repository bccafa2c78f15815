"""Work spread over processes. This module imports no torch, which each of the spawned processes would import, too."""

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_in_processes(function: Callable[[Item], Result], items: Sequence[Item], num_processes: int) -> Iterator[Result]:
    """Yield the results in the order of ``items``, from as many processes; with one, from this one.

    Raises:
        BrokenProcessPool: a process died, of which memory is the usual cause.
    """
    workers = min(num_processes, len(items))
    if workers <= 1:
        yield from map(function, items)
        return
    # Spawned, as nnU-Net's own are: a forked process may inherit a lock that one of torch's threads holds.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_leave_interrupts_to_parent) as pool:
        yield from pool.map(function, items)


def _leave_interrupts_to_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
