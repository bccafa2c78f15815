"""Volume and extent of each label in each label file of a dataset.

This module imports no torch: the processes that read the files are spawned, and each imports it.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from batchgenerators.utilities.file_and_folder_operations import load_pickle
from nnunetv2.imageio.base_reader_writer import BaseReaderWriter
from scipy.ndimage import find_objects
from tqdm import tqdm

from nnunetv2_focusnet.images.properties import grid_of
from nnunetv2_focusnet.images.reading import check_file, explain
from nnunetv2_focusnet.system.folders import files_with_ending
from nnunetv2_focusnet.system.processes import ProcessDiedError, map_in_processes
from nnunetv2_focusnet.system.text import with_kind

LARGEST_LABEL = 2**16 - 1  # nnU-Net writes label maps of 16 bits at most
REMEDY = "mend or replace the case's file in labelsTr of nnUNet_raw, then run nnUNetv2_preprocess again"


@dataclass(frozen=True)
class LabelStatistics:
    """Size of one label in one file; ``extent_mm`` in the order of the axes as nnU-Net's reader returns them."""

    volume_mm3: float
    extent_mm: tuple[float, ...]


@dataclass(frozen=True)
class LabelFile:
    """A label file, what its image looks like (None: not preprocessed), and a key that tells whether to measure again.

    The key changes with the file's bytes, with the geometry of its image and with nnU-Net's reader.
    """

    path: Path
    image: dict[str, Any] | None = None
    key: str = ""


def find_label_files(
    preprocessed_folder: Path,
    *,
    file_ending: str,
    reader: type[BaseReaderWriter],
    data_identifiers: Sequence[str],
    transpose_forward: Sequence[int],
    num_threads: int,
) -> list[LabelFile]:
    """The label files in ``gt_segmentations``, sorted by name.

    Args:
        preprocessed_folder: ``<nnUNet_preprocessed>/DatasetXXX_Name``.
        file_ending: of the label files, as in dataset.json.
        reader: nnU-Net's reader, as named in the plans.
        data_identifiers: folders that may hold the cases' properties (``CASE.pkl``), from which the images' geometry
            is known. A case without them is left out; if none has any, label files' own spacings are taken.
        transpose_forward: of the plans.
        num_threads: that read the files' bytes.

    Raises:
        ValueError: there are no label files, or one, or the properties of a case, can't be read.
    """
    folder = preprocessed_folder / "gt_segmentations"
    paths = files_with_ending(folder, file_ending)
    if not paths:
        raise ValueError(f"{folder} holds no label files (*{file_ending}): run nnUNetv2_preprocess for this dataset.")
    describe = partial(
        _label_file,
        file_ending=file_ending,
        reader=reader,
        case_folders=[preprocessed_folder / identifier for identifier in data_identifiers],
        transpose_forward=transpose_forward,
    )
    with ThreadPoolExecutor(num_threads) as threads:
        files = list(threads.map(describe, paths))
    # nnU-Net only ever adds to gt_segmentations: a case that was taken out of the dataset stays there.
    return [file for file in files if file.image] or files


def measure_files(
    files: Sequence[LabelFile], reader: type[BaseReaderWriter], num_processes: int
) -> Iterator[dict[int, LabelStatistics]]:
    """Yield the statistics of every label (background left out) of the files in their order.

    Args:
        files: those whose image isn't known are measured in their own spacing.
        reader: nnU-Net's reader.
        num_processes: processes that read files.

    Raises:
        ValueError: a file isn't whole, can't be read, holds something else than labels or doesn't lie on the grid of
            its image.
    """
    measured = map_in_processes(partial(_measure_file, reader=reader), files, num_processes)
    try:
        with closing(measured):
            yield from tqdm(measured, total=len(files), desc="Measuring organs", unit="file", disable=not files)
    except ProcessDiedError as error:
        raise ProcessDiedError(
            f"Measuring the label files in {files[0].path.parent}: {error}; if a script of yours trains, put its calls "
            'under if __name__ == "__main__"'
        ) from None
    except ValueError as error:
        raise ValueError(str(error)) from None  # without the traceback of the process it comes from


def _measure_file(file: LabelFile, reader: type[BaseReaderWriter]) -> dict[int, LabelStatistics]:
    check_file(file.path, REMEDY)  # nnU-Net's readers take one that is cut off
    try:
        segmentation, properties = reader().read_seg(str(file.path))
    except Exception as error:  # every reader has exceptions of its own
        reason = explain(error)
        raise ValueError(f"{file.path} can't be read as a label file, {reason}: {reason.remedy or REMEDY}.") from None
    labels = segmentation[0]
    properties = properties | {"shape": labels.shape}
    if file.image is not None:
        _check_geometry(file.path, properties, file.image)
    spacing = (file.image or properties)["spacing"]

    integers = _as_integers(labels, file.path)
    return {
        label: LabelStatistics(
            volume_mm3=float(np.count_nonzero(integers[box] == label) * math.prod(spacing)),
            extent_mm=tuple(float((s.stop - s.start) * mm) for s, mm in zip(box, spacing, strict=True)),
        )
        for label, box in enumerate(find_objects(integers), start=1)
        if box is not None
    }


def _as_integers(labels: np.ndarray, path: Path) -> np.ndarray:
    """Readers return float32."""
    value = next((end for end in (labels.min(), labels.max()) if not 0 <= end <= LARGEST_LABEL), None)  # NaN, too
    if value is None:
        integers = labels.astype(np.uint16)
        fractional = labels != integers
        if not fractional.any():
            return integers
        value = labels[fractional][0]
    raise ValueError(f"{path} holds the value {value:g}, but labels are integers from 0 to {LARGEST_LABEL}: {REMEDY}.")


def _check_geometry(path: Path, label: dict[str, Any], image: dict[str, Any]) -> None:
    if list(label["shape"]) != list(image["shape"]):
        difference = f"shape {list(label['shape'])}, but its image has {list(image['shape'])}"
    else:
        ours, theirs = (grid_of(each, each["shape"]) for each in (label, image))
        if ours is None or theirs is None:  # formats without orientation keep no spacing in the file either
            return
        different = ours.difference_from(theirs)
        if different is None:
            return
        name, our_value, their_value = different
        difference = f"{name} {our_value}, but its image has {their_value}"
    raise ValueError(f"{path} has {difference}, and they must lie on the same grid: {REMEDY}.")


def _label_file(
    path: Path,
    *,
    file_ending: str,
    reader: type[BaseReaderWriter],
    case_folders: Sequence[Path],
    transpose_forward: Sequence[int],
) -> LabelFile:
    case = path.name.removesuffix(file_ending)
    image = next(
        (_image(f / f"{case}.pkl", transpose_forward) for f in case_folders if (f / f"{case}.pkl").is_file()), None
    )
    try:
        key = hashlib.sha256(path.read_bytes())
    except OSError as error:
        raise ValueError(f"{path} can't be read as a label file ({error.strerror}): {REMEDY}.") from None
    key.update(json.dumps([reader.__name__, image], sort_keys=True, default=lambda array: array.tolist()).encode())
    return LabelFile(path, image, key.hexdigest())


def _image(properties_file: Path, transpose_forward: Sequence[int]) -> dict[str, Any]:
    """Geometry of a case's image as it was read, from what nnU-Net's preprocessing keeps of the case."""
    try:
        properties = load_pickle(str(properties_file))
        shape = [0, 0, 0]
        for axis, size in zip(transpose_forward, properties["shape_before_cropping"], strict=True):
            shape[axis] = int(size)  # preprocessing keeps the shape in the network's order of axes
        kept = {name: properties[name] for name in ("sitk_stuff", "nibabel_stuff") if name in properties}
        return {"shape": shape, "spacing": [float(mm) for mm in properties["spacing"]], **kept}
    except Exception as error:  # unpickling a damaged file raises nearly anything
        raise ValueError(
            f"{properties_file} can't be read: run nnUNetv2_preprocess for this dataset again ({with_kind(error)})."
        ) from None
