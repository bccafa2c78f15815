"""A folder that has its name only when it is complete."""

from __future__ import annotations

import errno
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock

from nnunetv2_focusnet.system.files import make_folder, naming

_UNFINISHED = ".unfinished"
_NO_LOCK = (OSError, NotImplementedError)  # another process has it, or the file system has no locks


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield a hidden folder that becomes ``path`` when the block is complete, and is removed where it isn't.

    Args:
        path: a folder that doesn't exist yet; those above it are made.

    Raises:
        FileExistsError: ``path`` exists.
        WriteError: the folder can't be made.
    """
    if path.exists():
        raise FileExistsError(errno.EEXIST, "exists already: delete it or name another", str(path))
    with hidden_folder(path) as unfinished:
        yield unfinished
        with naming(path):
            unfinished.rename(path)


@contextmanager
def hidden_folder(path: Path) -> Iterator[Path]:
    """Yield a hidden folder for what is to be at ``path`` once it is complete; what is left in it goes with the block.

    A killed process leaves its hidden folder behind. The next one that makes ``path`` removes it: a lock, which ends
    with the process that holds it, tells it from the folder of one that is still running.

    Args:
        path: folders above it are made.

    Raises:
        WriteError: the folder can't be made.
    """
    make_folder(path.parent)
    _remove_abandoned(path)
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}{_UNFINISHED}")
    lock = _lock_of(unfinished)
    try:
        with suppress(*_NO_LOCK):
            lock.acquire()
        with naming(path):
            unfinished.mkdir()
        yield unfinished
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
        _remove(lock)


def _remove_abandoned(path: Path) -> None:
    for other in path.parent.iterdir():
        if other.name.startswith(f".{path.name}.") and other.suffix == _UNFINISHED:
            lock = _lock_of(other)
            with suppress(*_NO_LOCK):
                lock.acquire(timeout=0)
                shutil.rmtree(other, ignore_errors=True)
                _remove(lock)


def _lock_of(unfinished: Path) -> FileLock:
    return FileLock(unfinished.with_suffix(".lock"))


def _remove(lock: FileLock) -> None:
    with suppress(OSError):
        lock.release()
        Path(lock.lock_file).unlink(missing_ok=True)
