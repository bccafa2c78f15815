"""Cells of tables as Markdown and LaTeX, in which names come out as they are, whatever characters they have."""

from __future__ import annotations

import re
from typing import NamedTuple

from nnunetv2_focusnet.system.templates import markdown_text
from nnunetv2_focusnet.system.text import one_line

_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "`": r"\textasciigrave{}",
    "<": r"\textless{}",  # without an encoding of fonts, < > | are printed as other characters
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    **{character: rf"\{character}" for character in "&%$#_{}"},
    **{character: f"{{{character}}}" for character in "[*"},  # at the start of a row they belong to the \\ before it
}
_LATEX_SPECIAL = re.compile("|".join([*map(re.escape, _LATEX), "-(?=-)"]))


class Cell(NamedTuple):
    """A cell of a table.

    Attributes:
        text: plain text.
        best: it is the best of its row.
    """

    text: str
    best: bool = False


def markdown_cell(cell: Cell) -> str:
    """A cell of a table as Markdown, the best in bold."""
    text = markdown_text(cell.text)
    return f"**{text}**" if cell.best else text


def latex_text(text: str) -> str:
    """Plain text as LaTeX that shows it."""
    return _LATEX_SPECIAL.sub(lambda found: _LATEX.get(found.group(), "-{}"), one_line(text))


def latex_cell(cell: Cell) -> str:
    """A cell of a tabular, the best in bold."""
    text = latex_text(cell.text)
    return rf"\textbf{{{text}}}" if cell.best else text
