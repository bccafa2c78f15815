"""A self-contained HTML report of sortable tables, plots and overlays, readable offline, on a phone and printed."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from pathlib import Path

from nnunetv2_focusnet.compare.markup import Cell, Table
from nnunetv2_focusnet.compare.results import Results
from nnunetv2_focusnet.compare.statistics import METRICS, SUMMARISED
from nnunetv2_focusnet.compare.tables import caption, details_table, paired_table, summary_table
from nnunetv2_focusnet.system.files import write_text


def write_report(results: Results, pictures: dict[str, list[tuple[Path, str]]], path: Path, published: bool) -> None:
    """Write the report.

    Args:
        results: what was found.
        pictures: PNG files with alternative texts, by section.
        path: HTML file to write.
        published: show the columns of published methods.
    """
    parts = [f"<p>{escape(caption(results))}</p>"]
    if results.messages:
        items = "".join(f"<li>{escape(message)}</li>" for message in results.messages)
        parts.append(f'<section class="warning"><h2>Left out</h2><ul>{items}</ul></section>')
    for metric, title in METRICS.items():
        parts.append(_section(title, _table(summary_table(results, metric, published), len(results.groups))))
    for model, metric in results.comparisons:
        title = f"{model} minus {results.models[0]}: {METRICS[metric]}"
        parts.append(_section(title, _table(paired_table(results, model, metric))))
    for title, shown in pictures.items():
        parts.append(_section(title, "".join(_figure(picture, text) for picture, text in shown)))
    for metric, title in SUMMARISED.items():
        details = _table(details_table(results, metric))
        parts.append(f"<details><summary>{escape(title)} in detail</summary>{details}</details>")
    resources = files("nnunetv2_focusnet.compare") / "report_page"
    page = (resources / "page.html").read_text(encoding="utf-8")
    for name, content in {
        "title": escape(f"Comparison of {', '.join(results.models)}"),
        "style": (resources / "style.css").read_text(encoding="utf-8"),
        "script": (resources / "sort.js").read_text(encoding="utf-8"),
        "content": "\n".join(parts),
    }.items():
        page = page.replace(f"<!-- {name} -->", content)
    write_text(path, page)


def _section(title: str, content: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{content}</section>"


def _table(table: Table, footer_rows: int = 0) -> str:
    header, *body = table
    split = len(body) - footer_rows
    head = "".join(f'<th scope="col" aria-sort="none"><button>{escape(cell.text)}</button></th>' for cell in header)
    rows, footer = ("".join(_row(cells) for cells in part) for part in (body[:split], body[split:]))
    foot = f"<tfoot>{footer}</tfoot>" if footer else ""
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="table">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody>{foot}</table></div>"
    )


def _row(cells: Sequence[Cell]) -> str:
    first, *others = cells
    data = "".join(f"<td>{_best(cell) if cell.best else escape(cell.text)}</td>" for cell in others)
    return f'<tr><th scope="row">{escape(first.text)}</th>{data}</tr>'


def _best(cell: Cell) -> str:
    return f"<strong>{escape(cell.text)}</strong>"


def _figure(picture: Path, text: str) -> str:
    data = base64.b64encode(picture.read_bytes()).decode()
    return (
        f'<figure><img src="data:image/png;base64,{data}" alt="{escape(text)}">'
        f"<figcaption>{escape(text)}</figcaption></figure>"
    )
