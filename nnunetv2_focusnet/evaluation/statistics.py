"""From metrics per case to what is reported: summaries per organ and model, and paired comparisons of two models."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from nnunetv2_focusnet.evaluation.cases import Row

METRICS = {"dsc": "DSC", "hd95_mm": "HD95 (mm)", "nsd": "NSD"}  # in which models are compared
SUMMARISED = METRICS | {"volume_error_ml": "Volume error (ml)", "centroid_distance_mm": "Centroid distance (mm)"}
HIGHER_IS_BETTER = {"dsc": True, "hd95_mm": False, "nsd": True}
BOOTSTRAP_RESAMPLES = 2000
TIE = 1e-6  # differences below this are rounding


@dataclass(frozen=True)
class Summary:
    """One metric of one organ by one model over the cases; infinite values are left out of all but ``missed``.

    Attributes:
        n: cases with a finite value.
        missed: cases that have the organ without any prediction of it.
        false_positives: cases that don't have the organ but a prediction of it.
    """

    n: int
    mean: float
    sd: float
    median: float
    quartiles: tuple[float, float]
    missed: int
    false_positives: int


@dataclass(frozen=True)
class PairedComparison:
    """A model against a baseline on the cases in which both have a finite value.

    Attributes:
        organ: name.
        n: such cases.
        mean_difference: model minus baseline.
        interval: 95 % bootstrap interval of the mean difference (bias-corrected and accelerated); NaN below 2 cases.
        p: two-sided Wilcoxon signed-rank test; 1 where all cases tie, NaN below 2 cases.
        p_holm: corrected for the number of organs.
        effect_size: matched-pairs rank-biserial correlation, from -1 (model always below the baseline) to 1.
        wins: cases in which the model is better.
        ties: cases in which both are equal.
        losses: cases in which the baseline is better.
    """

    organ: str
    n: int
    mean_difference: float
    interval: tuple[float, float]
    p: float
    p_holm: float
    effect_size: float
    wins: int
    ties: int
    losses: int


def values_of(rows: Sequence[Row], organ: str, model: str, metric: str) -> dict[str, float]:
    """A metric's value by case."""
    return {row.case: getattr(row.metrics, metric) for row in rows if row.organ == organ and row.model == model}


def summarise(rows: Sequence[Row], organ: str, model: str, metric: str) -> Summary:
    """Summary of one metric."""
    ours = [row.metrics for row in rows if row.organ == organ and row.model == model]
    finite = np.array([value for value in (getattr(m, metric) for m in ours) if math.isfinite(value)])
    missed, extra = sum(m.missed for m in ours), sum(m.false_positive for m in ours)
    if len(finite) == 0:
        return Summary(0, math.nan, math.nan, math.nan, (math.nan, math.nan), missed, extra)
    first, median, third = np.percentile(finite, [25, 50, 75]).tolist()
    sd = float(finite.std(ddof=1)) if len(finite) > 1 else math.nan
    return Summary(len(finite), float(finite.mean()), sd, median, (first, third), missed, extra)


def group_mean(rows: Sequence[Row], organs: Sequence[str], model: str, metric: str) -> float:
    """Mean over organs of their means over cases; NaN if no organ has a finite value."""
    means = [summarise(rows, organ, model, metric).mean for organ in organs]
    finite = [mean for mean in means if math.isfinite(mean)]
    return sum(finite) / len(finite) if finite else math.nan


def compare_models(
    rows: Sequence[Row], organs: Sequence[str], baseline: str, model: str, metric: str
) -> list[PairedComparison]:
    """Compare two models organ by organ; p-values of all organs are corrected together (Holm)."""
    pairs = [_differences(rows, organ, baseline, model, metric) for organ in organs]
    p_values = [_wilcoxon_p(d) for d in pairs]
    corrected = holm(p_values)
    sign = 1 if HIGHER_IS_BETTER[metric] else -1
    return [
        PairedComparison(
            organ=organ,
            n=len(d),
            mean_difference=float(d.mean()) if len(d) else math.nan,
            interval=_bootstrap_interval(d),
            p=p,
            p_holm=p_holm,
            effect_size=rank_biserial(d),
            wins=int((sign * d > 0).sum()),
            ties=int((d == 0).sum()),
            losses=int((sign * d < 0).sum()),
        )
        for organ, d, p, p_holm in zip(organs, pairs, p_values, corrected, strict=True)
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
    nonzero = differences[differences != 0]
    if len(nonzero) == 0:
        return 0.0 if len(differences) else math.nan
    ranks = stats.rankdata(np.abs(nonzero))
    return float((ranks * np.sign(nonzero)).sum() / ranks.sum())


def _differences(rows: Sequence[Row], organ: str, baseline: str, model: str, metric: str) -> np.ndarray:
    theirs, ours = (values_of(rows, organ, name, metric) for name in (baseline, model))
    cases = [c for c in sorted(theirs.keys() & ours.keys()) if math.isfinite(theirs[c]) and math.isfinite(ours[c])]
    d = np.array([ours[case] - theirs[case] for case in cases], dtype=float)
    d[np.abs(d) < TIE] = 0
    return d


def _wilcoxon_p(differences: np.ndarray) -> float:
    if len(differences) < 2:
        return math.nan
    if not differences.any():
        return 1.0
    return float(stats.wilcoxon(differences).pvalue)


def _bootstrap_interval(differences: np.ndarray) -> tuple[float, float]:
    if len(differences) < 2:
        return math.nan, math.nan
    if np.ptp(differences) == 0:
        return float(differences[0]), float(differences[0])
    interval = stats.bootstrap(
        (differences,), np.mean, n_resamples=BOOTSTRAP_RESAMPLES, rng=np.random.default_rng(0), vectorized=True
    ).confidence_interval
    return float(interval.low), float(interval.high)
