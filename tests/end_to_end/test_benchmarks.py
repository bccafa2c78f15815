"""The benchmarks' scripts as a user starts them, on a network and in a time that teach nothing."""

import csv
import subprocess
import sys
from pathlib import Path

import pytest
from nnunet_project import DATASET_ID, Project

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
TRAINERS = ["StockTrainer", "StockTrainerAdamW", "FocusNetTrainerPlansNetwork"]


def run(project: Project, script: str, *arguments: object) -> str:
    command = [sys.executable, str(BENCHMARKS / script), *map(str, arguments)]
    done = subprocess.run(command, env=project.environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as opened:
        return list(csv.DictReader(opened))


@pytest.fixture(scope="module")
def state(project: Project) -> Path:
    """Where the benchmark of six epochs a trainer has left everything."""
    state = project.root / "side by side"
    small_benchmark(project, state)
    return state


def small_benchmark(project: Project, state: Path) -> str:
    return run(
        project,
        *("small_organs.py", project.raw, "-o", state, "-tr", TRAINERS[-1], "--minutes", 0.01, "--unseen", 1),
        *("--patch", 16, 32, 32, "--features", 4, 8, "--small_organs", "Lens_L", "Lens_R", "-device", "cpu"),
    )


def test_small_organs_compares_all_trainers(state: Path) -> None:
    results = state / "results"
    assert [row["trainer"] for row in rows(results / "trainers.csv")] == TRAINERS
    assert {int(row["epochs"]) for row in rows(results / "trainers.csv")} == {6}
    assert {row["verdict"] for row in rows(results / "goals.csv")} <= {"met", "missed", "not applicable"}
    assert len(rows(results / "goals.csv")) == 7
    assert [row["group"] for row in rows(results / "organs.csv")].count("small") == 2 * len(TRAINERS)
    assert [row["trainer"] for row in rows(results / "curves.csv")] == [name for name in TRAINERS for _ in range(6)]
    text = (results / "results.md").read_text()
    assert "the budget is too short" in text
    assert (results / "curves.png").stat().st_size > 0


def test_small_organs_does_nothing_twice(project: Project, state: Path) -> None:
    finished = [*(state / "training").iterdir(), *(state / "predictions").rglob("*.nii.gz")]
    before = {file: file.stat().st_mtime_ns for file in finished}
    assert len(before) == 2 * len(TRAINERS)
    small_benchmark(project, state)
    assert {file: file.stat().st_mtime_ns for file in finished} == before


def test_without_sos_compares_the_same_weights_with_and_without_them(project: Project, state: Path) -> None:
    printed = run(project, "without_sos.py", state)
    assert "main_network_alone" in printed
    assert "FocusNetTrainerPlansNetwork" in printed


def test_step_time_has_every_stage_beside_stock(project: Project, tmp_path: Path) -> None:
    run(project, "step_time.py", DATASET_ID, "-n", 1, "-o", tmp_path / "times.csv")
    ratios = {row["what"]: row["ratio_to_stock"] for row in rows(tmp_path / "times.csv")}
    assert ratios["step, stock [s]"] == ratios["tiles, stock [s]"] == "1.00"
    assert {f"step, {what} [s]" for what in ("S-Net", "SOL", "SOS", "joint", "plans' network")} <= set(ratios)
    assert float(ratios["feature maps, FocusNet [values]"]) > float(ratios["feature maps, S-Net [values]"])
