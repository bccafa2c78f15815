"""Text of anybody's in one line, as errors and names may have several."""

from __future__ import annotations


def one_line(text: object) -> str:
    """The text without line breaks and other characters that can't be seen."""
    return " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())


def last_line(error: Exception) -> str:
    """What an error says in the end; SimpleITK's begin with the place in its code."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return one_line(lines[-1])


def with_kind(error: Exception) -> str:
    """What an error says after its kind, as in ``KeyError: 'spacing'``."""
    return f"{type(error).__name__}: {one_line(error)}"
