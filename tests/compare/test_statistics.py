"""Summaries and paired comparisons on numbers that can be worked out by hand."""

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest
from scipy.stats import rankdata, wilcoxon

from nnunetv2_focusnet.compare.cases import Row
from nnunetv2_focusnet.compare.measurements import as_table
from nnunetv2_focusnet.compare.metrics import OrganMetrics
from nnunetv2_focusnet.compare.results import Results, split_by_size
from nnunetv2_focusnet.compare.statistics import (
    GroupSummary,
    bootstrap_interval,
    compare_models,
    holm,
    rank_biserial,
    summarise,
    wilcoxon_p,
)


def row(case: int, model: str, dsc: float, hd95: float = 1.0, organ: str = "Lens", voxels: int = 50) -> Row:
    return Row(
        str(case), organ, model, OrganMetrics(dsc, hd95, dsc, voxels, 1.0, 0.0 if math.isinf(hd95) else 1.0, 0.0)
    )


def rows_of(**models: Sequence[float]) -> list[Row]:
    return [row(case, model, dsc) for model, values in models.items() for case, dsc in enumerate(values)]


def test_summary_by_hand() -> None:
    summary = summarise(as_table(rows_of(a=[0.2, 0.4, 0.6, 0.8])))["Lens", "a", "dsc"]
    assert (summary.n, summary.missed, summary.false_positives) == (4, 0, 0)
    assert summary.mean == pytest.approx(0.5)
    assert summary.sd == pytest.approx(math.sqrt(0.2 / 3))
    assert summary.median == pytest.approx(0.5)
    assert (summary.q1, summary.q3) == pytest.approx((0.35, 0.65))


def test_missed_organs_count_in_dsc_but_not_in_the_mean_distance() -> None:
    rows = [row(0, "a", 0.8, hd95=2.0), row(1, "a", 0.0, hd95=math.inf)]
    assert summarise(as_table(rows))["Lens", "a", "dsc"].mean == pytest.approx(0.4)
    distance = summarise(as_table(rows))["Lens", "a", "hd95_mm"]
    assert (distance.n, distance.mean, distance.missed) == (1, 2.0, 1)
    assert math.isnan(distance.sd)


def test_an_organ_that_a_model_never_found_has_no_distance() -> None:
    summary = summarise(as_table([row(0, "a", 0.0, hd95=math.inf)]))["Lens", "a", "hd95_mm"]
    assert summary.n == 0
    assert math.isnan(summary.mean)
    assert summary.missed == 1


@pytest.mark.parametrize(
    ("p_values", "corrected"),
    [
        ([0.01, 0.04, 0.03], [0.03, 0.06, 0.06]),
        ([0.5, 0.9], [1.0, 1.0]),
        ([math.nan, 0.02], [math.nan, 0.02]),
        ([], []),
    ],
)
def test_holm_by_hand(p_values: list[float], corrected: list[float]) -> None:
    assert holm(p_values) == pytest.approx(corrected, nan_ok=True)


@pytest.mark.parametrize(
    ("differences", "expected"),
    [([1, 2, 3], 1.0), ([-1, -2, -3], -1.0), ([3, -1, -2], 0.0), ([1, 2, -3, 0], 0.0), ([0, 0], 0.0)],
)
def test_rank_biserial_by_hand(differences: list[float], expected: float) -> None:
    assert rank_biserial(np.array(differences, dtype=float)) == pytest.approx(expected)


def test_wilcoxon_of_six_wins_is_one_in_32() -> None:
    (comparison,) = compare_models(
        as_table(rows_of(a=[0.1, 0.2, 0.3, 0.4, 0.5, 0.6], b=[0.2, 0.4, 0.6, 0.8, 0.9, 1.0])), ["Lens"], "a", "b", "dsc"
    )
    assert comparison.p == comparison.p_holm == pytest.approx(2 / 2**6)
    assert comparison.effect_size == 1
    assert (comparison.wins, comparison.ties, comparison.losses) == (6, 0, 0)
    assert comparison.mean_difference == pytest.approx(0.3)
    low, high = comparison.interval
    assert 0.1 < low < 0.3 < high < 0.4


def p_of_all_signs(differences: Sequence[float]) -> float:
    """Wilcoxon's test by its definition: of all ways to put signs before the ranks, those at least as extreme."""
    nonzero = np.array([d for d in differences if d != 0])
    ranks = rankdata(np.abs(nonzero))
    sums = np.array(list(itertools.product([-1, 1], repeat=len(ranks)))) @ ranks
    return float((np.abs(sums) >= abs(np.sign(nonzero) @ ranks) - 1e-9).mean())


@pytest.mark.parametrize(
    ("differences", "p"),
    [
        ([1, 2, 3, 4, 5, *[0] * 12], 2 / 2**5),  # five wins, twelve ties
        ([1, 1, 1, 1, 1, 1], 2 / 2**6),  # all equal in size
        ([2, 1, 1, -1], 0.5),  # ranks 4, 2, 2, 2: sums of 10, 6 or more away from 0 have 2 + 6 of 16 signs
        ([1], math.nan),
        ([1, 0], 1),
        ([0, 0, 0], 1),
    ],
)
def test_wilcoxon_by_hand(differences: list[float], p: float) -> None:
    assert wilcoxon_p(np.array(differences, dtype=float)) == pytest.approx(p, nan_ok=True)


@pytest.mark.parametrize("seed", range(8))
def test_wilcoxon_is_the_share_of_all_signs(seed: int) -> None:
    random = np.random.default_rng(seed)
    differences = random.integers(-4, 8, 12).astype(float)  # with ties and zeros
    assert wilcoxon_p(differences) == pytest.approx(p_of_all_signs(differences), rel=1e-12)


def test_wilcoxon_ties_differences_that_are_equal_but_for_rounding() -> None:
    rounded = np.array([0.3 - 0.2, 0.8 - 0.7, 0.1, -(0.9 - 0.8), 0.5])
    assert len(set(np.abs(rounded))) > 2
    assert wilcoxon_p(rounded) == wilcoxon_p(np.array([0.1, 0.1, 0.1, -0.1, 0.5]))


def test_wilcoxon_of_differences_of_one_size_is_the_sign_test() -> None:
    """5 or fewer of 20 coins, or 15 or more; a normal approximation has 0.025."""
    p = 2 * sum(math.comb(20, losses) for losses in range(6)) / 2**20
    assert p == pytest.approx(0.0414, abs=5e-5)
    assert wilcoxon_p(np.repeat([0.1, -0.1], [15, 5])) == pytest.approx(p)


def test_wilcoxon_of_many_pairs_is_that_of_scipy() -> None:
    differences = np.random.default_rng(0).normal(0.2, 1, 50)
    assert wilcoxon_p(differences) == pytest.approx(wilcoxon(differences, method="exact").pvalue, rel=1e-9)
    more = np.append(differences, 0.3)
    assert wilcoxon_p(more) == pytest.approx(wilcoxon(more, method="asymptotic").pvalue, rel=1e-9)


def test_pairs_that_are_left_out_are_counted() -> None:
    finite = [row(0, "a", 0.5), row(0, "b", 0.5)]
    missed = [
        *(row(1, "a", 0.0, math.inf), row(1, "b", 0.5)),
        *(row(2, "a", 0.0, math.inf), row(2, "b", 0.0, math.inf)),
    ]
    extra = [Row("3", "Lens", "b", OrganMetrics(0.0, math.inf, 0.0, 0, 0.0, 1.0, math.inf))]  # a is right to have none
    rows = [*finite, *missed, *extra]
    (distances,) = compare_models(as_table(rows), ["Lens"], "a", "b", "hd95_mm")
    assert (distances.n, distances.left_out) == (1, 3)
    assert (distances.missed_by_baseline, distances.missed_by_model, distances.false_positives) == (2, 1, 1)
    (dsc,) = compare_models(as_table(rows), ["Lens"], "a", "b", "dsc")
    assert (dsc.n, dsc.left_out) == (3, 1)
    assert (dsc.missed_by_baseline, dsc.missed_by_model, dsc.false_positives) == (0, 0, 1)


def test_smaller_distances_are_wins() -> None:
    rows = [row(i, "a", 0.5, hd95=4.0) for i in range(3)] + [row(i, "b", 0.5, hd95=h) for i, h in enumerate((3, 4, 5))]
    (comparison,) = compare_models(as_table(rows), ["Lens"], "a", "b", "hd95_mm")
    assert (comparison.wins, comparison.ties, comparison.losses) == (1, 1, 1)


def test_only_cases_with_a_finite_value_in_both_are_paired() -> None:
    rows = [row(0, "a", 0.5, 4.0), row(1, "a", 0.0, math.inf), row(0, "b", 0.5, 3.0), row(1, "b", 0.5, 3.0)]
    (comparison,) = compare_models(as_table(rows), ["Lens"], "a", "b", "hd95_mm")
    assert (comparison.n, comparison.mean_difference) == (1, -1.0)
    assert math.isnan(comparison.p)


def test_equal_models_tie() -> None:
    (comparison,) = compare_models(as_table(rows_of(a=[0.5, 0.6, 0.7], b=[0.5, 0.6, 0.7])), ["Lens"], "a", "b", "dsc")
    assert (comparison.p, comparison.effect_size, comparison.ties) == (1.0, 0.0, 3)
    assert [math.isnan(end) for end in comparison.interval] == [True, True]  # three cases are too few for one
    (comparison,) = compare_models(as_table(rows_of(a=[0.5] * 5, b=[0.5] * 5)), ["Lens"], "a", "b", "dsc")
    assert comparison.interval == (0.0, 0.0)


def test_interval_covers_the_true_mean_as_often_as_it_says() -> None:
    random = np.random.default_rng(1)
    covered = 0
    for _ in range(60):
        d = random.normal(0.1, 0.05, 30)
        (comparison,) = compare_models(as_table(rows_of(a=[0.0] * 30, b=d.tolist())), ["Lens"], "a", "b", "dsc")
        covered += comparison.interval[0] <= 0.1 <= comparison.interval[1]
    assert 51 <= covered <= 60  # 95 % of 60 is 57


def test_differences_that_are_equal_but_for_rounding_have_an_interval_without_width() -> None:
    differences = np.array([0.3 - 0.2, 0.4 - 0.3, 0.5 - 0.4, 0.2 - 0.1, 0.1])
    assert np.ptp(differences) > 0
    assert bootstrap_interval(differences) == (differences[0], differences[0])


def test_small_organs_are_named_or_measured() -> None:
    rows = as_table([row(0, "a", 0.5, organ="Lens", voxels=999), row(0, "a", 0.5, organ="Eye", voxels=1000)])
    organs = ("Brain", "Eye", "Lens")
    assert split_by_size(rows, organs, None) == (("Eye",), ("Lens",))
    assert split_by_size(rows, organs, {"Eye"}) == (("Lens",), ("Eye",))


def test_group_means_are_means_over_organs() -> None:
    rows = [row(0, "a", 0.4), row(1, "a", 0.6), row(0, "a", 0.9, organ="Eye", voxels=2000)]
    results = Results(as_table(rows), ("a",), ("Eye",), ("Lens",), "1 mm", ())
    assert results.group_summary("all organs", "a", "dsc") == GroupSummary(pytest.approx(0.7), ("Eye", "Lens"), 0, 0)
    assert results.group_summary("small organs", "a", "dsc").mean == pytest.approx(0.5)
    assert list(results.groups) == ["all organs", "large organs", "small organs"]
