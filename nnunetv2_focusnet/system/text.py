"""Text of anybody's in one line, as errors and names may have several; rows of text as a table."""

from __future__ import annotations

from collections.abc import Sequence


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


def in_columns(rows: Sequence[Sequence[str]], align: str = "<") -> str:
    """Lines of cells in columns that are two spaces apart.

    Args:
        rows: of equally many cells.
        align: all columns but the first, to the left ("<") or to the right (">").
    """
    first, *others = (max(map(len, column)) for column in zip(*rows, strict=True))
    lines = (
        [f"{cells[0]:<{first}}", *(f"{cell:{align}{width}}" for cell, width in zip(cells[1:], others, strict=True))]
        for cells in rows
    )
    return "\n".join("  ".join(line).rstrip() for line in lines)
