"""A raw dataset of boxes whose sizes are known, with the fingerprint that nnU-Net would take of it."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

DATASET = "Dataset950_Boxes"
SHAPE = (40, 128, 128)  # (z, y, x)
SPACING = (3.0, 1.0, 1.0)  # (z, y, x) in mm
# Sizes (z, y, x) in voxels. Nerve has 720 voxels and an ROI of 12 x 90 x 18, lens has 72 and an ROI of 10 x 12 x 18.
BOXES = {"Body": (30, 60, 100), "Nerve": (4, 30, 6), "Lens": (3, 4, 6)}


def write_dataset(root: Path, **dataset_json: Any) -> Path:
    """nnUNet_raw with one case, and nnUNet_preprocessed with its fingerprint; the dataset's preprocessed folder."""
    raw, preprocessed = root / "nnUNet_raw" / DATASET, root / "nnUNet_preprocessed" / DATASET
    (raw / "labelsTr").mkdir(parents=True)
    preprocessed.mkdir(parents=True)
    labels = np.zeros(SHAPE, np.uint8)
    for label, (name, (z, y, x)) in enumerate(BOXES.items(), 1):
        start = {"Body": 0, "Nerve": 70, "Lens": 100}[name]
        labels[:z, start : start + y, :x] = label
    image = sitk.GetImageFromArray(labels)
    image.SetSpacing(SPACING[::-1])
    sitk.WriteImage(image, str(raw / "labelsTr" / "case.nii.gz"))
    content: dict[str, Any] = {
        "channel_names": {"0": "CT"},
        "labels": {"background": 0} | {name: label for label, name in enumerate(BOXES, 1)},
        "numTraining": 1,
        "file_ending": ".nii.gz",
        "overwrite_image_reader_writer": "SimpleITKIO",
        # Files that are listed here need no search in several processes.
        "dataset": {"case": {"images": ["imagesTr/case_0000.nii.gz"], "label": "labelsTr/case.nii.gz"}},
    }
    (raw / "dataset.json").write_text(json.dumps(content | dataset_json))
    write_fingerprint(preprocessed)
    return preprocessed


def write_fingerprint(
    preprocessed: Path, spacings: Sequence[Sequence[float]] = (SPACING,), shape: Sequence[int] = SHAPE
) -> None:
    """What nnU-Net finds in images of these spacings (z, y, x) in mm, as large as ``shape`` at the first of them."""
    shapes = [[round(n * mm / s) for n, mm, s in zip(shape, spacings[0], each, strict=True)] for each in spacings]
    fingerprint = {
        "spacings": [list(each) for each in spacings],
        "shapes_after_crop": shapes,
        "foreground_intensity_properties_per_channel": {"0": {"mean": 0.0, "std": 1.0}},
        "median_relative_size_after_cropping": 1.0,
    }
    (preprocessed / "dataset_fingerprint.json").write_text(json.dumps(fingerprint))


def use_folders(root: Path) -> dict[str, str]:
    """The environment for nnU-Net's folders in ``root``."""
    return {name: str(root / name) for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")}


def files_of(root: Path) -> list[str]:
    return sorted(os.path.relpath(path, root) for path in root.rglob("*"))
