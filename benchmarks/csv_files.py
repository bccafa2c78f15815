"""The benchmarks' tables as CSV."""

import csv
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any


def write_csv(file: Path | None, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a table to a file, or without one to the standard output.

    Args:
        file: new, or written over.
        rows: the first one has all columns; what others lack stays empty.
    """
    # Not pandas: it makes 4.0 of a 4 in a column with gaps, and one text of gaps and NaN.
    with file.open("w", newline="", encoding="utf-8") if file else nullcontext(sys.stdout) as opened:
        writer = csv.DictWriter(opened, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
