"""What lies in a folder and below it.

Python's glob passes over folders that it may not read, and over linked ones. Passed over here are hidden files and
folders: macOS puts ``._NAME`` beside each file on disks that aren't its own, and a folder of such files into archives.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path


@dataclass(frozen=True)
class Listing:
    """All that lies below a folder and isn't hidden, linked folders included.

    Attributes:
        content: each folder to what lies in it, sorted. A link back to a folder on the way to it holds nothing new, and
            is listed as empty.
        unreadable: each folder whose content isn't known to the reason, in words of the operating system.
    """

    content: Mapping[Path, Sequence[Path]]
    unreadable: Mapping[Path, str]

    @property
    def files(self) -> list[Path]:
        """Whatever is no folder, links to nowhere included, which stand for a file that is missing."""
        folders = self.content.keys() | self.unreadable.keys()
        return sorted(path for paths in self.content.values() for path in paths if path not in folders)

    def matching(self, pattern: str) -> list[Path]:
        """Files and folders by their names, sorted."""
        return sorted(path for paths in self.content.values() for path in paths if fnmatchcase(path.name, pattern))

    def files_with_ending(self, folder: Path, ending: str, prefix: str = "") -> list[Path]:
        """Files ``PREFIX NAME ENDING`` of a folder, sorted; none if it isn't in the listing, or can't be read."""
        return _named(self.content.get(folder, ()), ending, prefix)

    def problems(self, folder: Path | None = None) -> list[str]:
        """A line for each folder that can't be read: all, or those among a folder and what lies below it."""
        return [
            _problem(path, reason)
            for path, reason in self.unreadable.items()
            if folder is None or path.is_relative_to(folder)
        ]


def list_below(folder: Path) -> Listing:
    """List a folder and its subfolders. Those that can't be read are in the listing, too."""
    content: dict[Path, list[Path]] = {}
    unreadable: dict[Path, str] = {}
    pending: list[tuple[Path, frozenset[tuple[int, int]]]] = [(folder, frozenset())]
    while pending:
        path, above = pending.pop()
        try:
            status = path.stat()
            identity = (status.st_dev, status.st_ino)
            if identity in above:
                content[path] = []
                continue
            found = sorted((Path(entry), _is_folder(entry)) for entry in _entries(path))
        except OSError as error:
            unreadable[path] = _reason(error)
            continue
        content[path] = [each for each, _ in found]
        pending += [(each, above | {identity}) for each, is_folder in found if is_folder]
    return Listing(dict(sorted(content.items())), dict(sorted(unreadable.items())))


def list_folder(folder: Path) -> list[Path]:
    """What lies in a folder and isn't hidden, sorted; nothing lies in one that doesn't exist, or in a file.

    Raises:
        ValueError: the folder can't be listed.
    """
    try:
        return sorted(Path(entry) for entry in _entries(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise ValueError(_problem(folder, _reason(error))) from None


def files_with_ending(folder: Path, ending: str, prefix: str = "") -> list[Path]:
    """Files ``PREFIX NAME ENDING`` of a folder, sorted.

    Raises:
        ValueError: the folder can't be listed.
    """
    return _named(list_folder(folder), ending, prefix)


def folder_from_environment(variable: str) -> Path:
    """One of nnU-Net's folders.

    Raises:
        ValueError: the variable is not set.
    """
    folder = os.environ.get(variable)
    if not folder:
        raise ValueError(f"{variable} is not set: set it to nnU-Net's folder of that name")
    return Path(folder)


def _named(paths: Sequence[Path], ending: str, prefix: str) -> list[Path]:
    return [path for path in paths if path.name.startswith(prefix) and path.name.endswith(ending)]


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return [entry for entry in entries if not entry.name.startswith(".") and entry.name != "__MACOSX"]


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


def _problem(folder: Path, reason: str) -> str:
    return f"{folder} can't be listed ({reason}): change its permissions, or move it away"


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, or to where nobody may look: opened, it says so
        return False
