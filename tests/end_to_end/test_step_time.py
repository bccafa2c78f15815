"""The benchmark of seconds per step as a user starts it."""

import csv
from pathlib import Path

from nnunet_project import DATASET_ID, Project

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "step_time.py"


def test_every_stage_is_timed_beside_stock(project: Project, tmp_path: Path) -> None:
    table = tmp_path / "times.csv"
    project.run(str(SCRIPT), DATASET_ID, "-n", "1", "-o", str(table))
    with table.open(newline="") as opened:
        ratios = {row["what"]: row["ratio_to_stock"] for row in csv.DictReader(opened)}
    assert ratios["step, stock [s]"] == ratios["tiles, stock [s]"] == "1.00"
    assert {f"step, {what} [s]" for what in ("S-Net", "SOL", "SOS", "joint", "plans' network")} <= set(ratios)
    assert float(ratios["feature maps, FocusNet [values]"]) > float(ratios["feature maps, S-Net [values]"])
