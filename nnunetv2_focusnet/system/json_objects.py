"""Dataclasses as JSON objects that have all of their fields, and no other."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")


def as_json(instance: DataclassInstance) -> dict[str, Any]:
    """Every field, defaults included, with lists for tuples as they are when read again."""
    return json.loads(json.dumps(asdict(instance)))


def from_json(of: type[T], content: Any) -> T:
    """What :func:`as_json` wrote, with tuples for lists again.

    Args:
        of: the dataclass; its fields that are dataclasses themselves must be instances by now.
        content: the JSON object.

    Raises:
        TypeError: it isn't an object, lacks a field, or has another key.
    """
    if not isinstance(content, dict):
        raise TypeError(f"{of.__name__} is no object but {content!r}")
    if different := {field.name for field in fields(of)} ^ content.keys():
        raise TypeError(f"{of.__name__}, missing or unknown: {', '.join(sorted(different))}")
    return of(**{name: _with_tuples(value) for name, value in content.items()})


def _with_tuples(value: Any) -> Any:
    return tuple(map(_with_tuples, value)) if isinstance(value, list) else value
