"""Tiny folders in the layouts of real datasets. Arrays are (z, y, x), geometry is (x, y, z) as SimpleITK has it."""

import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

SHAPE = (8, 20, 24)
SPACING = (1.0, 1.0, 2.5)
ORIGIN = (-10.0, 5.0, -40.0)

Boxes = Mapping[str, tuple[slice, slice, slice] | None]


def box(z: int, y: int, x: int, size: tuple[int, int, int] = (2, 2, 2)) -> tuple[slice, slice, slice]:
    """A cuboid from its first voxel on."""
    return tuple(slice(start, start + length) for start, length in zip((z, y, x), size, strict=True))  # type: ignore[return-value]


def apart(names: Sequence[str], shape: tuple[int, int, int] = SHAPE) -> dict[str, tuple[slice, slice, slice]]:
    """A cube of 8 voxels for each name, none touching another."""
    places = np.ndindex(*((n - 1) // 3 for n in shape))
    return {name: box(*(1 + 3 * i for i in place)) for name, place in zip(names, places, strict=False)}


def mask(where: tuple[slice, slice, slice] | None, shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    array = np.zeros(shape, np.uint8)
    if where is not None:
        array[where] = 1
    return array


def ct(boxes: Boxes, shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    """Each organ brighter than the one before, in noise."""
    array = np.random.default_rng(0).normal(0, 10, shape)
    for number, where in enumerate(boxes.values(), start=1):
        if where is not None:
            array[where] += 100 * number
    return array.round().astype(np.int16)


def save(
    path: Path,
    array: np.ndarray,
    spacing: tuple[float, ...] = SPACING,
    origin: tuple[float, ...] = ORIGIN,
    metadata: Mapping[str, str] | None = None,
) -> Path:
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    for key, value in (metadata or {}).items():
        image.SetMetaData(key, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path), useCompression=True)
    return path


def pddca_case(root: Path, case: str, boxes: Boxes, shape: tuple[int, int, int] = SHAPE) -> Path:
    folder = root / case
    save(folder / "img.nrrd", ct(boxes, shape))
    for name, where in boxes.items():
        save(folder / "structures" / f"{name}.nrrd", mask(where, shape))
    return folder


def tcia_case(
    root: Path, split: str, reader: str, case: str, boxes: Boxes, shape: tuple[int, int, int] = SHAPE
) -> Path:
    folder = root / "nrrds" / split / reader / case
    save(folder / "CT_IMAGE.nrrd", ct(boxes, shape))
    for name, where in boxes.items():
        save(folder / "segmentations" / f"{name}.nrrd", mask(where, shape))
    return folder


def hanseg_case(root: Path, case: str, boxes: Boxes, shape: tuple[int, int, int] = SHAPE) -> Path:
    """With an MR of half the field of view along x, on voxels of its own."""
    folder = root / "set_1" / case
    save(folder / f"{case}_IMG_CT.nrrd", ct(boxes, shape))
    half = ct(boxes, shape)[:, ::2, : shape[2] // 2].astype(np.float32)
    save(folder / f"{case}_IMG_MR_T1.nrrd", half, spacing=(SPACING[0], 2 * SPACING[1], SPACING[2]))
    for name, where in boxes.items():
        segment = {"Segment0_Name": "Segment_1", "Segment0_LabelValue": "1", "Segment0_Layer": "0"}
        save(folder / f"{case}_OAR_{name}.seg.nrrd", mask(where, shape), metadata=segment)
    return folder


def structseg_case(
    root: Path, number: int, boxes: Sequence[tuple[slice, slice, slice]], shape: tuple[int, int, int] = SHAPE
) -> Path:
    """The first box has the value 1."""
    folder = root / "HaN_OAR" / str(number)
    labels = np.zeros(shape, np.int16)
    for value, where in enumerate(boxes, start=1):
        labels[where] = value
    save(folder / "data.nii.gz", ct({str(n): where for n, where in enumerate(boxes)}, shape))
    save(folder / "label.nii.gz", labels)
    return folder


def segrap_case(root: Path, case: str, boxes: Boxes, shape: tuple[int, int, int] = SHAPE) -> Path:
    folder = root / case
    save(folder / "image.nii.gz", ct(boxes, shape))
    save(folder / "image_contrast.nii.gz", 2 * ct(boxes, shape))
    for name, where in boxes.items():
        save(folder / f"{name}.nii.gz", mask(where, shape))
    return folder


def forbid(monkeypatch: pytest.MonkeyPatch, *folders: Path) -> None:
    """As if folders had no permissions, which don't apply to root."""
    scandir = os.scandir

    def refusing(path: Path) -> Iterator[os.DirEntry[str]]:
        if Path(path) in folders:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
