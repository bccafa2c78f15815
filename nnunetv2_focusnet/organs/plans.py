"""What the labels say about each organ: its size, whether it is small, its ROI, heat map and loss weight."""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nnunetv2.configuration import default_num_processes
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from nnunetv2_focusnet.organs.annotations import check_label_files, check_training_cases
from nnunetv2_focusnet.organs.dataset_json import DatasetJson
from nnunetv2_focusnet.organs.label_statistics import LabelStatistics, measure_label_files

SMALL_ORGAN_VOXELS = 1000  # paper, section 3.1
HEAT_MAP_SIGMA_PER_DIAMETER = 0.5  # the first author's later code has 5 mm for organs of about 1 cm
SMALLEST_SIGMA_VOXELS = 1.0  # a narrower Gaussian is a single voxel, which is hard to regress
FOCAL_WEIGHT_EXPONENT = 1.0  # paper, equation 1: weights inversely proportional to the organ's size
BACKGROUND_FOCAL_WEIGHT = 0.5


@dataclass(frozen=True)
class Organ:
    """One organ, averaged over the cases that have it.

    Attributes:
        name: as in dataset.json.
        label: its value in the label files.
        volume_mm3: mean volume.
        extent_mm: mean extent of the bounding box along the network's axes (after ``transpose_forward``).
        num_cases: number of cases it is annotated in, those included in which it isn't there.
    """

    name: str
    label: int
    volume_mm3: float
    extent_mm: tuple[float, float, float]
    num_cases: int

    @property
    def diameter_mm(self) -> float:
        """Mean of the three extents, the paper's mean diameter."""
        return sum(self.extent_mm) / 3


def measure_organs(
    preprocessed_folder: Path,
    plans: dict[str, Any],
    dataset: DatasetJson,
    num_processes: int = default_num_processes,
) -> list[Organ]:
    """Measure the organs in all label files of a preprocessed dataset, sorted by label.

    The result depends neither on fold, nor on the order of files or processes. Measurements are cached in the
    preprocessed folder, see :mod:`nnunetv2_focusnet.organs.label_statistics`.

    Args:
        preprocessed_folder: ``<nnUNet_preprocessed>/DatasetXXX_Name``.
        plans: content of the plans file.
        dataset: the dataset.json.
        num_processes: processes that read label files.

    Raises:
        ValueError: dataset.json lists a case that isn't there, a label never occurs, a file holds a label that
            dataset.json doesn't have or calls not annotated there, or a file has a fault of its own (unreadable, not
            integer, not on the grid of its image).
    """
    unannotated = dataset.unannotated
    manager = PlansManager(plans)
    folder = preprocessed_folder / "gt_segmentations"
    check_training_cases(dataset, folder)
    files = measure_label_files(
        preprocessed_folder,
        file_ending=dataset.file_ending,
        reader=manager.image_reader_writer_class,
        data_identifiers=[manager.get_configuration(c).data_identifier for c in manager.available_configurations],
        transpose_forward=manager.transpose_forward,
        num_processes=num_processes,
    )
    _check_label_values(files, dataset.values)
    check_label_files(dataset, files)
    cases = [path.name.removesuffix(dataset.file_ending) for path in files]
    return [
        _average(
            name,
            label,
            [f[label] for f in files.values() if label in f],
            num_cases=sum(label not in unannotated.get(case, ()) for case in cases),
            transpose_forward=manager.transpose_forward,
            folder=folder,
        )
        for name, label in sorted(dataset.labels.items(), key=lambda item: item[1])
    ]


def describe_organs(
    organs: Sequence[Organ],
    dataset: DatasetJson,
    *,
    spacing: Sequence[float],
    patch_size: Sequence[int],
    largest_margin_mm: float = math.inf,
) -> dict[str, Any]:
    """What the network and the losses need to know about the organs at one spacing; JSON-able.

    - Small are the organs named in ``dataset.json["focusnet"]["small_organs"]``, else those whose mean volume is below
      1000 voxels (paper, section 3.1).
    - ``roi_size`` is ``roi_scale`` (3, or ``dataset.json["focusnet"]["roi_scale"]``) times the mean extent along each
      axis, but at most ``largest_margin_mm`` more on either side than that extent, rounded up to even; at most the
      patch.
    - ``sigma`` of the heat map is half the mean diameter, the same in mm along all axes, at least one voxel.
    - ``focal_weights`` are inversely proportional to mean volume (equation 1), the largest organ having 1. Background
      has 0.5: its volume is that of the field of view, so 1/volume would say nothing about it but would all but
      remove the penalty for false positives; the first author's later code has 0.5, too.

    Args:
        organs: all organs, sorted by label.
        dataset: the dataset.json.
        spacing: (z, y, x) in mm, of the network's axes.
        patch_size: (z, y, x) in voxels, of the network's axes.
        largest_margin_mm: of an ROI around the mean extent.

    Returns:
        A dict with ``small_organs``, each one of ``name``, ``label``, ``roi_size``, ``wanted_roi_size`` (before it was
        cut down to the patch), ``sigma``, ``diameter_mm`` and ``volume_voxels``, sizes and sigma as [z, y, x] in
        voxels; and ``focal_weights``, one per class, background first.
    """
    voxel_mm3 = math.prod(spacing)
    small = []
    for organ in organs:
        if not _is_small(organ, dataset, voxel_mm3):
            continue
        wanted_mm = [min(dataset.roi_scale * mm, mm + 2 * largest_margin_mm) for mm in organ.extent_mm]
        wanted = [_round_up_to_even(mm / s) for mm, s in zip(wanted_mm, spacing, strict=True)]
        sigma_mm = HEAT_MAP_SIGMA_PER_DIAMETER * organ.diameter_mm
        small.append(
            {
                "name": organ.name,
                "label": organ.label,
                "roi_size": [min(size, patch // 2 * 2) for size, patch in zip(wanted, patch_size, strict=True)],
                "wanted_roi_size": wanted,
                "sigma": [max(SMALLEST_SIGMA_VOXELS, sigma_mm / mm) for mm in spacing],
                "diameter_mm": organ.diameter_mm,
                "volume_voxels": organ.volume_mm3 / voxel_mm3,
            }
        )
    largest = max(organ.volume_mm3 for organ in organs)
    weights = [(organ.volume_mm3 / largest) ** -FOCAL_WEIGHT_EXPONENT for organ in organs]
    return {"small_organs": small, "focal_weights": [BACKGROUND_FOCAL_WEIGHT, *weights]}


def add_organs_to_plans(
    plans: dict[str, Any],
    dataset: DatasetJson,
    preprocessed_folder: Path,
    largest_margin_mm: float = math.inf,
) -> dict[str, Any]:
    """A copy of the plans with ``plans["focusnet"]`` and a ``"focusnet"`` entry in every 3D configuration.

    Args:
        plans: content of any nnU-Net v2 plans file.
        dataset: the dataset.json.
        preprocessed_folder: ``<nnUNet_preprocessed>/DatasetXXX_Name``.
        largest_margin_mm: as :func:`describe_organs`.

    Raises:
        ValueError: as :func:`measure_organs`.
    """
    organs = measure_organs(preprocessed_folder, plans, dataset)
    manager = PlansManager(plans)
    result = deepcopy(plans)
    as_json = [asdict(organ) | {"extent_mm": list(organ.extent_mm)} for organ in organs]
    result["focusnet"] = {"organs": as_json}
    for name in manager.available_configurations:
        resolved = manager.get_configuration(name)
        if len(resolved.patch_size) == 3:
            result["configurations"][name]["focusnet"] = describe_organs(
                organs,
                dataset,
                spacing=resolved.spacing,
                patch_size=resolved.patch_size,
                largest_margin_mm=largest_margin_mm,
            )
    return result


def roi_warnings(small_organs: Sequence[dict[str, Any]]) -> list[str]:
    """One line for each small organ, as the plans describe it, whose ROI had to be cut down to the patch."""
    return [
        f"The ROI of {organ['name']} should have {_by(organ['wanted_roi_size'])} voxels (z, y, x) but gets the"
        f" {_by(organ['roi_size'])} that fit into the patch: plan for a GPU with more memory"
        " (nnUNetv2_plan_experiment -gpu_memory_target), or leave the organ out of the small ones in dataset.json."
        for organ in small_organs
        if organ["roi_size"] != organ["wanted_roi_size"]
    ]


def organ_table(plans: dict[str, Any], configuration: str) -> str:
    """A text table for the training log, of plans that :func:`add_organs_to_plans` returned."""
    resolved = PlansManager(plans).get_configuration(configuration)
    voxel_mm3 = math.prod(resolved.spacing)
    small = {organ["label"]: organ for organ in resolved.configuration["focusnet"]["small_organs"]}
    weights = resolved.configuration["focusnet"]["focal_weights"]
    rows = [("organ", "label", "cases", "mm3", "voxels", "extent (mm)", "weight", "small: ROI (voxels)")]
    for organ in plans["focusnet"]["organs"]:
        label = organ["label"]
        rows.append(
            (
                organ["name"],
                str(label),
                str(organ["num_cases"]),
                f"{organ['volume_mm3']:.0f}",
                f"{organ['volume_mm3'] / voxel_mm3:.0f}",
                " x ".join(f"{mm:.1f}" for mm in organ["extent_mm"]),
                f"{weights[label]:.2f}",
                _by(small[label]["roi_size"]) if label in small else "",
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(
            [f"{row[0]:<{widths[0]}}", *(f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def _is_small(organ: Organ, dataset: DatasetJson, voxel_mm3: float) -> bool:
    if dataset.small_organs is not None:
        return organ.name in dataset.small_organs
    return organ.volume_mm3 / voxel_mm3 < SMALL_ORGAN_VOXELS


def _round_up_to_even(voxels: float) -> int:
    # 3 * 10 * 0.98 / 0.98 is a little more than 30 in floating point and must not become 32
    return 2 * math.ceil(round(voxels, 6) / 2)


def _check_label_values(files: dict[Path, dict[int, LabelStatistics]], known: frozenset[int]) -> None:
    for path, statistics in files.items():
        if unknown := sorted(statistics.keys() - known):
            raise ValueError(
                f"{path} holds the label values {_listed(unknown)}, which dataset.json doesn't have: add them to "
                "dataset.json or remove them from the file in labelsTr of nnUNet_raw, then plan and preprocess again."
            )


def _average(
    name: str,
    label: int,
    sizes: list[LabelStatistics],
    *,
    num_cases: int,
    transpose_forward: Sequence[int],
    folder: Path,
) -> Organ:
    if not sizes:
        raise ValueError(
            f"{name} (label {label}) occurs in no file of {folder}: remove it from dataset.json or add cases that have "
            "it, then plan and preprocess again."
        )
    # fsum is exact, hence the same for every order of the files
    z, y, x = (math.fsum(size.extent_mm[axis] for size in sizes) / len(sizes) for axis in transpose_forward)
    return Organ(name, label, math.fsum(size.volume_mm3 for size in sizes) / len(sizes), (z, y, x), num_cases)


def _by(sizes: Sequence[int]) -> str:
    return " x ".join(map(str, sizes))


def _listed(values: Sequence[object]) -> str:
    return ", ".join(map(str, values))
