"""All that a comparison found, in the order in which it is reported."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

from nnunetv2_focusnet.compare import statistics
from nnunetv2_focusnet.compare.cases import Row
from nnunetv2_focusnet.organs.plans import SMALL_ORGAN_VOXELS


@dataclass(frozen=True)
class Results:
    """Rows of all cases, and what the tables and plots group them by.

    Attributes:
        rows: one per case, organ and model.
        models: in the order of the command line; the first is the baseline.
        large: large organs, in the order of their labels.
        small: small organs, likewise.
        tolerances: one line on the tolerance of the NSD.
        messages: what was wrong with cases and pictures that are left out.
    """

    rows: tuple[Row, ...]
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
    def summaries(self) -> dict[tuple[str, str, str], statistics.Summary]:
        """By organ, model and metric."""
        return {
            (organ, model, metric): statistics.summarise(self.rows, organ, model, metric)
            for organ in self.organs
            for model in self.models
            for metric in statistics.SUMMARISED
        }

    @cached_property
    def comparisons(self) -> dict[tuple[str, str], list[statistics.PairedComparison]]:
        """Each model but the first against the first, by model and metric."""
        return {
            (model, metric): statistics.compare_models(self.rows, self.organs, self.models[0], model, metric)
            for model in self.models[1:]
            for metric in statistics.METRICS
        }

    def group_summary(self, group: str, model: str, metric: str) -> statistics.GroupSummary:
        """Mean over the organs of a group of their means over cases, and what these lack."""
        return statistics.summarise_group([self.summaries[organ, model, metric] for organ in self.groups[group]])

    def over_same_cases(self, organ: str, metric: str) -> bool:
        """Whether the means of all models are over the same cases."""
        return len({statistics.finite_cases(self.rows, organ, model, metric) for model in self.models}) == 1


def split_by_size(
    rows: Sequence[Row], organs: Sequence[str], named_small: Collection[str] | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Large and small organs that occur in the rows; small are the named ones, else those below 1000 voxels (mean)."""
    large: list[str] = []
    small: list[str] = []
    for organ in organs:
        sizes = [row.metrics.reference_voxels for row in rows if row.organ == organ and row.metrics.reference_voxels]
        if not any(row.organ == organ for row in rows):
            continue
        measured_small = bool(sizes) and sum(sizes) / len(sizes) < SMALL_ORGAN_VOXELS
        is_small = measured_small if named_small is None else organ in named_small
        (small if is_small else large).append(organ)
    return tuple(large), tuple(small)
