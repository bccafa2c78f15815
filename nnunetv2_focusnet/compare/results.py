"""All that a comparison found, in the order in which it is reported."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from nnunetv2_focusnet.compare import statistics
from nnunetv2_focusnet.compare.measurements import finite
from nnunetv2_focusnet.organs.planning import SMALL_ORGAN_VOXELS


@dataclass(frozen=True)
class Results:
    """Measurements of all cases, and what the tables and plots group them by.

    Attributes:
        measurements: a row per case, organ and model (:func:`nnunetv2_focusnet.compare.measurements.as_table`).
        models: in the order of the command line; the first is the baseline.
        large: large organs, in the order of their labels.
        small: small organs, likewise.
        tolerances: one line on the tolerance of the NSD.
        messages: what was wrong with cases and pictures that are left out.
    """

    measurements: pd.DataFrame
    models: tuple[str, ...]
    large: tuple[str, ...]
    small: tuple[str, ...]
    tolerances: str
    messages: tuple[str, ...]

    @property
    def organs(self) -> tuple[str, ...]:
        """Large organs, then small ones, as in the paper's tables."""
        return (*self.large, *self.small)

    @property
    def groups(self) -> dict[str, tuple[str, ...]]:
        """Organs over which means are taken, by the group's name; groups without organs are left out."""
        groups = {"all organs": self.organs, "large organs": self.large, "small organs": self.small}
        return {name: organs for name, organs in groups.items() if organs}

    @cached_property
    def cases(self) -> tuple[str, ...]:
        """All cases that were compared, in order."""
        return tuple(self.measurements["case"].unique())

    @cached_property
    def summaries(self) -> dict[tuple[str, str, str], statistics.Summary]:
        """By organ, model and metric."""
        found = statistics.summarise(self.measurements)
        return {
            key: found.get(key, NOTHING)
            for organ in self.organs
            for model in self.models
            for metric in statistics.SUMMARISED
            for key in [(organ, model, metric)]
        }

    @cached_property
    def comparisons(self) -> dict[tuple[str, str], list[statistics.PairedComparison]]:
        """Each model but the first against the first, by model and metric."""
        return {
            (model, metric): statistics.compare_models(self.measurements, self.organs, self.models[0], model, metric)
            for model in self.models[1:]
            for metric in statistics.METRICS
        }

    def group_summary(self, group: str, model: str, metric: str) -> statistics.GroupSummary:
        """Mean over the organs of a group of their means over cases, and what these lack."""
        return statistics.summarise_group({o: self.summaries[o, model, metric] for o in self.groups[group]})

    def of(self, organ: str, model: str) -> pd.DataFrame:
        """Measurements of an organ by a model, by case; none if no case has the organ or a prediction of it."""
        return self._by_organ_and_model.get((organ, model), self.measurements.iloc[:0].set_index("case"))

    def over_same_cases(self, organ: str, metric: str) -> bool:
        """Whether the means of all models are over the same cases."""
        return len({frozenset(finite(self.of(organ, m)[metric]).dropna().index) for m in self.models}) == 1

    @cached_property
    def _by_organ_and_model(self) -> dict[tuple[str, str], pd.DataFrame]:
        return dict(list(self.measurements.set_index("case").groupby(["organ", "model"], sort=False)))


NOTHING = statistics.Summary(0, math.nan, math.nan, math.nan, 0, 0, math.nan, math.nan)


def split_by_size(
    measurements: pd.DataFrame, organs: Sequence[str], named_small: Collection[str] | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Large and small organs that were measured; small are the named ones, else those below 1000 voxels (mean)."""
    measured = set(measurements["organ"])
    sizes = measurements[measurements["reference_voxels"] > 0].groupby("organ")["reference_voxels"].mean()
    named_small = sizes.index[sizes < SMALL_ORGAN_VOXELS] if named_small is None else named_small
    large = tuple(organ for organ in organs if organ in measured and organ not in named_small)
    return large, tuple(organ for organ in organs if organ in measured and organ in named_small)
