"""Names come out as they are: read back by a Markdown parser, and as LaTeX that was written by hand."""

import re
from html import unescape

import pytest
from markdown_it import MarkdownIt

from nnunetv2_focusnet.compare.markup import Cell, latex_cell, latex_text
from nnunetv2_focusnet.compare.templates import render
from nnunetv2_focusnet.system.templates import markdown_text

NAMES = (
    *("Lens_L", "_x_", "a_b_c", "a&b", "&lt;", "50%_iso", "x#1", "C^2~", "~~q~~", "{q}", "back\\slash", "\\|", "p|q"),
    *("x<b>y", "a < b", "$5", "A$\\frac{$", "*bold*", "[l](u)", "`c`", "![i]", "Ösophagus", "視神経_R", "=1+1", "- -"),
)


def markdown_table(rows: list[list[Cell]]) -> str:
    """What a summary has below the title of its table."""
    return render("summary.md", caption="", tables=[("Title", rows)]).partition("## Title\n")[2].strip()


def table_cells(markdown: str) -> list[str]:
    html = MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(markdown)
    return [unescape(cell) for cell in re.findall(r"<t[hd]>(.*)</t[hd]>", html)]


def test_markdown_shows_names_as_they_are() -> None:
    rows = [[Cell("organ"), Cell("a|b")], *([Cell(name), Cell(name, best=True)] for name in NAMES)]
    expected = ["organ", "a|b"]
    for name in NAMES:
        expected += [name, f"<strong>{name}</strong>"]
    assert table_cells(markdown_table(rows)) == expected
    heading = MarkdownIt("commonmark").render(f"## {markdown_text('a_b* minus <i>: DSC')}")
    assert heading == "<h2>a_b* minus &lt;i&gt;: DSC</h2>\n"


def test_plain_names_stay_readable_in_markdown() -> None:
    assert markdown_text("Optic_Nerve_L, 0.50 ± 0.10 (1 missed)") == "Optic_Nerve_L, 0.50 ± 0.10 (1 missed)"
    assert markdown_text("$5") == r"\$5"  # GitHub's formulas, which the parser here doesn't know


@pytest.mark.parametrize(
    ("name", "latex"),
    [
        ("Lens_L", r"Lens\_L"),
        ("A&B", r"A\&B"),
        ("50#{}~^", r"50\#\{\}\textasciitilde{}\textasciicircum{}"),
        ("M$\\x", r"M\$\textbackslash{}x"),
        ("a<b>|c", r"a\textless{}b\textgreater{}\textbar{}c"),
        ("[GTV]*", r"{[}GTV]{*}"),
        ("a---b", "a-{}-{}-b"),
        ("1 ± 2 %", r"1 $\pm$ 2 \%"),
        ("line\nbreak\tand\x00more", "line break and more"),
    ],
)
def test_latex_by_hand(name: str, latex: str) -> None:
    assert latex_text(name) == latex


def test_bold_is_around_escaped_latex() -> None:
    assert latex_cell(Cell("1 & 2", best=True)) == r"\textbf{1 \& 2}"
    rows = [[Cell("a_b"), Cell("1 & 2", best=True)]]
    assert "\na\\_b & \\textbf{1 \\& 2} \\\\\n" in render("summary.tex", caption="", tables=[("", rows, {1})])


def test_line_breaks_do_not_break_tables() -> None:
    assert len(markdown_table([[Cell("a")], [Cell("two\nlines")]]).splitlines()) == 3
