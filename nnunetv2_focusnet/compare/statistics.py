"""From metrics per case to what is reported: summaries per organ and model, and paired comparisons of two models."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from nnunetv2_focusnet.compare.measurements import finite

METRICS = {"dsc": "DSC", "hd95_mm": "HD95 (mm)", "nsd": "NSD"}  # in which models are compared
SUMMARISED = METRICS | {"volume_error_ml": "Volume error (ml)", "centroid_distance_mm": "Centroid distance (mm)"}
HIGHER_IS_BETTER = {"dsc": True, "hd95_mm": False, "nsd": True}
WITHOUT_MISSED = ("hd95_mm", "centroid_distance_mm")  # infinite where an organ was missed: means lack such cases
BOOTSTRAP_RESAMPLES = 2000
FEWEST_FOR_INTERVAL = 5  # cases; with fewer, bootstrap intervals of 95 % hold the true mean in only 50 to 80 %
MOST_FOR_EXACT = 50  # pairs; as SciPy takes its exact distribution where no two ranks are alike
TIE = 1e-6  # differences below this are rounding


@dataclass(frozen=True)
class Summary:
    """One metric of one organ by one model over the cases; infinite values are left out of all but ``missed``.

    Attributes:
        n: cases with a finite value.
        mean: over these.
        sd: standard deviation; NaN below 2 cases.
        median: over the same cases.
        missed: cases that have the organ without any prediction of it.
        false_positives: cases that don't have the organ but a prediction of it.
        q1: first quartile.
        q3: third quartile.
    """

    n: int
    mean: float
    sd: float
    median: float
    missed: int
    false_positives: int
    q1: float
    q3: float


@dataclass(frozen=True)
class GroupSummary:
    """One metric of several organs by one model: mean over organs of their means over cases.

    Attributes:
        mean: NaN if no organ has one.
        organs: those that have a mean.
        missed: cases of all organs in which one was missed.
        false_positives: likewise.
    """

    mean: float
    organs: tuple[str, ...]
    missed: int
    false_positives: int


@dataclass(frozen=True)
class PairedComparison:
    """A model against a baseline on the cases in which both have a finite value.

    Attributes:
        organ: name.
        n: such cases.
        left_out: cases in which only one or none of the two has one.
        missed_by_baseline: of the left out, those in which the baseline missed the organ.
        missed_by_model: likewise; in some cases both may have missed it.
        false_positives: of the left out, those that don't have the organ.
        mean_difference: model minus baseline.
        interval: 95 % bootstrap interval of the mean difference (bias-corrected and accelerated); NaN below 5 cases.
        p: two-sided Wilcoxon signed-rank test without ties, exact up to 50 cases; 1 where all tie, NaN below 2 cases.
        p_holm: corrected for the number of organs that have a p; NaN as p.
        effect_size: matched-pairs rank-biserial correlation, from -1 (model always below the baseline) to 1.
        wins: cases in which the model is better.
        ties: cases in which both are equal.
        losses: cases in which the baseline is better.
    """

    organ: str
    n: int
    left_out: int
    missed_by_baseline: int
    missed_by_model: int
    false_positives: int
    mean_difference: float
    interval: tuple[float, float]
    p: float
    p_holm: float
    effect_size: float
    wins: int
    ties: int
    losses: int

    def reasons(self, baseline: str, model: str) -> list[str]:
        """Why pairs are left out, with these names of the two; empty if none is."""
        missed = ((baseline, self.missed_by_baseline), (model, self.missed_by_model))
        reasons = [f"{number} missed by {name}" for name, number in missed if number]
        return reasons + [f"{self.false_positives} false positive"] * bool(self.false_positives)


def summarise(measurements: pd.DataFrame) -> dict[tuple[str, str, str], Summary]:
    """Summaries by organ, model and metric, where the model has measurements of the organ.

    Args:
        measurements: as :func:`nnunetv2_focusnet.compare.measurements.as_table` makes them.
    """
    names = ["organ", "model", "missed", "false_positive"]
    long = measurements.melt(names, list(SUMMARISED), var_name="metric")
    groups = long.assign(value=finite(long["value"])).groupby(["organ", "model", "metric"], sort=False)
    values = groups["value"]
    figures = values.agg(["count", "mean", "std", "median"]).assign(
        missed=groups["missed"].sum(),
        false_positives=groups["false_positive"].sum(),
        q1=values.quantile(0.25),
        q3=values.quantile(0.75),
    )
    return {key: Summary(*row) for key, row in zip(figures.index, figures.itertuples(index=False), strict=True)}


def summarise_group(summaries: Mapping[str, Summary]) -> GroupSummary:
    """Summary over the organs of a group, from theirs by name."""
    means = {organ: summary.mean for organ, summary in summaries.items() if summary.n}
    mean = sum(means.values()) / len(means) if means else math.nan
    missed, extra = (sum(getattr(s, name) for s in summaries.values()) for name in ("missed", "false_positives"))
    return GroupSummary(mean, tuple(means), missed, extra)


def pair(measurements: pd.DataFrame, baseline: str, model: str, metric: str) -> pd.DataFrame:
    """Cases of two models side by side, a row for each organ and case that either has measurements of.

    Returns:
        Index: organ and case, sorted. Columns: ``difference``, model minus baseline, NaN where one of the two has no
        finite value; ``missed_by_baseline``, ``missed_by_model`` and ``false_positive`` (by either).
    """
    by_model = measurements.set_index(["organ", "case"])[["model", metric, "missed", "false_positive"]]
    ours, theirs = (by_model[by_model["model"] == name].drop(columns="model") for name in (model, baseline))
    both = ours.merge(theirs, how="outer", left_index=True, right_index=True, suffixes=("_model", "_baseline"))
    difference = finite(both[f"{metric}_model"]) - finite(both[f"{metric}_baseline"])
    return pd.DataFrame(
        {
            "difference": difference.mask(difference.abs() < TIE, 0.0),
            # true, not what a model without such a row has
            "missed_by_baseline": both["missed_baseline"].eq(True),
            "missed_by_model": both["missed_model"].eq(True),
            "false_positive": both["false_positive_model"].eq(True) | both["false_positive_baseline"].eq(True),
        }
    ).sort_index()


def compare_models(
    measurements: pd.DataFrame, organs: Sequence[str], baseline: str, model: str, metric: str
) -> list[PairedComparison]:
    """Compare two models organ by organ; p-values of all organs are corrected together (Holm)."""
    pairs = pair(measurements, baseline, model, metric)
    by_organ = dict(list(pairs.groupby(level="organ")))
    cases = [by_organ.get(organ, pairs.iloc[:0]) for organ in organs]
    p_values = [wilcoxon_p(_differences(of_organ)) for of_organ in cases]
    return [
        _compare(organ, of_organ, p, p_holm, sign=1 if HIGHER_IS_BETTER[metric] else -1)
        for organ, of_organ, p, p_holm in zip(organs, cases, p_values, holm(p_values), strict=True)
    ]


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction; NaN (no test) stays NaN and doesn't count as a test."""
    tests = sorted((p, i) for i, p in enumerate(p_values) if not math.isnan(p))
    corrected = [math.nan] * len(p_values)
    largest = 0.0
    for rank, (p, i) in enumerate(tests):
        largest = max(largest, min(1.0, p * (len(tests) - rank)))
        corrected[i] = largest
    return corrected


def rank_biserial(differences: np.ndarray) -> float:
    """Matched-pairs rank-biserial correlation: share of the rank sum that is positive minus the share that isn't."""
    if len(differences) == 0:
        return math.nan
    ranks, positive = _signed_ranks(differences)
    return float(2 * ranks[positive].sum() / ranks.sum() - 1) if len(ranks) else 0.0


def wilcoxon_p(differences: np.ndarray) -> float:
    """Two-sided p of Wilcoxon's signed-rank test; differences of zero are dropped, equal ones share their mean rank.

    Up to 50 differences it is exact: the share of all ways to put signs before the ranks in which their sum is at least
    as far from its mean. So is SciPy's where all ranks differ. Distances on a grid often have equal ones: there SciPy
    tries each of the 2^n ways, for most of a second with 13 differences, and from 14 on it approximates: 15 wins and 5
    losses of one size then have a p of 0.025 instead of 0.041. Above 50, it is SciPy's normal approximation.
    """
    if len(differences) < 2:
        return math.nan
    ranks, positive = _signed_ranks(differences)
    if len(ranks) == 0:
        return 1.0
    if len(ranks) > MOST_FOR_EXACT:
        # ranks instead of differences, as these are equal but for rounding
        return float(stats.wilcoxon(np.where(positive, ranks, -ranks), method="asymptotic").pvalue)
    halves = (2 * ranks).astype(int)  # mean ranks are multiples of 1/2
    chances = np.ones(1)  # of each sum of the halves that are positive
    for half in halves:
        chances = np.convolve(chances, np.concatenate([[0.5], np.zeros(half - 1), [0.5]]))
    sums = halves[positive].sum(), halves[~positive].sum()
    return min(1.0, 2 * float(chances[: min(sums) + 1].sum()))


def bootstrap_interval(differences: np.ndarray) -> tuple[float, float]:
    """95 % bootstrap interval of the mean (bias-corrected and accelerated); NaN below 5 differences."""
    if len(differences) < FEWEST_FOR_INTERVAL:
        return math.nan, math.nan
    if np.ptp(differences) < TIE:
        return float(differences[0]), float(differences[0])
    interval = stats.bootstrap(
        (differences,), np.mean, n_resamples=BOOTSTRAP_RESAMPLES, rng=np.random.default_rng(0), vectorized=True
    ).confidence_interval
    return float(interval.low), float(interval.high)


def _signed_ranks(differences: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ranks of the differences other than 0 by their size, and which of them are positive."""
    nonzero = differences[np.abs(differences) >= TIE]
    return stats.rankdata(np.round(np.abs(nonzero) / TIE)), nonzero > 0


def _differences(pairs: pd.DataFrame) -> np.ndarray:
    return pairs["difference"].dropna().to_numpy(dtype=float)


def _compare(organ: str, pairs: pd.DataFrame, p: float, p_holm: float, sign: int) -> PairedComparison:
    d = _differences(pairs)
    left_out = pairs[pairs["difference"].isna()]
    return PairedComparison(
        organ=organ,
        n=len(d),
        left_out=len(left_out),
        missed_by_baseline=int(left_out["missed_by_baseline"].sum()),
        missed_by_model=int(left_out["missed_by_model"].sum()),
        false_positives=int(left_out["false_positive"].sum()),
        mean_difference=float(d.mean()) if len(d) else math.nan,
        interval=bootstrap_interval(d),
        p=p,
        p_holm=p_holm,
        effect_size=rank_biserial(d),
        wins=int((sign * d > 0).sum()),
        ties=int((d == 0).sum()),
        losses=int((sign * d < 0).sum()),
    )
