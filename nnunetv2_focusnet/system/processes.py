"""Processes that never outlive the one that started them. This module imports no torch, as each worker imports it."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import InvalidStateError, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

# A process of its own that ends a group of others as soon as nobody holds the other end of its input.
_GUARD = """
import os, signal, sys
sys.stdin.read()
os.killpg(int(sys.argv[1]), signal.SIGKILL)
"""


class ProcessDiedError(RuntimeError):
    """A process was killed from outside."""


def map_in_processes(
    function: Callable[[Item], Result], items: Sequence[Item], num_processes: int, *, apart: bool = False
) -> Generator[Result, None, None]:
    """Yield the results in the order of ``items``, from as many processes; with one, from this one.

    The processes end at once where an error, an interrupt or ``close`` ends the iteration, and where this process is
    killed.

    Args:
        function: of one item.
        items: what it is called with.
        num_processes: at most.
        apart: even one process is another than this one: where a call of a library takes minutes, this process couldn't
            be interrupted meanwhile.

    Raises:
        ProcessDiedError: a process died, of which memory is the usual cause.
    """
    workers = min(num_processes, len(items))
    if workers <= (0 if apart else 1):
        yield from map(function, items)
        return
    # Spawned, as nnU-Net's own are: a forked process may inherit a lock that one of torch's threads holds.
    context = multiprocessing.get_context("spawn")
    with (
        _quiet_about_cancelled_items(),
        ProcessPoolExecutor(workers, mp_context=context, initializer=_end_with_parent) as pool,
    ):
        others = multiprocessing.active_children()
        try:
            with _signals_held_back():
                results = pool.map(function, items)
            yield from results
        except BaseException as error:  # an interrupt or close(), too
            for process in multiprocessing.active_children():
                if process not in others:
                    process.kill()
            if isinstance(error, BrokenProcessPool):
                raise ProcessDiedError(
                    f"one of {workers} processes died, probably because memory ran out: use fewer, "
                    "with -np or nnUNet_def_n_proc"
                ) from None
            raise


@contextmanager
def _quiet_about_cancelled_items() -> Iterator[None]:
    """Python's pool, when its workers are killed, fails on items that were cancelled, in a thread that prints it."""
    before = threading.excepthook

    def ours(arguments: threading.ExceptHookArgs) -> None:
        if arguments.exc_type is not InvalidStateError:
            before(arguments)

    threading.excepthook = ours
    try:
        yield
    finally:
        threading.excepthook = before


@contextmanager
def _signals_held_back() -> Iterator[None]:
    """Workers started here never get to see these signals: the parent decides, also while they are still starting."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end_with_parent() -> None:
    threading.Thread(target=_wait_for_end_of_parent, daemon=True).start()


def _wait_for_end_of_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)


@contextmanager
def process_group(command: Sequence[str], **options: Any) -> Iterator["subprocess.Popen[str]"]:
    """Start a command; it and all that it started end with the block, and where this process is killed.

    Args:
        command: program and arguments.
        options: for :class:`subprocess.Popen`.
    """
    process = subprocess.Popen(command, start_new_session=True, **options)
    guard = None
    try:
        watch = [sys.executable, "-I", "-S", "-c", _GUARD, str(process.pid)]
        guard = subprocess.Popen(watch, stdin=subprocess.PIPE, start_new_session=True)
        yield process
    finally:
        _end_group(process)
        if guard is not None:
            guard.kill()
            guard.communicate()


def _end_group(process: "subprocess.Popen[str]") -> None:
    """End what is still running of a process and its workers; nothing happens where all have ended."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGTERM)
        for _ in range(50):
            process.poll()  # an ended process counts as one of its group until its status is fetched
            os.killpg(process.pid, 0)
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
