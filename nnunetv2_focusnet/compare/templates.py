"""Templates of the written results: the report, whose text is escaped as HTML, and the tables for papers."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from nnunetv2_focusnet.compare.markup import latex_cell, markdown_cell, markdown_text

_ENVIRONMENT = Environment(
    loader=PackageLoader("nnunetv2_focusnet.compare"),
    autoescape=select_autoescape(),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
_ENVIRONMENT.filters |= {"markdown": markdown_text, "markdown_cell": markdown_cell, "latex_cell": latex_cell}


def render(template: str, **values: Any) -> str:
    """A template of this package's folder ``compare/templates``, filled in."""
    return _ENVIRONMENT.get_template(template).render(values)
