"""Templates of what is written, and names in Markdown that come out as they are, whatever characters they have."""

from __future__ import annotations

import re

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from nnunetv2_focusnet.system.text import one_line

# What Markdown's dialects (CommonMark, GitHub's, Pandoc's) read as markup in a line. Underscores within a word aren't,
# so that Lens_L stays readable in the source.
_MARKDOWN = re.compile(r"[\\`*\[\]|~$^]|<(?=[A-Za-z/!?])|&(?=[#A-Za-z])|(?<![^\W_])_|_(?![^\W_])")


def markdown_text(text: object) -> str:
    """Plain text as Markdown that shows it, in a line or in a cell of a table."""
    return _MARKDOWN.sub(r"\\\g<0>", one_line(text))


def templates_of(package: str, folder: str) -> Environment:
    """Templates of a package's folder: ``| markdown`` is :func:`markdown_text`, HTML escapes all that is put into it.

    A name that a template isn't given is an error.
    """
    templates = Environment(
        loader=PackageLoader(package, folder),
        autoescape=select_autoescape(),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    templates.filters["markdown"] = markdown_text
    return templates
