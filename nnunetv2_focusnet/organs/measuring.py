"""The organs of a dataset, as its label files have them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nnunetv2.configuration import default_num_processes
from nnunetv2.imageio.base_reader_writer import BaseReaderWriter
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from nnunetv2_focusnet.organs.annotations import check_label_files, check_training_cases
from nnunetv2_focusnet.organs.dataset_json import DatasetJson
from nnunetv2_focusnet.organs.label_statistics import (
    LabelFile,
    LabelStatistics,
    find_label_files,
    measure_files,
)
from nnunetv2_focusnet.organs.organ import Organ
from nnunetv2_focusnet.organs.statistics_cache import measure_new_files


def measure_organs(
    preprocessed_folder: Path,
    plans: dict[str, Any],
    dataset: DatasetJson,
    num_processes: int = default_num_processes,
    data_identifiers: Sequence[str] | None = None,
) -> list[Organ]:
    """Measure the organs in the label files of all cases of a preprocessed dataset, sorted by label.

    The result depends neither on fold, nor on the order of files or processes. Measurements are cached in the
    preprocessed folder, see :mod:`nnunetv2_focusnet.organs.statistics_cache`.

    Args:
        preprocessed_folder: ``<nnUNet_preprocessed>/DatasetXXX_Name``.
        plans: content of the plans file.
        dataset: the dataset.json.
        num_processes: processes that read label files.
        data_identifiers: names of the folders whose preprocessed cases count; None: those of all configurations.

    Raises:
        ValueError: dataset.json lists a case that isn't there, a label never occurs, a file holds a label that
            dataset.json doesn't have or calls not annotated there, or a file has a fault of its own (unreadable, not
            integer, not on the grid of its image).
    """
    manager = PlansManager(plans)
    folder = preprocessed_folder / "gt_segmentations"
    check_training_cases(dataset, folder)
    if data_identifiers is None:
        data_identifiers = [manager.get_configuration(c).data_identifier for c in manager.available_configurations]
    found = find_label_files(
        preprocessed_folder,
        file_ending=dataset.file_ending,
        reader=manager.image_reader_writer_class,
        data_identifiers=data_identifiers,
        transpose_forward=manager.transpose_forward,
        num_threads=num_processes,
    )
    files = measure_new_files(
        found, preprocessed_folder, reader=manager.image_reader_writer_class, num_processes=num_processes
    )
    return _average_all(files, dataset, manager.transpose_forward, folder)


def measure_raw_organs(
    label_files: Sequence[Path],
    dataset: DatasetJson,
    *,
    reader: type[BaseReaderWriter],
    num_processes: int = default_num_processes,
) -> list[Organ]:
    """Measure the organs of a dataset that isn't preprocessed yet, sorted by label; extents are along the files' axes.

    Args:
        label_files: of all training cases.
        dataset: the dataset.json.
        reader: nnU-Net's reader of the dataset.
        num_processes: processes that read label files.

    Raises:
        ValueError: as :func:`measure_organs`, but for the images' grids, which aren't known yet.
    """
    folder = label_files[0].parent
    check_training_cases(dataset, folder)
    measured = measure_files([LabelFile(path) for path in label_files], reader, num_processes)
    return _average_all(dict(zip(label_files, measured, strict=True)), dataset, (0, 1, 2), folder)


def _average_all(
    files: Mapping[Path, dict[int, LabelStatistics]],
    dataset: DatasetJson,
    transpose_forward: Sequence[int],
    folder: Path,
) -> list[Organ]:
    unannotated = dataset.unannotated
    _check_label_values(files, dataset.values)
    check_label_files(dataset, files)
    cases = [path.name.removesuffix(dataset.file_ending) for path in files]
    return [
        _average(
            name,
            label,
            [f[label] for f in files.values() if label in f],
            num_cases=sum(label not in unannotated.get(case, ()) for case in cases),
            transpose_forward=transpose_forward,
            folder=folder,
        )
        for name, label in sorted(dataset.labels.items(), key=lambda item: item[1])
    ]


def _check_label_values(files: Mapping[Path, dict[int, LabelStatistics]], known: frozenset[int]) -> None:
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
            f"{name} (label {label}) occurs in no case of {folder} that is preprocessed: remove it from dataset.json or"
            " add cases that have it, then plan and preprocess again."
        )
    # fsum is exact, hence the same for every order of the files
    z, y, x = (math.fsum(size.extent_mm[axis] for size in sizes) / len(sizes) for axis in transpose_forward)
    volumes = [size.volume_mm3 for size in sizes]
    return Organ(
        name=name,
        label=label,
        volume_mm3=math.fsum(volumes) / len(volumes),
        extent_mm=(z, y, x),
        num_cases=num_cases,
        volume_range_mm3=(min(volumes), max(volumes)),
    )


def _listed(values: Sequence[object]) -> str:
    return ", ".join(map(str, values))
