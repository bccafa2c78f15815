"""Templates of the written results: the report, and the tables for papers."""

from __future__ import annotations

from typing import Any

from nnunetv2_focusnet.compare.markup import latex_cell, markdown_cell
from nnunetv2_focusnet.system.templates import templates_of

_TEMPLATES = templates_of("nnunetv2_focusnet.compare", "templates")
_TEMPLATES.filters |= {"markdown_cell": markdown_cell, "latex_cell": latex_cell}


def render(template: str, **values: Any) -> str:
    """A template of this package's folder ``compare/templates``, filled in."""
    return _TEMPLATES.get_template(template).render(values)
