"""Scripts and commands in processes of their own, and what becomes of the processes that they start."""

import contextlib
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

SECONDS = 60.0


def start(*command: str, **environment: str) -> "subprocess.Popen[str]":
    """Start Python with these arguments in a process group of its own, which heeds all signals."""
    return subprocess.Popen(
        [sys.executable, *command],
        env=os.environ | {"PYTHONUNBUFFERED": "1"} | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=_heed_signals,
    )


def _heed_signals() -> None:
    """Shells without job control hand SIGINT down ignored, nohup SIGHUP, and Python keeps them so."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Call a condition until it holds."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"waited for {SECONDS:g} s: {what}"
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    """Whether a process runs; one that has ended but whose parent hasn't looked (a zombie) doesn't."""
    return pid in (row[0] for row in _running())


def group_of(process: "subprocess.Popen[str]") -> list[int]:
    """The processes of its group that run."""
    return [pid for pid, group in _running() if group == process.pid]


def _running() -> list[tuple[int, int]]:
    """Process and group of all that run."""
    listed = subprocess.run(["ps", "-A", "-o", "pid=,pgid=,stat="], capture_output=True, text=True, check=True)
    rows = [line.split() for line in listed.stdout.splitlines()]
    return [(int(pid), int(group)) for pid, group, state in rows if state[0] != "Z"]


@contextlib.contextmanager
def ended(process: "subprocess.Popen[str]") -> Iterator["subprocess.Popen[str]"]:
    """Leave nothing of it to other tests."""
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def stopped(number: int, first_line: str, *command: str) -> tuple[str, str, int]:
    """Send Python a signal once it has printed a line.

    Returns:
        What it then writes to stdout and to stderr, and its status.
    """
    with ended(start(*command)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == first_line
        process.send_signal(number)
        out, err = process.communicate(timeout=SECONDS)
    return out, err, process.returncode


@contextlib.contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file can grow beyond so many bytes, as on a disk that is nearly full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def files_below(folder: Path) -> list[str]:
    """All of them, hidden ones, too."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))
