"""Metrics of all cases as a table, a row per case, organ and model, from which all else is made."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields

import numpy as np
import pandas as pd

from nnunetv2_focusnet.compare.cases import Row
from nnunetv2_focusnet.compare.metrics import OrganMetrics

NAMES = ("case", "organ", "model")
MEASURED = (*(field.name for field in fields(OrganMetrics)), "volume_error_ml", "missed", "false_positive")


def as_table(rows: Iterable[Row]) -> pd.DataFrame:
    """A table with the columns of metrics.csv: the names, the fields of the metrics, and what follows from these."""
    rows = list(rows)
    metrics = [row.metrics for row in rows]
    table = pd.DataFrame(
        {name: [getattr(row, name) for row in rows] for name in NAMES}
        | {name: [getattr(each, name) for each in metrics] for name in MEASURED}
    )
    # Names of files needn't be valid text, which pandas' own strings have to be.
    return table.astype(dict.fromkeys(NAMES, object))


def finite(values: pd.Series) -> pd.Series:
    """The values with NaN, which pandas leaves out, in the place of the infinite ones."""
    return values.where(np.isfinite(values))
