"""One line of figures for each row of the tables, averaged over seeds and folds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any

from side_by_side.patients import Patients


@dataclass(frozen=True)
class Figures:
    """One row: means over patients, then over seeds; counts of all patients, means over seeds."""

    trainer: str
    dsc_small: float
    dsc_large: float
    nsd_small: float
    nsd_large: float
    hd95_small_mm: float  # over organs that were found, as for large ones
    hd95_large_mm: float
    missed_small: float
    missed_large: float
    far_voxels_small: float
    far_voxels_large: float
    trainings: int
    train_minutes: float  # of one training, as all that follows
    cpu_minutes: float
    epochs: int
    iterations: float
    step_seconds: float  # mean over all, with data loading
    last_stage: str
    last_stage_step_seconds: float  # median
    parameters: int
    peak_mib: float
    inference_seconds: float  # mean over the cases, from the raw image to the label map
    network_seconds: float  # of these, spent in the network
    minutes_to_stock_dsc: float  # of the trainings' mean curve


def read_figures(
    row: str,
    trainings: Sequence[dict[str, Any]],
    predicting: Sequence[dict[str, Any]],
    minutes_to_stock_dsc: float,
    patients: Patients,
    groups: Mapping[str, Sequence[str]],
) -> Figures:
    """Figures of a row.

    Args:
        row: its name.
        trainings: records of its trainings.
        predicting: seconds of each case, a record for each training.
        minutes_to_stock_dsc: after which the trainings' mean curve is at stock's final online DSC.
        patients: all measurements.
        groups: organs by "small" and "large".
    """
    last = trainings[0]["stage"][-1]
    cases = [case for record in predicting for case in record.values()]

    def mean(metric: str, group: str) -> float:
        return patients.mean(row, groups[group], metric)

    def total(column: str, group: str) -> float:
        return patients.total(row, groups[group], column)

    def steps(training: dict[str, Any]) -> list[float]:
        return [s for s, stage in zip(training["step_seconds"], training["stage"], strict=True) if stage == last]

    return Figures(
        trainer=row,
        dsc_small=mean("dsc", "small"),
        dsc_large=mean("dsc", "large"),
        nsd_small=mean("nsd", "small"),
        nsd_large=mean("nsd", "large"),
        hd95_small_mm=mean("hd95_mm", "small"),
        hd95_large_mm=mean("hd95_mm", "large"),
        missed_small=total("missed", "small"),
        missed_large=total("missed", "large"),
        far_voxels_small=total("far_voxels", "small"),
        far_voxels_large=total("far_voxels", "large"),
        trainings=len(trainings),
        train_minutes=fmean(sum(each["seconds"]) / 60 for each in trainings),
        cpu_minutes=fmean(sum(each["cpu_seconds"]) / 60 for each in trainings),
        epochs=len(trainings[0]["seconds"]),
        iterations=fmean(sum(each["iterations"]) for each in trainings),
        step_seconds=fmean(sum(each["train_seconds"]) / sum(each["iterations"]) for each in trainings),
        last_stage=last,
        last_stage_step_seconds=fmean(median(steps(each)) for each in trainings),
        parameters=trainings[0]["parameters"],
        peak_mib=fmean(max(each["peak_mib"]) for each in trainings),
        inference_seconds=fmean(case["total"] for case in cases),
        network_seconds=fmean(case["network"] for case in cases),
        minutes_to_stock_dsc=minutes_to_stock_dsc,
    )
