"""Arithmetic of the benchmarks: plans, epochs that fit into a time, scores."""

import math
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from cpu_plans import fit_strides, narrow
from side_by_side.budget import Pace, Speed, choose_epochs
from side_by_side.prepare import find_dataset
from side_by_side.scores import Curve, Figures, judge, minutes_to_reach, smooth
from side_by_side.state import BenchmarkError, Settings, State

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
    curve = Curve([1, 2, 3, 4, 5], [10] * 5, ["all"] * 5, {"small": dsc, "large": dsc})
    assert smooth(dsc)[2:] == pytest.approx([0.4, 0.3, 0.5])
    assert minutes_to_reach(curve, 0.35) == 3
    assert minutes_to_reach(curve, 0.45) == 5
    assert minutes_to_reach(curve, 0.6) == math.inf
    assert math.isnan(minutes_to_reach(curve, 0.001))


def figures(**changes: Any) -> Figures:
    same = dict.fromkeys(Figures.__dataclass_fields__, 1.0)
    return Figures(**(same | changes))


def test_goals_are_judged_against_the_better_stock_row_in_each_figure() -> None:
    sgd = figures(dsc_small=0.3, hd95_small_mm=4.0, missed_small=3, dsc_large=0.9, minutes_to_stock_dsc=math.inf)
    adamw = figures(dsc_small=0.5, hd95_small_mm=math.nan, missed_small=8, dsc_large=0.8, minutes_to_stock_dsc=60)
    ours = figures(dsc_small=0.6, hd95_small_mm=2.1, missed_small=1, dsc_large=0.88, minutes_to_stock_dsc=20)
    goals = judge(ours, [sgd, adamw], dsc_margin=0.1)
    assert [goal.stock for goal in goals[:5]] == [0.5, 3, 4.0, 0.9, 60]
    assert [goal.verdict for goal in goals] == ["met", "met", "missed", "missed", "met", "met", "met"]
    assert [goal.change for goal in goals[:5]] == pytest.approx([0.1, 1 / 3, 2.1 / 4, -0.02, 1 / 3])


def test_goals_without_organs_or_without_a_figure_of_stock_are_not_judged() -> None:
    nothing = {"dsc_large": math.nan, "hd95_small_mm": math.nan, "minutes_to_stock_dsc": math.nan}
    stock = figures(missed_small=0, **nothing)
    ours = figures(dsc_large=math.nan, missed_small=1)
    verdicts = {goal.figure: goal.verdict for goal in judge(ours, [stock], dsc_margin=0.1)}
    assert verdicts["mean DSC, large organs"] == "not applicable"
    assert verdicts["mean HD95 (mm), small organs"] == "not applicable"
    assert verdicts["minutes to stock's final online DSC of small organs"] == "not applicable"
    assert verdicts["small organs missed"] == "missed"


def test_a_dataset_has_the_name_that_nnunet_wants(tmp_path: Path) -> None:
    for name in ("Dataset701_Heads", "Heads"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "dataset.json").write_text("{}")
    assert find_dataset(str(tmp_path / "Dataset701_Heads")) == (tmp_path / "Dataset701_Heads").resolve()
    with pytest.raises(BenchmarkError, match="DatasetXXX_NAME"):
        find_dataset(str(tmp_path / "Heads"))
    with pytest.raises(BenchmarkError, match=r"no dataset\.json"):
        find_dataset(str(tmp_path / "Dataset702_Other"))


def test_a_folder_is_for_one_set_of_settings(tmp_path: Path) -> None:
    settings = Settings("Dataset701_Heads", None, [8, 8, 8], 2, [8, 16], 90, False, 4, None, 2, "cpu")
    State.open(tmp_path / "state", settings)
    assert State.load(tmp_path / "state").settings == settings
    State.open(tmp_path / "state", settings)
    with pytest.raises(BenchmarkError, match="begun with minutes 90"):
        State.open(tmp_path / "state", Settings(**(vars(settings) | {"minutes": 30})))
