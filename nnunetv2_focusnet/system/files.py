"""Writing that leaves nothing half done: a file has its name only when it is complete."""

from __future__ import annotations

import errno
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nnunetv2_focusnet.system.folders import list_folder
from nnunetv2_focusnet.system.text import one_line

FULL_DISK = dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "make room on that disk, then run it again")
_REMEDIES = {
    **FULL_DISK,
    errno.EFBIG: "raise the limit of a file's size (ulimit -f), then run it again",
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "name a place where you may write"),
    **dict.fromkeys((errno.EEXIST, errno.ENOTDIR), "a file is where a folder should be, name another folder"),
    errno.ENOTEMPTY: "somebody else has made it meanwhile, delete it or name another",
}


class WriteError(OSError):
    """A file or folder can't be written, for which no input is to blame; the message is complete."""

    @classmethod
    def at(cls, path: Path, error: OSError) -> WriteError:
        """What to tell of an error that came up while ``path`` was written."""
        reason = error.strerror or one_line(error)
        return cls(f"{path} can't be written ({reason}): {_REMEDIES.get(error.errno or 0, 'check that place')}")


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let errors say which file or folder was written: those of a full disk don't.

    Raises:
        WriteError: instead of an OSError of the block.
    """
    try:
        yield
    except WriteError:
        raise
    except OSError as error:
        raise WriteError.at(path, error) from None


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file in one piece; where that fails, or the process is killed, the file that was there stays.

    Raises:
        WriteError: it can't be written.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        with naming(path):
            temporary.write_bytes(content)
            temporary.replace(path)
    except BaseException:  # an interrupt, too
        with suppress(OSError):
            temporary.unlink()
        raise


def write_text(path: Path, content: str) -> None:
    """Write a text file in one piece, as UTF-8; bytes of a file name that aren't text are escaped.

    Raises:
        WriteError: it can't be written.
    """
    write_bytes(path, content.encode("utf-8", errors="backslashreplace"))


def make_folder(path: Path) -> None:
    """Make a folder and those above it, where they don't exist.

    Raises:
        WriteError: it can't be made.
    """
    with naming(path):
        path.mkdir(parents=True, exist_ok=True)


def is_unused(folder: Path) -> bool:
    """Whether nobody sees anything in a folder, or it doesn't exist; :func:`make_folder` refuses what is a file.

    Finder puts ``.DS_Store`` into folders that were looked at, and a killed process may have left what it was about to
    write.

    Raises:
        ValueError: the folder can't be listed.
    """
    return not list_folder(folder)
