"""The demo's table: Dice similarity coefficient (DSC) per organ on unseen cases, from nnU-Net's summary.json."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class OrganScore:
    """One organ on all unseen cases: its mean reference volume in voxels and its DSC per case, NaN where undefined."""

    name: str
    voxels: float
    dice: list[float]

    @property
    def mean_dice(self) -> float:
        """Mean over the cases in which the DSC is defined."""
        defined = [value for value in self.dice if not math.isnan(value)]
        return sum(defined) / len(defined) if defined else math.nan


def read_scores(summary_file: Path, labels: dict[str, int]) -> list[OrganScore]:
    """Scores of every organ in `labels` but the background, smallest organ first."""
    cases = json.loads(summary_file.read_text())["metric_per_case"]
    scores = []
    for name, label in labels.items():
        if label == 0:
            continue
        metrics = [case["metrics"][str(label)] for case in cases]
        voxels = sum(metric["n_ref"] for metric in metrics) / len(metrics)
        scores.append(OrganScore(name, voxels, [float(metric["Dice"]) for metric in metrics]))
    return sorted(scores, key=lambda score: score.voxels)


def format_table(scores: list[OrganScore]) -> str:
    """The scores as text, one organ a line."""
    cases = len(scores[0].dice)
    lines = [f"{'organ':<14}{'voxels':>8}{'DSC':>8}   in each of {cases} unseen simulated cases"]
    for score in scores:
        each = " ".join(f"{value:.2f}" for value in score.dice)
        lines.append(f"{score.name:<14}{score.voxels:>8.0f}{score.mean_dice:>8.2f}   {each}")
    return "\n".join(lines)
