"""HD95 and NSD of this package beside MONAI's and MedPy's on the same label maps.

    pip install monai medpy
    python benchmarks/compare_libraries.py REFERENCES PREDICTIONS [--tolerance_mm 1] [-o table.csv]

A row per library and metric: how many organs, and how far they are from this package's value, signed mean and largest.
Organs that one of the two label maps lacks are left out, as the libraries have other rules there.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
from csv_files import write_csv
from medpy.metric.binary import hd95 as medpy_hd95
from monai.metrics import compute_hausdorff_distance, compute_surface_dice

from nnunetv2_focusnet.compare.metrics import compare_masks
from nnunetv2_focusnet.images.reading import read_volume
from nnunetv2_focusnet.system.folders import files_with_ending

MARGIN = 3  # voxels around the organ, so that no library meets the border of the volume


def organs(reference_file: Path, prediction_file: Path) -> Iterator[tuple[np.ndarray, np.ndarray, tuple[float, ...]]]:
    """Both masks (z, y, x) of each organ that is in both files, cut to the organ, and the spacing (z, y, x) in mm."""
    images = [read_volume(path) for path in (reference_file, prediction_file)]
    spacing = images[0].GetSpacing()[::-1]
    labels = [sitk.GetArrayFromImage(image) for image in images]
    for label in np.intersect1d(*labels):
        if label == 0:
            continue
        masks = [array == label for array in labels]
        where = np.argwhere(masks[0] | masks[1])
        box = tuple(slice(a, b + 1) for a, b in zip(where.min(0), where.max(0), strict=True))
        reference, prediction = (np.pad(mask[box], MARGIN) for mask in masks)
        yield reference, prediction, spacing


def differences(
    reference: np.ndarray, prediction: np.ndarray, spacing: tuple[float, ...], tolerance_mm: float
) -> dict[str, float]:
    ours = compare_masks(reference, prediction, spacing, tolerance_mm)
    assert ours is not None
    y, y_pred = (torch.from_numpy(mask)[None, None] for mask in (reference, prediction))
    options = {"include_background": True, "spacing": spacing}
    monai_hd95 = compute_hausdorff_distance(y_pred, y, percentile=95, **options)
    monai_nsd = compute_surface_dice(y_pred, y, class_thresholds=[tolerance_mm], **options)
    return {
        "HD95 (mm), MONAI": float(monai_hd95) - ours.hd95_mm,
        "HD95 (mm), MedPy": float(medpy_hd95(prediction, reference, voxelspacing=spacing)) - ours.hd95_mm,
        "NSD, MONAI": float(monai_nsd) - ours.nsd,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("references", type=Path)
    parser.add_argument("predictions", type=Path)
    parser.add_argument("--tolerance_mm", type=float, default=1.0)
    parser.add_argument("-o", type=Path, help="CSV file (default: standard output)")
    arguments = parser.parse_args()
    found = [
        differences(*masks, arguments.tolerance_mm)
        for file in files_with_ending(arguments.references, ".nii.gz")
        for masks in organs(file, arguments.predictions / file.name)
    ]
    rows = []
    for name in found[0]:
        values = np.array([entry[name] for entry in found])
        figures = {
            "mean_difference": values.mean(),
            "mean_absolute": np.abs(values).mean(),
            "largest_absolute": np.abs(values).max(),
        }
        row = {"what": name, "organs": len(values)}
        rows.append(row | {column: f"{figure:.3f}" for column, figure in figures.items()})
    write_csv(arguments.o, rows)


if __name__ == "__main__":
    main()
