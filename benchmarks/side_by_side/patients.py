"""From measurements to figures of patients: rows averaged over seeds, and two rows compared patient by patient."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from nnunetv2_focusnet.compare.measurements import finite
from side_by_side.runs import Model

FEWEST_FOR_INTERVAL = 5  # patients; of fewer, nobody can tell how their differences are distributed


@dataclass(frozen=True)
class Paired:
    """A row beside another one in the same organs of the same patients.

    Attributes:
        n: patients.
        theirs: mean over the patients of their means over organs.
        ours: likewise.
        interval: 95 % t interval over patients of the mean of ours - theirs; NaN below 5 patients.
    """

    n: int
    theirs: float
    ours: float
    interval: tuple[float, float]

    @property
    def difference(self) -> float:
        return self.ours - self.theirs

    @property
    def ratio(self) -> float:
        return self.ours / self.theirs if self.theirs else math.nan


@dataclass(frozen=True)
class Patients:
    """Measurements of all rows.

    Attributes:
        measurements: those of :class:`nnunetv2_focusnet.compare.results.Results` with the columns ``far_voxels``,
            ``row`` and ``seed``.
    """

    measurements: pd.DataFrame

    @classmethod
    def of(cls, measurements: pd.DataFrame, models: Iterable[Model]) -> "Patients":
        """Tell from the models' names of which row and seed they are."""
        known = {model.name: model for model in models}
        rows, seeds = ([getattr(known[name], what) for name in measurements["model"]] for what in ("row", "seed"))
        return cls(measurements.assign(row=rows, seed=seeds))

    def values(self, row: str, organs: Sequence[str], metric: str) -> pd.DataFrame:
        """Means over the seeds, (case, organ), of organs that the case has; NaN where no seed has a finite value."""
        chosen = self._of(row, organs)
        chosen = chosen[~chosen["false_positive"].astype(bool)]
        values = chosen.assign(value=finite(chosen[metric]))
        return values.pivot_table(index="case", columns="organ", values="value", aggfunc="mean", dropna=False)

    def mean(self, row: str, organs: Sequence[str], metric: str) -> float:
        """Mean over the patients of their means over the organs that were found."""
        return float(self.values(row, organs, metric).mean(axis=1).mean())

    def total(self, row: str, organs: Sequence[str], column: str) -> float:
        """Sum over organs and patients, mean over the seeds."""
        chosen = self._of(row, organs)
        return float(chosen[column].sum() / chosen["seed"].nunique()) if len(chosen) else math.nan

    def pair(self, row: str, other: str, organs: Sequence[str], metric: str) -> Paired:
        """A row beside another one, in those organs of each patient in which both have a value."""
        ours, theirs = (self.values(name, organs, metric) for name in (row, other))
        ours, theirs = ours.align(theirs, join="inner")
        both = ours.notna() & theirs.notna()
        of_patients = [values.where(both).mean(axis=1).dropna() for values in (ours, theirs)]
        differences = (of_patients[0] - of_patients[1]).to_numpy(dtype=float)
        means = [float(values.mean()) for values in of_patients]
        return Paired(len(differences), means[1], means[0], t_interval(differences))

    def missed_alone(self, row: str, other: str, organs: Sequence[str]) -> int:
        """Organs that a row misses and the other one finds with the same seed, in all patients and seeds together."""
        missed = [
            self._of(name, organs).set_index(["case", "organ", "seed"])["missed"].astype(bool) for name in (row, other)
        ]
        ours, theirs = missed[0].align(missed[1], join="inner")
        return int((ours & ~theirs).sum())

    def of_seed(self, seed: int) -> "Patients":
        return Patients(self.measurements[self.measurements["seed"] == seed])

    @property
    def seeds(self) -> list[int]:
        return sorted(set(self.measurements["seed"]))

    def _of(self, row: str, organs: Sequence[str]) -> pd.DataFrame:
        table = self.measurements
        return table[(table["row"] == row) & table["organ"].isin(organs)]


def t_interval(differences: np.ndarray) -> tuple[float, float]:
    """95 % interval of the mean; NaN below 5 differences.

    With a benchmark's few patients, a bootstrap interval excludes 0 more than twice as often as it ought to where
    nothing differs.
    """
    number = len(differences)
    if number < FEWEST_FOR_INTERVAL:
        return math.nan, math.nan
    mean = float(differences.mean())
    half = float(stats.t.ppf(0.975, number - 1) * differences.std(ddof=1) / math.sqrt(number))
    return mean - half, mean + half
