"""Arithmetic of the benchmarks: plans, epochs that fit into a time, scores."""

import contextlib
import json
import math
import os
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks" / "trainers"))

import missing_organs
import paper_tables
import peak_memory
import small_organs
import step_time
from cpu_plans import fit_strides, narrow
from csv_files import write_csv
from short_trainers import SNetTrainerShort
from side_by_side import state, worker
from side_by_side.arguments import settings_of
from side_by_side.budget import Pace, Speed, choose_epochs
from side_by_side.budgeted_trainer import Budgeted
from side_by_side.curves import Curve, mean_curve, minutes_to_best, minutes_to_reach, smooth
from side_by_side.far_voxels import count_far
from side_by_side.figures import Figures
from side_by_side.flatness import Flatness
from side_by_side.goals import NOT_FLAT, Goal, Judge
from side_by_side.jobs import BenchmarkError, Job, run_jobs
from side_by_side.paper import TABLE_1, TABLE_1_AVERAGES, orderings, published
from side_by_side.paper_results import PaperResults, verdict_of
from side_by_side.patients import Patients
from side_by_side.pipeline import Findings, _of_references
from side_by_side.prepare import choose_unseen, find_dataset, split
from side_by_side.runs import COARSE, Recipe, Row, Run
from side_by_side.state import Settings, State, claim

from nnunetv2_focusnet.compare.cases import Comparison, LabelMaps
from nnunetv2_focusnet.system.files import WriteError
from nnunetv2_focusnet.trainers.resumable_trainer import ResumableTrainer
from nnunetv2_focusnet.trainers.snet_trainer import SNetTrainer

TWO_STAGES = Speed({"first": 1.0, "second": 3.0}, overhead_seconds=10.0)


def plans(stages: int) -> dict[str, Any]:
    architecture = {
        "n_stages": stages,
        "features_per_stage": [32 * 2**i for i in range(stages)],
        "strides": [[1, 1, 1], [1, 2, 2], *[[2, 2, 2]] * (stages - 2)],
        "kernel_sizes": [[1, 3, 3], *[[3, 3, 3]] * (stages - 1)],
        "n_conv_per_stage": [2] * stages,
        "n_conv_per_stage_decoder": [2] * (stages - 1),
    }
    return {"configurations": {"3d_fullres": {"architecture": {"arch_kwargs": architecture}}, "2d": {}}}


@pytest.mark.parametrize("planned_stages", [3, 4, 6])
def test_narrow_plans_have_one_stage_per_width(planned_stages: int) -> None:
    narrowed = narrow(plans(planned_stages), [20, 56, 80], batch=3, features=[8, 16, 32, 64])
    configuration = narrowed["configurations"]["3d_fullres"]
    architecture = configuration["architecture"]["arch_kwargs"]
    assert (configuration["patch_size"], configuration["batch_size"]) == ([20, 56, 80], 3)
    assert architecture["features_per_stage"] == [8, 16, 32, 64]
    assert architecture["strides"] == [[1, 1, 1], [1, 2, 2], [2, 2, 2], [2, 2, 2]]
    assert architecture["kernel_sizes"] == [[1, 3, 3], [3, 3, 3], [3, 3, 3], [3, 3, 3]]
    assert [len(architecture[f"n_conv_per_stage{suffix}"]) for suffix in ("", "_decoder")] == [4, 3]
    assert list(narrowed["configurations"]) == ["3d_fullres"]


def test_strides_halve_neither_odd_sizes_nor_below_four_voxels() -> None:
    # z: 20, 10, 5 is odd. y: 56, 28, 14, 7 is odd. x: 12, 6 would become 3.
    assert fit_strides([[1, 1, 1]], [20, 56, 12], stages=5) == [
        *([1, 1, 1], [2, 2, 2], [2, 2, 1], [1, 2, 1], [1, 1, 1]),
    ]


def test_iterations_fill_the_time_over_all_stages() -> None:
    # 2 x 10 s of overhead leave 80 s; one iteration in each epoch takes 1 + 3 s.
    assert TWO_STAGES.iterations_that_fit(["first", "second"], 100) == 20
    assert TWO_STAGES.seconds(["first", "second"], [20, 20]) == 100
    assert TWO_STAGES.iterations_that_fit(["first", "second"], 5) == 1


def test_epochs_are_fewer_only_where_overhead_would_eat_up_the_time() -> None:
    assert choose_epochs(5400, [2, 10]) == 40
    assert choose_epochs(1000, [2, 10]) == 20
    assert choose_epochs(10, [10]) == 6


@pytest.mark.parametrize("real_factor", [0.5, 1.0, 1.7])
def test_a_schedule_ends_on_time_on_a_machine_that_is_faster_or_slower_than_measured(real_factor: float) -> None:
    stages = ["first"] * 20 + ["second"] * 20
    pace = Pace(TWO_STAGES, 5400)
    iterations: list[int] = []
    durations: list[float] = []
    for stage in stages:
        iterations.append(pace.next_iterations(stages, iterations, durations))
        durations.append(real_factor * TWO_STAGES.seconds([stage], iterations[-1:]))
    assert sum(durations) == pytest.approx(5400, rel=0.02)


def test_a_resumed_schedule_still_ends_on_time() -> None:
    # 3 epochs of 40 s are done, 20 s were spent on a checkpoint, so that 60 s are left for one epoch of 50 steps.
    pace = Pace(Speed({"all": 1.0}, overhead_seconds=10.0), 200)
    assert pace.next_iterations(["all"] * 4, [30, 30, 30], [40, 40, 40], extra_seconds=20) == 50


def test_time_to_reach_takes_the_mean_of_three_epochs() -> None:
    dsc = [0.9, 0.0, 0.3, 0.6, 0.6]  # means: none, none, 0.4, 0.3, 0.5
    assert smooth(dsc)[2:] == pytest.approx([0.4, 0.3, 0.5])
    assert minutes_to_reach(curve(dsc), 0.35) == 3
    assert minutes_to_reach(curve(dsc), 0.45) == 5
    assert minutes_to_reach(curve(dsc), 0.6) == math.inf
    assert math.isnan(minutes_to_reach(curve(dsc), 0.001))


def test_time_to_stocks_dsc_is_that_of_the_mean_over_trainings() -> None:
    # Ends at 0.5, which the second training by itself never reaches.
    stock = mean_curve([curve([0.0, 0.0, 0.3, 0.9, 0.9]), curve([0.0, 0.0, 0.3, 0.3, 0.3])])
    ours = mean_curve([curve([0.3, 0.6, 0.6, 0.6, 0.6])])
    assert minutes_to_best({"stock": stock, "ours": ours}, ["stock"]) == {"stock": 5, "ours": 3}


def curve(small: list[float], large: float = 0.8) -> Curve:
    epochs = len(small)
    minutes = [float(minute) for minute in range(1, epochs + 1)]
    return Curve(minutes, minutes, ["all"] * epochs, {"small": small, "large": [large] * epochs})


@pytest.mark.parametrize(
    ("small", "large", "is_flat"),
    [
        # Ten epochs: the last two against the two before them.
        ([0.0] * 6 + [0.60, 0.62, 0.62, 0.61], 0.8, True),  # from .610 to .615
        ([0.0] * 6 + [0.60, 0.62, 0.62, 0.63], 0.8, False),  # from .610 to .625
        ([0.0] * 6 + [0.60, 0.62, 0.62, 0.61], 0.75, False),  # large organs aren't learned
        ([0.0] * 6 + [0.04, 0.04, 0.04, 0.04], 0.8, False),  # small ones aren't begun
        ([0.0] * 6 + [0.60, 0.62, 0.62, 0.61], math.nan, True),  # there are no large organs
    ],
)
def test_a_curve_is_flat_where_it_has_risen_and_stopped(small: list[float], large: float, is_flat: bool) -> None:
    assert Flatness.of(curve(small, large)).is_flat is is_flat


@pytest.mark.parametrize(
    ("minutes", "small", "before", "end"),
    [
        ([6, 7, 8, 9, 10], [0.0, 0.60, 0.62, 0.62, 0.65], 0.61, 0.635),  # two epochs each, as the first one is long
        ([6, 9, 10], [0.0, 0.60, 0.64], 0.60, 0.62),  # a third of the second epoch is in the last two minutes
        ([6, 7, 8, 9, 10], [0.0, 0.60, math.nan, 0.62, 0.64], 0.60, 0.63),  # no patch held an organ
    ],
)
def test_an_epoch_counts_by_the_time_of_it_in_a_fifth(
    minutes: list[float], small: list[float], before: float, end: float
) -> None:
    of_epochs = Curve(minutes, minutes, ["all"] * len(minutes), {"small": small, "large": small})
    flatness = Flatness.of(of_epochs)
    assert flatness.small_rise == pytest.approx(end - before)
    assert (flatness.small_end, flatness.large_end) == (pytest.approx(end), pytest.approx(end))


def test_a_rise_has_the_error_of_its_epochs_scatter_around_a_line() -> None:
    # A slope of .01 an epoch, and .03 above, below, below and above it: a variance of 4 * .03 ** 2 / (4 - 2). The rise
    # is half of the last two less half of the two before.
    flatness = Flatness.of(curve([0.0] * 6 + [0.63, 0.58, 0.59, 0.66]))
    assert flatness.small_rise == pytest.approx(0.02)
    assert flatness.small_rise_error == pytest.approx(0.03 * math.sqrt(2))
    assert "+0.0200 ± 0.0424 in the last fifth" in flatness.reason
    assert math.isnan(Flatness.of(curve([0.0] * 3 + [0.6, 0.6])).small_rise_error)  # two points are always on a line


def test_several_trainings_have_the_mean_of_their_rises() -> None:
    # Rises of .02 and .01 with errors of .03 and .04 times the root of 2; the second one's epochs take twice as long.
    first = Flatness.of(curve([0.0] * 6 + [0.63, 0.58, 0.59, 0.66]))
    slower = curve([0.0] * 6 + [0.64, 0.565, 0.57, 0.655])
    second = Flatness.of(replace(slower, minutes=[2 * minute for minute in slower.minutes]))
    assert (second.small_rise, second.small_rise_error) == (pytest.approx(0.01), pytest.approx(0.04 * math.sqrt(2)))
    both = Flatness.mean([first, second])
    assert both.small_rise == pytest.approx(0.015)
    assert both.small_rise_error == pytest.approx(0.05 * math.sqrt(2) / 2)
    assert both.small_end == pytest.approx((0.625 + 0.6125) / 2)
    assert both.large_end == pytest.approx(0.8)
    assert Flatness.mean([first]) == first


def test_far_voxels_are_more_than_10_mm_from_the_organ() -> None:
    # One voxel at z = 1; voxels are 5 mm apart along z, so that z = 3 is 10 mm away and z = 4 is 15 mm.
    reference = np.zeros((6, 3, 30), bool)
    reference[1, 1, 0] = True
    near, far, missed = np.zeros((3, *reference.shape), bool)
    near[:4, 1, 0] = True
    far[1:, 1, 0] = True  # z = 4 and z = 5
    far[1, 1, 10:13] = True  # x = 11 and x = 12, at 1 mm
    counted = count_far(reference, {"near": near, "far": far, "missed": missed}, (5.0, 1.0, 1.0))
    assert counted == {"near": 0, "far": 4, "missed": 0}
    assert count_far(np.zeros_like(reference), {"near": near}, (5.0, 1.0, 1.0)) == {"near": 4}


def patients(**dsc: list[list[float]]) -> Patients:
    """Small organ A and large organ B in each patient, whose DSC of A is given by row, seed and patient.

    HD95 is 10 * (1 - DSC), NSD as DSC, an organ with DSC 0 is missed. B has a DSC of .8 in all rows.
    """
    table = [
        {"case": f"case{case}", "organ": organ, "row": row, "seed": seed, "dsc": value, "nsd": value}
        | {"hd95_mm": 10 * (1 - value) if value else math.inf, "missed": value == 0, "false_positive": False}
        | {"far_voxels": 0}
        for row, of_row in dsc.items()
        for seed, of_seed in enumerate(of_row)
        for case, of_a in enumerate(of_seed)
        for organ, value in (("A", of_a), ("B", 0.8))
    ]
    return Patients(pd.DataFrame(table))


def test_rows_are_paired_patient_by_patient_after_the_mean_over_seeds() -> None:
    measured = patients(ours=[[0.5, 0.9, 0.7], [0.7, 0.7, 0.7]], stock=[[0.5, 0.6, 0.7], [0.5, 0.8, 0.0]])
    paired = measured.pair("ours", "stock", ["A"], "dsc")
    # ours .6, .8, .7; stock .5, .7, .35
    assert (paired.n, paired.ours, paired.theirs) == (3, pytest.approx(0.7), pytest.approx(1.55 / 3))
    assert paired.difference == pytest.approx(0.55 / 3)
    assert math.isnan(paired.interval[0])  # of three patients
    # Missed organs have no distance: stock's in the third patient is 3 mm, of the first seed alone.
    assert measured.pair("ours", "stock", ["A"], "hd95_mm").theirs == pytest.approx((5 + 3 + 3) / 3)
    assert measured.missed_alone("stock", "ours", ["A"]) == 1
    assert measured.total("stock", ["A"], "missed") == 0.5


def test_the_interval_is_over_patients() -> None:
    measured = patients(ours=[[0.6, 0.7, 0.8, 0.7, 0.6]], stock=[[0.5, 0.6, 0.7, 0.6, 0.5]])
    assert measured.pair("ours", "stock", ["A"], "dsc").interval == pytest.approx((0.1, 0.1))


def figures(**changes: Any) -> Figures:
    same = dict.fromkeys(Figures.__dataclass_fields__, 1.0)
    return Figures(**(same | {"far_voxels_small": 0.0} | changes))


def goals_of(measured: Patients, is_flat: bool = True, **rows: Figures) -> dict[str, Goal]:
    judge = Judge(
        *(measured, {"small": ["A"], "large": ["B"]}, rows),
        *(["sgd", "adamw", "coarse"], ["sgd", "adamw"], is_flat, 0.5),
    )
    return {goal.figure: goal for goal in judge.goals("ours", "ours_main_network")}


STOCK_ROWS = {
    "sgd": figures(missed_small=1, minutes_to_stock_dsc=60, inference_seconds=4),
    "adamw": figures(missed_small=0, minutes_to_stock_dsc=40, inference_seconds=5),
    "coarse": figures(missed_small=0, minutes_to_stock_dsc=math.inf, inference_seconds=1),
}


def test_goals_are_judged_against_the_stock_row_that_is_hardest_to_beat() -> None:
    measured = patients(
        sgd=[[0.6, 0.6, 0.6, 0.6, 0.0]],
        adamw=[[0.5, 0.7, 0.5, 0.7, 0.6]],
        coarse=[[0.4, 0.4, 0.4, 0.4, 0.4]],
        ours=[[0.6, 0.8, 0.5, 0.8, 0.7]],
        ours_main_network=[[0.6, 0.8, 0.5, 0.8, 0.65]],
    )
    goals = goals_of(measured, **STOCK_ROWS, ours=figures(minutes_to_stock_dsc=21, inference_seconds=5.2))
    dsc = goals["mean DSC, small organs"]
    assert (dsc.stock_row, dsc.stock, dsc.measured) == ("adamw", pytest.approx(0.6), pytest.approx(0.68))
    # One of five patients gains nothing, the others 0.1: 0.08 with a standard error of 0.02, of which Student's t of
    # four degrees of freedom allows 2.776.
    assert dsc.verdict == "met"
    assert (dsc.low, dsc.high) == (pytest.approx(0.08 - 0.0555, abs=1e-4), pytest.approx(0.08 + 0.0555, abs=1e-4))
    # Against sgd over the four patients in which it finds the organ: 4 mm, and (4 + 2 + 5 + 2) / 4 mm.
    hd95 = goals["mean HD95 (mm), small organs that both found"]
    assert (hd95.stock_row, hd95.stock, hd95.measured) == ("sgd", pytest.approx(4), pytest.approx(3.25))
    assert (hd95.change, hd95.verdict) == (pytest.approx(3.25 / 4), "missed")
    assert goals["mean DSC, large organs"].verdict == "met"
    missed = goals["small organs missed, per training"]
    assert (missed.stock_row, missed.stock, missed.verdict) == ("adamw", 0, "met")  # sgd misses one by itself
    time = goals["minutes to stock's final online DSC of small organs"]
    assert (time.stock_row, time.verdict) == ("adamw", "missed")  # 21 of 40
    # The coarser plan's cases take less of every trainer, and don't count here.
    inference = goals["inference, seconds per case"]
    assert (inference.stock, inference.verdict) == (4, "met")


def test_what_sos_nets_add_is_judged_in_every_seed() -> None:
    stock = [[0.5] * 5] * 2
    measured = patients(
        sgd=stock,
        adamw=stock,
        coarse=stock,
        ours=[[0.70] * 5, [0.60] * 5],
        ours_main_network=[[0.60] * 5, [0.61] * 5],
    )
    goals = goals_of(measured, **STOCK_ROWS, ours=figures(), ours_main_network=figures())
    added = goals["DSC of small organs that SOL-Net and SOS-Nets add"]
    assert (added.change, added.verdict) == (pytest.approx(0.045), "met")
    worst = goals["the same, of the seed that gains least (1)"]
    assert (worst.change, worst.verdict) == (pytest.approx(-0.01), "missed")


def test_nothing_but_costs_is_judged_where_curves_are_not_flat() -> None:
    same = [[0.6] * 5]
    goals = goals_of(patients(sgd=same, adamw=same, coarse=same, ours=same), False, **STOCK_ROWS, ours=figures())
    verdicts = {name: goal.verdict for name, goal in goals.items()}
    costs = {"seconds per step, last stage", "peak memory (MiB)", "inference, seconds per case"}
    assert {name for name, verdict in verdicts.items() if verdict != NOT_FLAT} == costs


def test_an_organ_that_stock_finds_and_far_voxels_are_missed_goals() -> None:
    measured = patients(sgd=[[0.6] * 5], adamw=[[0.6] * 5], coarse=[[0.6] * 5], ours=[[0.9, 0.9, 0.9, 0.9, 0.0]])
    goals = goals_of(measured, **STOCK_ROWS, ours=figures(missed_small=1, far_voxels_small=3))
    assert goals["small organs missed, per training"].verdict == "missed"
    assert goals["voxels more than 10 mm from their organ, small organs, per training"].verdict == "missed"
    # The mean is 0.12 higher, but one patient of five loses 0.6.
    dsc = goals["mean DSC, small organs"]
    assert (dsc.change, dsc.verdict) == (pytest.approx(0.12), "missed")


def test_goals_without_organs_or_without_a_figure_of_stock_are_not_judged() -> None:
    nothing = [[0.0] * 5]
    rows = {name: figures(minutes_to_stock_dsc=math.nan) for name in ("sgd", "adamw", "coarse", "ours")}
    goals = goals_of(patients(sgd=nothing, adamw=nothing, coarse=nothing, ours=[[0.5] * 5]), **rows)
    assert goals["mean HD95 (mm), small organs that both found"].verdict == "not applicable"
    assert goals["minutes to stock's final online DSC of small organs"].verdict == "not applicable"


@pytest.mark.parametrize(
    ("interval", "verdict"),
    [
        ((0.01, 0.05), "holds"),
        ((-0.05, -0.01), "doesn't hold"),
        ((-0.01, 0.05), "not decided (interval contains 0)"),
        ((0.0, 0.05), "not decided (interval contains 0)"),
        ((math.nan, math.nan), "not decided (no interval below 5 patients)"),
    ],
)
def test_an_ordering_holds_where_its_interval_is_above_0(interval: tuple[float, float], verdict: str) -> None:
    assert verdict_of(*interval) == verdict


def test_one_fold_of_the_first_cases_goes_with_no_other_folds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["paper_tables.py", "1", "-o", "state", "--unseen", "8"])
    assert (paper_tables.parse_arguments().unseen, paper_tables.parse_arguments().folds) == (8, [0])
    monkeypatch.setattr("sys.argv", ["paper_tables.py", "1", "-o", "state", "--unseen", "8", "--folds", "0", "1"])
    with pytest.raises(SystemExit):
        paper_tables.parse_arguments()
    assert "leave out --folds" in capsys.readouterr().err


def test_orderings_are_those_of_the_paper() -> None:
    assert all(ordering.published is None or ordering.published[0] > ordering.published[1] for ordering in orderings())
    # Table 2's average of FocusNet is that of table 1's column; so are the other two of table 1.
    columns = zip(*(figures for figures in TABLE_1.values()), strict=True)
    averages = [sum(mean for mean, _ in column) / 18 for column in columns]
    assert averages[1:] == pytest.approx(TABLE_1_AVERAGES[1:], abs=0.05)
    # Small organs of table 1, added up: 650.6 over ten of FocusNet (65.0 in table 2), 456.3 of the atlas.
    claims = {(ordering.claim, ordering.group): ordering.published for ordering in orderings()}
    assert claims["FocusNet beats the atlas", "small organs"] == (65.1, 45.6)
    assert claims["ROI 3x beats 2x", "small organs"] == (65.0, 63.9)
    assert claims["FocusNet beats Fat U-Net", "small organs"] is None


def test_organs_are_found_in_the_paper_however_they_are_spelt() -> None:
    assert published("Optic-Nerve-Lt") == TABLE_1["OpticNerve_L"]
    assert published("Orbit-Rt") == TABLE_1["Eye_R"]
    assert published("Brainstem") == TABLE_1["Brainstem"]
    assert published("Cochlea-Lt") is None


def test_papers_tables_have_own_figures_beside_the_papers_and_the_state_of_each_curve() -> None:
    measured = patients(FocusNetTrainer=[[0.8, 0.7, 0.8, 0.7, 0.8]], SNetTrainer=[[0.7, 0.6, 0.6, 0.6, 0.6]])
    names = {"A": "Lens_L", "B": "Brainstem"}
    measured = Patients(measured.measurements.replace({"organ": names}))
    flat = Flatness(small_rise=0.0, small_rise_error=0.0, small_end=0.8, large_end=0.8)
    rising = Flatness(small_rise=0.02, small_rise_error=0.0, small_end=0.8, large_end=0.8)
    rows = ["FocusNetTrainer", "SNetTrainer"]
    groups = {"small": ["Lens_L"], "large": ["Brainstem"]}
    results = PaperResults(measured, groups, rows, dict(zip(rows, (flat, rising), strict=True)))
    of_all, of_small = results.verdicts()
    # FocusNet's lens is .76, S-Net's .62; the brainstem is .8 in both.
    assert (of_small.difference, of_small.verdict) == (pytest.approx(0.14), "holds")
    assert (of_all.difference, of_all.published, of_all.not_flat) == (
        *(pytest.approx(0.07), pytest.approx(0.019), "SNetTrainer"),
    )
    assert "Dice loss helps (all organs)" in results.not_judged()
    assert "| FocusNet | FocusNetTrainer | 78.0 | 72.5 | flat |" in results.table_2()
    assert "| S-Net | SNetTrainer | 62.0 | 61.5 | not flat |" in results.table_2()
    assert "| 76.0 ± 5.5 (paper: 80.8 ± 4.7) |" in results.table_1()


def test_an_organ_that_no_unseen_case_has_is_in_no_average() -> None:
    table = patients(FocusNetTrainer=[[0.8, 0.7, 0.8, 0.7, 0.8]]).measurements
    extra = table.iloc[:1].assign(organ="C", dsc=0.0, false_positive=True)
    measured = Patients(pd.concat([table, extra]))
    results = PaperResults(measured, {"small": ["A", "C"], "large": ["B"]}, ["FocusNetTrainer"], {})
    assert results.average("FocusNetTrainer", "small organs") == pytest.approx(0.76)
    assert results.average("FocusNetTrainer", "all organs") == pytest.approx((0.76 + 0.8) / 2)
    assert math.isnan(results.average("SNetTrainer", "all organs"))


def test_jobs_run_side_by_side_and_a_failure_does_not_stop_the_others(tmp_path: Path) -> None:
    # The first two wait for each other, which never ends one after another.
    meet = (
        "import pathlib, sys, time\na, b = map(pathlib.Path, sys.argv[1:])\na.touch()\n"
        "while not b.exists(): time.sleep(.05)"
    )
    there = [str(tmp_path / name) for name in "ab"]
    commands = {
        "first": [sys.executable, "-c", meet, *there],
        "second": [sys.executable, "-c", meet, *reversed(there)],
        "fails": [sys.executable, "-c", "raise SystemExit('no such organ')"],
        "last": [sys.executable, "-c", "print('done')"],
    }
    jobs = [Job(name, command, os.environ, tmp_path / f"{name}.log") for name, command in commands.items()]
    with pytest.raises(BenchmarkError, match=r"fails ended with status 1 \(no such organ\); its log is .*fails\.log"):
        run_jobs(jobs, at_once=2)
    assert (tmp_path / "last.log").read_text() == "done\n"


def test_the_name_of_a_run_leads_back_to_it() -> None:
    run = Run(Recipe("StockTrainer", COARSE), seed=1, fold=2)
    assert Run.parse(*run.arguments) == run
    assert Recipe.named(run.recipe.name) == run.recipe
    assert run.name == "StockTrainer_coarse_seed1_fold2"


def rows_trained(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[list[str], list[str]]:
    monkeypatch.setattr("sys.argv", ["small_organs.py", "1", "-o", "state", *arguments])
    stock, others = small_organs.recipes_of(small_organs.parse_arguments())
    return [recipe.name for recipe in stock], [recipe.name for recipe in others]


def test_stock_is_trained_on_each_plan_unless_its_rows_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    both = ["StockTrainer", "StockTrainerAdamW"]
    coarse = ["--coarse_spacing", "2", "2", "2"]
    assert rows_trained(monkeypatch, "-tr", "Mine", both[0], "Mine") == (both, ["Mine"])
    assert rows_trained(monkeypatch, *coarse) == ([*both, *(f"{name}_coarse" for name in both)], [])
    named = rows_trained(monkeypatch, *coarse, "--stock", "StockTrainer_coarse", "-tr", "Mine_coarse")
    assert named == (["StockTrainer_coarse"], ["Mine_coarse"])
    with pytest.raises(BenchmarkError, match="no second plan for StockTrainer_coarse, Mine_coarse"):
        rows_trained(monkeypatch, "--stock", "StockTrainer_coarse", "-tr", "Mine_coarse")
    with pytest.raises(BenchmarkError, match="--stock: Mine isn't StockTrainer or StockTrainerAdamW"):
        rows_trained(monkeypatch, "--stock", "Mine")


def test_unseen_cases_are_the_first_by_name_or_those_of_five_folds() -> None:
    cases = [f"case{i}" for i in range(10)]
    assert choose_unseen(cases, 2, Path("heads")) == [cases[:2]]
    folds = choose_unseen(cases, None, Path("heads"))
    assert len(folds) == 5
    assert sorted(case for fold in folds for case in fold) == cases
    with pytest.raises(BenchmarkError, match="heads has 10 cases, of which 9 are unseen"):
        choose_unseen(cases, 9, Path("heads"))


def test_what_is_unseen_is_not_validated_on_either() -> None:
    cases = [f"case{i}" for i in range(10)]
    assert split(cases, cases[:2]) == {"train": cases[4:], "val": cases[2:4]}
    assert split(cases[:3], cases[:1]) == {"train": cases[2:3], "val": cases[1:2]}


def test_a_dataset_has_the_name_that_nnunet_wants(tmp_path: Path) -> None:
    for name in ("Dataset701_Heads", "Heads"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "dataset.json").write_text("{}")
    assert find_dataset(str(tmp_path / "Dataset701_Heads")) == (tmp_path / "Dataset701_Heads").resolve()
    with pytest.raises(BenchmarkError, match="DatasetXXX_NAME"):
        find_dataset(str(tmp_path / "Heads"))
    with pytest.raises(BenchmarkError, match=r"no dataset\.json"):
        find_dataset(str(tmp_path / "Dataset702_Other"))


PATCH = [8, 8, 8]
SETTINGS = Settings(
    *("Dataset701_Heads", "/data/a/Dataset701_Heads", None, PATCH, None, PATCH, 2, [8, 16], 90, False, 4, None),
    *(2, 2, "cpu"),
)


def test_a_folder_is_for_one_set_of_settings(tmp_path: Path) -> None:
    mine, new = tmp_path / "mine", tmp_path / "new"
    mine.mkdir()
    (mine / "thesis.txt").write_text("mine")
    with pytest.raises(BenchmarkError, match="mine holds other files"):
        State.open(mine, SETTINGS)
    assert (mine / "thesis.txt").read_text() == "mine"
    State.open(new, SETTINGS)
    assert State.load(new).settings == SETTINGS
    State.open(new, SETTINGS)
    with pytest.raises(BenchmarkError, match="begun with minutes 90: name another"):
        State.open(new, replace(SETTINGS, minutes=30))
    with pytest.raises(BenchmarkError, match="begun with source /data/a/Dataset701_Heads"):
        State.open(new, replace(SETTINGS, source="/data/b/Dataset701_Heads"))
    with pytest.raises(BenchmarkError, match="another version"):
        claim(new, {"dataset": "Dataset701_Heads"})
    with pytest.raises(WriteError, match="a file is where a folder should be"):
        State.open(mine / "thesis.txt", SETTINGS)


@pytest.mark.parametrize(("device", "predicting"), [("cpu", (2, "1", "1")), ("cuda", (1, "2", "2"))])
def test_processes_share_cores_but_no_gpu_that_they_predict_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str, predicting: tuple[int, str, str]
) -> None:
    started: list[tuple[int, str, str]] = []

    def start(jobs: list[Job], at_once: int) -> None:
        variables = jobs[0].environment
        started.append((at_once, variables["OMP_NUM_THREADS"], variables["nnUNet_def_n_proc"]))

    monkeypatch.setattr(state, "run_jobs", start)
    where = State(tmp_path, replace(SETTINGS, device=device))
    for task in ("train", "predict"):
        where.work(task, [Run(Recipe("SNetTrainer"))])
    assert started == [(2, "1", "1"), predicting]


@pytest.mark.parametrize(("device", "untimed"), [("cpu", []), ("cuda", ["a"])])
def test_a_gpus_first_prediction_is_not_timed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str, untimed: list[str]
) -> None:
    where = State(tmp_path, replace(SETTINGS, device=device))
    state.write_json(where.unseen_file, [["done", "a", "b"]])
    row, run = Row(Recipe("SNetTrainer")), Run(Recipe("SNetTrainer"))
    done = {"done": {"total": 1.0, "network": 1.0}}
    state.write_json(where.prediction_seconds(row, 0, 0), done)
    predicted: list[str] = []

    class Predictor:
        network_seconds = 0.5

        def __init__(self) -> None:
            self.device = torch.device(device)

        def predict_from_files_sequential(self, images: list[list[str]], targets: list[str]) -> None:
            predicted.append(Path(targets[0]).name)

    monkeypatch.setattr(worker, "make_predictor", lambda *_: Predictor())
    images = {case: {"images": [f"{case}.nii.gz"]} for case in ("done", "a", "b")}
    monkeypatch.setattr(worker, "get_filenames_of_train_images_and_targets", lambda _: images)
    worker.predict_row(where, run, row)
    assert predicted == [*untimed, "a", "b"]
    assert list(state.read_json(where.prediction_seconds(row, 0, 0))) == ["done", "a", "b"]


def test_inference_is_timed_in_the_precision_of_nnunets_predictor(monkeypatch: pytest.MonkeyPatch) -> None:
    precisions: list[tuple[str, bool]] = []

    def autocast(kind: str, enabled: bool) -> contextlib.nullcontext[None]:
        precisions.append((kind, enabled))
        return contextlib.nullcontext()

    monkeypatch.setattr(torch, "autocast", autocast)
    for kind in ("cpu", "cuda"):
        step_time.inference(torch.nn.Identity(), SimpleNamespace(device=torch.device(kind)))()
    assert precisions == [("cpu", False), ("cuda", True)]


def test_a_trainer_killed_while_it_writes_keeps_the_checkpoint_before(tmp_path: Path) -> None:
    class Plain:
        def save_checkpoint(self, filename: str) -> None:
            Path(filename).write_text("half")
            raise KeyboardInterrupt

    checkpoint = tmp_path / "checkpoint_latest.pth"
    checkpoint.write_text("whole")
    with pytest.raises(KeyboardInterrupt):
        type("Killed", (Budgeted, Plain), {})().save_checkpoint(str(checkpoint))
    assert checkpoint.read_text() == "whole"


def test_a_resumable_trainer_is_told_which_checkpoint_it_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(ResumableTrainer, "save_checkpoint", lambda _, filename: told.append(filename))
    trainer_class = type("Resumable", (Budgeted, ResumableTrainer), {})
    trainer_class.__new__(trainer_class).save_checkpoint("checkpoint_latest.pth")
    assert told == ["checkpoint_latest.pth"]


def test_a_resumed_short_run_draws_other_patches_than_it_began_with(monkeypatch: pytest.MonkeyPatch) -> None:
    def draw(trainer: SNetTrainerShort) -> tuple[float, float]:
        return np.random.random(), torch.rand(1).item()

    monkeypatch.setattr(SNetTrainer, "get_dataloaders", draw)
    trainer = SNetTrainerShort.__new__(SNetTrainerShort)
    drawn = []
    for trainer.current_epoch in (0, 3, 0):
        drawn.append(trainer.get_dataloaders())
    assert drawn[0] == drawn[2]
    assert drawn[0][0] != drawn[1][0]
    assert drawn[0][1] != drawn[1][1]


def test_a_table_keeps_its_values_as_they_are_and_leaves_gaps_empty(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"organ": "Lens, left", "cases": 4, "mean": 0.5}, {"organ": "mean", "mean": math.nan}]
    text = 'organ,cases,mean\r\n"Lens, left",4,0.5\r\nmean,,nan\r\n'
    write_csv(tmp_path / "table.csv", rows)
    assert (tmp_path / "table.csv").read_bytes().decode() == text
    write_csv(None, rows)
    print("the standard output is still open")
    assert capsys.readouterr().out == f"{text}the standard output is still open\n"


def test_either_script_goes_on_in_a_folder_of_the_other_one(monkeypatch: pytest.MonkeyPatch) -> None:
    same = ["1", "-o", "state", "--unseen", "8", "--parallel", "2"]
    same += ["--spacing", "2", "1", "1", "--patch", "8", "16", "24"]
    asked = []
    for script, minutes in ((paper_tables, []), (small_organs, ["--minutes", "60"])):
        monkeypatch.setattr("sys.argv", ["script", *same, *minutes])
        asked.append(settings_of(script.parse_arguments(), Path("/data/Dataset701_Heads")))
    settings, of_other = asked
    assert settings == of_other
    assert (settings.dataset, settings.source) == ("Dataset701_Heads", "/data/Dataset701_Heads")
    assert (settings.minutes, settings.spacing) == (60, [2.0, 1.0, 1.0])
    assert (settings.coarse_spacing, settings.coarse_patch) == (None, [8, 16, 24])


def test_results_begin_with_whether_the_budget_counts_and_warnings(tmp_path: Path) -> None:
    rows = ["StockTrainer", "SNetTrainer"]
    flat = curve([0.0] * 6 + [0.60, 0.62, 0.62, 0.61])
    findings = Findings(
        patients(StockTrainer=[[0.6] * 5], SNetTrainer=[[0.7] * 5]),
        {"small": ["A"], "large": ["B"]},
        dict.fromkeys(rows, flat),
        dict.fromkeys(rows, Flatness.of(flat)),
        {"StockTrainer": figures(trainer=rows[0], train_minutes=60.0), "SNetTrainer": figures(trainer=rows[1])},
        ["case9 is left out"],
    )
    where = State(tmp_path, replace(SETTINGS, minutes=1))  # as many as all figures are by default
    warnings = ["**StockTrainer trained for 60.0 of 1 minutes.**", "**case9 is left out**"]
    of_both = {"flatness.csv", "trainers.csv", "organs.csv", "curves.csv", "curves.png", "results.md"}

    own = tmp_path / "own"
    own.mkdir()
    file = small_organs.write_results(where, own, findings, [Recipe(rows[0])], [Recipe(rows[1])], time_factor=0.5)
    title, verdict, *rest = file.read_text().split("\n\n")
    assert title.startswith("# Dataset701_Heads: 1 minutes a training, cpu, 2 trainings side by side")
    assert verdict.startswith("**This budget counts.** StockTrainer, the better stock row: ")
    assert rest[:2] == warnings
    assert rest[2].startswith("## Goals of SNetTrainer")
    assert {path.name for path in own.iterdir()} == of_both | {"goals.csv"}
    assert pd.read_csv(own / "flatness.csv")["decides"].tolist() == [True, False]

    papers = tmp_path / "papers"
    papers.mkdir()
    parts = paper_tables.write_results(where, papers, findings, []).read_text().split("\n\n")
    assert parts[:4] == [title, *warnings, "## What the paper says, and what was found"]
    assert {path.name for path in papers.iterdir()} == of_both | {"averages.csv"}
    assert pd.read_csv(papers / "organs.csv")["dsc"].tolist() == [0.8, 0.8, 0.6, 0.7]


def test_data_are_loaded_beside_a_gpu_and_by_one_process_at_most_beside_a_cpu() -> None:
    on_cpu, on_gpu = (replace(SETTINGS, device=device) for device in ("cpu", "cuda"))
    assert [on_cpu.loaders_of(threads) for threads in (1, 2, 5)] == [0, 1, 1]
    assert [on_gpu.loaders_of(threads) for threads in (1, 2, 5)] == [0, 2, 5]


def test_arms_train_in_folders_of_their_own_and_go_on_from_their_own_checkpoints(tmp_path: Path) -> None:
    model = missing_organs.model_folder(tmp_path, "listed", "Dataset701_Heads", "SNetTrainerShort")
    (model / "fold_0").mkdir(parents=True)
    (model / "fold_0" / "checkpoint_latest.pth").touch()
    background, listed = (
        missing_organs.training(tmp_path, arm, "Dataset701_Heads", "SNetTrainerShort") for arm in missing_organs.ARMS
    )
    assert ("--c" in background.command, "--c" in listed.command) == (False, True)
    assert listed.log == tmp_path / "listed.log"
    for arm, job in (("background", background), ("listed", listed)):
        assert job.environment["nnUNet_results"] == str(tmp_path / arm / "nnUNet_results")
        assert job.environment["nnUNet_n_proc_DA"] == "0"
        assert Path(job.environment["nnUNet_extTrainer"], "short_trainers.py").is_file()


def test_references_keep_the_ending_of_the_dataset(tmp_path: Path) -> None:
    dataset = {"labels": {"background": 0, "Lens": 1}, "channel_names": {"0": "CT"}, "numTraining": 1}
    (tmp_path / "dataset.json").write_text(json.dumps(dataset | {"file_ending": ".nrrd"}))
    (tmp_path / "splits_final.json").write_text(json.dumps([{"train": ["b"], "val": ["a"]}]))
    (tmp_path / "gt_segmentations").mkdir()
    for case in "ab":
        (tmp_path / "gt_segmentations" / f"{case}.nrrd").write_text(case)
    missing_organs.collect_references(tmp_path, tmp_path / "references")
    assert [file.name for file in (tmp_path / "references").iterdir()] == ["a.nrrd"]


def test_predictions_from_elsewhere_have_no_name_of_a_row(tmp_path: Path) -> None:
    given = State(tmp_path, SETTINGS)
    for name in ("SNetTrainer", "SNetTrainer_seed0", "SNetTrainer_own_predictor"):
        with pytest.raises(BenchmarkError, match=f"-pred: {name} is a row of its own"):
            paper_tables.take_predictions(given, f"{name}={tmp_path}", [0], [Recipe("SNetTrainer")])


def test_predictions_of_other_folds_cases_are_left_out() -> None:
    """Earlier calls may have left some."""
    references, predictions = (LabelMaps(Path(), {case: Path(case) for case in cases}) for cases in ("ab", "abc"))
    comparison = Comparison(references, {"a": predictions}, {"Lens": 1}, ".nii.gz", {"Lens": 1.0})
    assert set(_of_references(comparison).predictions["a"].files) == {"a", "b"}


@pytest.mark.parametrize(("platform", "counted"), [("linux", 3 * 2**10), ("darwin", 3 * 2**20)])
def test_memory_is_counted_in_kib_on_linux_and_in_bytes_on_macos(
    monkeypatch: pytest.MonkeyPatch, platform: str, counted: int
) -> None:
    monkeypatch.setattr(peak_memory.sys, "platform", platform)
    monkeypatch.setattr(peak_memory.resource, "getrusage", lambda _: SimpleNamespace(ru_maxrss=counted))
    assert peak_memory.peak_rss_mib(peak_memory.resource.RUSAGE_CHILDREN) == 3
