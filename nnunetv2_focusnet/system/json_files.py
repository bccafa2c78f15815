"""JSON from files, with an error in one line for whatever is wrong with the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def read_json(file: Path, remedy: str = "") -> Any:
    """What a JSON file holds.

    Args:
        file: in UTF-8, as the standard wants it.
        remedy: what to do if the file doesn't exist.

    Raises:
        ValueError: the file doesn't exist, can't be read, isn't JSON, or has an object with a key that is there twice,
            of which other readers silently keep the last.
    """
    twice: list[str] = []

    def keep_all(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        content: dict[str, Any] = {}
        for key, value in pairs:
            if key in content:
                twice.append(key)
            content[key] = value
        return content

    try:
        content = json.loads(file.read_text(encoding="utf-8"), object_pairs_hook=keep_all)
    except FileNotFoundError:
        raise ValueError(f"{file} doesn't exist" + (f": {remedy}" if remedy else "")) from None
    except OSError as error:
        raise ValueError(f"{file} can't be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file} isn't JSON ({error}): correct it") from None
    if twice:
        raise ValueError(f"{file} has the key {json.dumps(twice[0], ensure_ascii=False)} twice: keep one of the two")
    return content


def read_object(file: Path, remedy: str = "") -> dict[str, Any]:
    """The JSON object that a file holds.

    Args:
        file: as :func:`read_json`.
        remedy: as :func:`read_json`.

    Raises:
        ValueError: as :func:`read_json`, or the file holds something else than an object.
    """
    content = read_json(file, remedy)
    if not isinstance(content, dict):
        raise ValueError(f"{file} must hold a JSON object {{...}}: correct it")
    return content
