"""What all commands share: whatever ends one, the user gets a line and a status, and nothing is left running."""

from __future__ import annotations

import io
import multiprocessing
import os
import signal
import sys
import textwrap
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from nnunetv2_focusnet.system.files import FULL_DISK
from nnunetv2_focusnet.system.origins import PACKAGE, frames_of, is_for_users
from nnunetv2_focusnet.system.text import one_line

TRACEBACK = "NNUNETV2_FOCUSNET_TRACEBACK"
BROKEN_PIPE = 128 + 13  # as of a command that SIGPIPE ended
LONGEST_END_SECONDS = 10.0
_handled: set[int] = set()  # signals of this process


class Stopped(KeyboardInterrupt):
    """A signal asked the command to end, which is handled as Ctrl-C is."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


@contextmanager
def as_command(name: str, when_stopped: str = "nothing unfinished is left") -> Iterator[None]:
    """Run the block, or the decorated ``main``, as a command.

    What was raised becomes a line ``NAME: MESSAGE`` on stderr and a status: 1 for errors, 128 + number for signals.
    SIGTERM and SIGHUP, by which batch systems and closed terminals end a command, are handled as Ctrl-C is. A reader
    who has seen enough, such as ``head``, is no fault and gets no line.

    Args:
        name: of the command.
        when_stopped: what the user who stopped it has to know.

    Raises:
        SystemExit: the command failed or was stopped, or the block raised it.
    """
    _let_any_name_be_printed()
    status: str | int | None = None
    try:
        with _signals_as_interrupts(f"{name}: {{}}; {when_stopped}"):
            yield
    except SystemExit as end:
        status = end.code or 0
    except KeyboardInterrupt as interrupt:
        number = interrupt.number if isinstance(interrupt, Stopped) else signal.SIGINT
        print(f"{name}: {_cause(number)}; {when_stopped}", file=sys.stderr)
        status = 128 + number
    except BrokenPipeError:
        status = BROKEN_PIPE
    except Exception as error:
        if os.environ.get(TRACEBACK) == "1":
            traceback.print_exception(error)
        status = f"{name}: {_explain(error)}"
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        # Python would try to write the rest once more on its way out.
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            status = status or f"{name}: {_explain(error)}"
        status = status or BROKEN_PIPE
    if status is not None:
        sys.exit(status)


def check_num_processes(given: int) -> int:
    """What was given for ``-np``.

    Raises:
        ValueError: it is no number of processes.
    """
    if given < 1:
        raise ValueError(f"-np must be 1 or more, got {given}")
    return given


def exit_with(name: str, faults: Sequence[str]) -> None:
    """End a command with a line for each of its faults, unless there is none.

    Raises:
        SystemExit: there are faults; the status is 1.
    """
    if faults:
        sys.exit("\n".join(f"{name}: {' '.join(fault.split())}" for fault in faults))


def _explain(error: Exception) -> str:
    text = one_line(error)
    if is_for_users(error):
        return text
    if isinstance(error, OSError):
        reason = error.strerror or text
        if error.errno in FULL_DISK:  # files that this package writes are named
            return f"{error.filename or 'standard output'} can't be written ({reason}): {FULL_DISK[error.errno]}"
        return f"{error.filename}: {reason}" if error.filename is not None else reason
    detail = textwrap.shorten(text, 300) or "no details"
    # PyTorch's own kinds of errors are told by their words, as loading it takes seconds.
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "can't allocate memory" in text):
        return f"memory ran out ({detail}): end other programs, or use a smaller -np"
    if isinstance(error, RuntimeError) and "out of memory" in text:
        return (
            f"a GPU's memory ran out ({detail}): end other programs that use it, plan for less with -gpu_memory_target,"
            " or predict with -device cpu"
        )
    kind = type(error).__name__
    return f"unexpected {kind} in {_place(error)} ({detail}): please report it with what {TRACEBACK}=1 shows"


def _place(error: Exception) -> str:
    """The line of this package at which the error came up."""
    frames = frames_of(error)
    frame = [each for each in frames if PACKAGE in Path(each.filename).parents or each is frames[0]][-1]
    return f"{Path(frame.filename).name}, line {frame.lineno}"


def _cause(number: int) -> str:
    return f"stopped by {'Ctrl-C' if number == signal.SIGINT else signal.Signals(number).name}"


@contextmanager
def _signals_as_interrupts(last_words: str) -> Iterator[None]:
    """Let SIGINT, SIGTERM and SIGHUP raise, unless they are handled or ignored (nohup) already.

    Args:
        last_words: with room for the cause; for a command that doesn't come to its end by itself.
    """
    command = os.getpid()
    ended = threading.Event()

    def stop(number: int, _: FrameType | None) -> None:
        if os.getpid() == command:
            arguments = (ended, number, last_words.format(_cause(number)))
            threading.Thread(target=_end_if_it_hangs, args=arguments, daemon=True).start()
            raise Stopped(number)
        # A process that somebody's pool has forked, and ends in this way when its work is done.
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    in_main_thread = threading.current_thread() is threading.main_thread()  # no other may set handlers
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    unhandled = (signal.SIG_DFL, signal.default_int_handler)
    ours = [number for number, handler in before.items() if in_main_thread and handler in unhandled]
    for number in ours:
        signal.signal(number, stop)
    _handled.update(ours)
    try:
        yield
    finally:
        ended.set()
        _handled.difference_update(ours)
        for number in ours:
            signal.signal(number, before[number])


def _let_signals_end_a_fork() -> None:
    """Without waiting for Python to run a handler, which it can't do in a worker that waits for a pool's lock."""
    for number in _handled:
        signal.signal(number, signal.SIG_DFL)


os.register_at_fork(after_in_child=_let_signals_end_a_fork)


def _end_if_it_hangs(ended: threading.Event, number: int, last_words: str) -> None:
    """Where a whole group of processes gets a signal, as from Slurm, a pool of Python's may wait for dead workers."""
    if not ended.wait(LONGEST_END_SECONDS):
        for child in multiprocessing.active_children():
            child.kill()
        print(f"{last_words}; hidden leftovers may stay", file=sys.stderr, flush=True)
        os._exit(128 + number)


def _let_any_name_be_printed() -> None:
    """Not every terminal has all characters, and not every file name is valid text."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
