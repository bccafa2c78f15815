"""What tables say of models whose means are over different cases; values worked out by hand."""

import math
from collections.abc import Mapping, Sequence

from nnunetv2_focusnet.compare.case_tables import case_details, cases_table
from nnunetv2_focusnet.compare.cases import Row
from nnunetv2_focusnet.compare.measurements import as_table
from nnunetv2_focusnet.compare.metrics import OrganMetrics
from nnunetv2_focusnet.compare.results import Results
from nnunetv2_focusnet.compare.tables import paired_table, summary_table

MISSED = math.inf
EXTRA = -1.0


def results_of(**organs: Mapping[str, Sequence[float | None]]) -> Results:
    """HD95 by organ, model and case, or MISSED, or EXTRA for a false positive, or None where neither has the organ."""
    rows = [
        Row(str(case), organ, model, metrics_of(hd95))
        for organ, models in organs.items()
        for model, distances in models.items()
        for case, hd95 in enumerate(distances)
        if hd95 is not None
    ]
    models = tuple(next(iter(organs.values())))
    return Results(as_table(rows), models, (), tuple(organs), "1 mm", ())


def metrics_of(hd95: float) -> OrganMetrics:
    if hd95 == EXTRA:
        return OrganMetrics(0.0, math.inf, 0.0, 0, 0.0, 1.0, math.inf)
    found = hd95 != MISSED
    return OrganMetrics(0.9 if found else 0.0, hd95, 0.9 if found else 0.0, 50, 1.0, float(found), 0.0)


def cells(results: Results, metric: str) -> dict[str, list[str]]:
    """Cells by row, the best ones in asterisks."""
    _, *rows = summary_table(results, metric, published=False)
    return {name.text: [f"*{c.text}*" if c.best else c.text for c in others] for name, *others in rows}


def test_a_model_that_misses_more_has_no_best_distance() -> None:
    lens = {"misser": [0.0, *[MISSED] * 8], "finder": [1.0] * 9, "worse": [2.0] * 9}
    results = results_of(Lens=lens)
    table = cells(results, "hd95_mm")
    assert table["Lens"] == ["0.00 ± - (8 missed, n=1)", "*1.00 ± 0.00 (n=9)*", "2.00 ± 0.00 (n=9)"]
    assert table["mean, small organs"] == ["0.00 (8 missed)", "*1.00*", "2.00"]
    assert cells(results, "dsc")["Lens"][1:] == ["*0.900 ± 0.000*", "*0.900 ± 0.000*"]


def test_the_best_of_those_that_missed_the_same_cases_is_the_best() -> None:
    table = cells(results_of(Lens={"a": [MISSED, 2.0], "b": [MISSED, 1.0], "c": [MISSED, MISSED]}), "hd95_mm")
    assert table["Lens"] == ["2.00 ± - (1 missed, n=1)", "*1.00 ± - (1 missed, n=1)*", "- ± - (2 missed, n=0)"]
    assert table["mean, all organs"][1] == "*1.00 (1 missed, 1 of 1 organs)*"


def test_of_those_that_missed_as_many_but_other_cases_none_is_the_best() -> None:
    models = {"a": [MISSED, 2.0], "b": [1.0, MISSED], "c": [MISSED, MISSED]}
    table = cells(results_of(Lens=models), "hd95_mm")
    assert table["Lens"] == ["2.00 ± - (1 missed, n=1)", "1.00 ± - (1 missed, n=1)", "- ± - (2 missed, n=0)"]
    assert table["mean, all organs"][:2] == ["2.00 (1 missed, 1 of 1 organs)", "1.00 (1 missed, 1 of 1 organs)"]
    assert cells(results_of(Lens=models | {"d": [3.0, 3.0]}), "hd95_mm")["Lens"][3] == "*3.00 ± 0.00 (n=2)*"


def test_means_over_different_organs_say_so() -> None:
    results = results_of(Lens={"a": [MISSED] * 2, "b": [8.0] * 2}, Chiasm={"a": [1.0] * 2, "b": [MISSED, 6.0]})
    table = cells(results, "hd95_mm")
    assert table["mean, all organs"] == ["1.00 (2 missed, 1 of 2 organs)", "*7.00 (1 missed, 2 of 2 organs)*"]


def test_means_over_as_many_but_other_organs_say_so_and_none_is_the_best() -> None:
    results = results_of(Lens={"a": [MISSED], "b": [8.0]}, Chiasm={"a": [1.0], "b": [MISSED]})
    table = cells(results, "hd95_mm")
    assert table["mean, all organs"] == ["1.00 (1 missed, 1 of 2 organs)", "8.00 (1 missed, 1 of 2 organs)"]


def test_with_as_many_missed_not_even_the_mean_over_more_organs_is_the_best() -> None:
    results = results_of(Lens={"a": [MISSED, None], "b": [8.0, None]}, Chiasm={"a": [1.0, 1.0], "b": [MISSED, 6.0]})
    table = cells(results, "hd95_mm")
    assert table["mean, all organs"] == ["1.00 (1 missed, 1 of 2 organs)", "7.00 (1 missed, 2 of 2 organs)"]


def test_false_positives_of_an_organ_that_no_reference_has_are_not_the_best() -> None:
    table = cells(results_of(Lens={"a": [1.0], "b": [1.0]}, Tumour={"a": [EXTRA], "b": [None]}), "dsc")
    assert table["Tumour"] == ["0.000 ± - (1 false positive, n=1)", "- ± - (n=0)"]
    assert table["mean, all organs"] == ["0.450 (1 false positive, 2 of 2 organs)", "*0.900 (1 of 2 organs)*"]


def test_nobody_is_best_where_all_missed() -> None:
    table = cells(results_of(Lens={"a": [MISSED], "b": [MISSED]}), "hd95_mm")
    assert table["Lens"] == ["- ± - (1 missed)"] * 2


def test_details_of_cases_are_worst_first_and_say_what_was_missed() -> None:
    results = results_of(Lens={"a": [1.0, 2.0], "b": [1.0, MISSED]}, Tumour={"a": [3.0, EXTRA], "b": [3.0, None]})
    assert [(d.name, d.summary) for d in case_details(results)] == [
        ("1", "mean DSC 0.000 of 1 organs, worst Lens (0.000)"),
        ("0", "mean DSC 0.900 of 2 organs, worst Tumour (0.900)"),  # as good, but further off
    ]
    lens, tumour = ([cell.text for cell in row][2:6] for row in next(case_details(results)).rows[1:])
    assert lens == ["0.900", "0.000", "2.00", "missed"]
    assert tumour == ["0.000", "-", "false positive", "-"]


def test_a_case_in_which_the_last_model_rightly_finds_nothing_is_among_the_cases_and_not_the_worst() -> None:
    results = results_of(Lens={"a": [1.0, EXTRA], "b": [MISSED, None]})
    _, *rows = cases_table(results)
    assert [[cell.text for cell in row] for row in rows] == [
        ["0", "0.900", "0.000", "Lens", "0.000", "-", "1", "0"],
        ["1", "0.000", "-", "-", "-", "-", "0", "0"],
    ]
    assert list(case_details(results))[1].summary == "no organ there, and none predicted by b"
    nothing_anywhere = results_of(Lens={"a": [EXTRA, EXTRA], "b": [None, None]})
    assert [row[2].text for row in cases_table(nothing_anywhere)[1:]] == ["-", "-"]


def test_paired_tables_say_what_they_leave_out() -> None:
    results = results_of(Lens={"a": [MISSED, 1.0, 1.0, EXTRA], "b": [1.0, 1.0, MISSED, None]})
    header, lens = paired_table(results, "b", "hd95_mm")
    by_column = dict(zip((cell.text for cell in header), (cell.text for cell in lens), strict=True))
    assert by_column["cases"] == "1"
    assert by_column["left out"] == "3 (1 missed by a, 1 missed by b, 1 false positive)"
    complete = results_of(Lens={"a": [1.0, 2.0], "b": [2.0, 2.0]})
    assert "left out" not in {cell.text for cell in paired_table(complete, "b", "hd95_mm")[0]}
