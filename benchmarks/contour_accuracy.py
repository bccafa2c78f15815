"""How well masks survive being written as contours, judged by another library than the one that reads them here.

    python benchmarks/contour_accuracy.py LABELS DATASET_JSON [-o table.csv]

LABELS is a folder of label maps (*.nii.gz). Each organ is outlined slice by slice, points are rounded to the decimals
of a structure set, and matplotlib's point-in-polygon test fills them again: at the voxels' centres; and at 7 x 7 points
in each voxel, which then counts as the share of points inside. A row per organ: DSC with the mask it came from.
"""

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd
import SimpleITK as sitk
from matplotlib.path import Path as Polygon

from nnunetv2_focusnet.dicom.contours import trace
from nnunetv2_focusnet.dicom.rtstruct import DECIMALS
from nnunetv2_focusnet.images.reading import read_volume
from nnunetv2_focusnet.organs.dataset_json import DatasetJson
from nnunetv2_focusnet.system.folders import files_with_ending

POINTS = 7


def main() -> None:
    """Measure all label maps of a folder and print a row per organ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labels", type=Path)
    parser.add_argument("dataset_json", type=Path)
    parser.add_argument("-o", type=Path)
    args = parser.parse_args()
    organs = DatasetJson.read(args.dataset_json).labels
    results = defaultdict(list)
    for file in files_with_ending(args.labels, ".nii.gz"):
        image = read_volume(file)
        array = sitk.GetArrayFromImage(image)
        for organ, label in organs.items():
            mask = array == label
            if mask.any():
                results[organ].append((int(mask.sum()), *_agreement(mask, image.GetSpacing()[:2])))
    header = ["organ", "cases", "fewest voxels", "DSC centres: worst", "mean", "DSC shares: worst", "mean"]
    rows = [_row(organ, np.array(found)) for organ, found in results.items()]
    for row in [header, *rows]:
        print(f"{row[0]:18}", *(f"{cell:>18}" for cell in row[1:]))
    if args.o is not None:
        pd.DataFrame(rows, columns=header).to_csv(args.o, index=False)


def _row(organ: str, found: np.ndarray) -> list[str]:
    voxels, centres, shares = found.T
    dsc = (f"{value:.4f}" for value in (centres.min(), centres.mean(), shares.min(), shares.mean()))
    return [organ, str(len(found)), f"{voxels.min():.0f}", *dsc]


def _agreement(mask: np.ndarray, spacing_xy: tuple[float, float]) -> tuple[float, float]:
    """DSC of the mask with its contours, filled at centres and filled by shares."""
    overlap, total = np.zeros(2), np.zeros(2)
    for slice_ in mask[mask.any(axis=(1, 2))]:
        rows, columns = np.flatnonzero(slice_.any(axis=1)), np.flatnonzero(slice_.any(axis=0))
        y, x = slice(max(rows[0] - 1, 0), rows[-1] + 2), slice(max(columns[0] - 1, 0), columns[-1] + 2)
        contours = [np.round(points * spacing_xy, DECIMALS) / spacing_xy for points in trace(slice_)]
        offsets = (np.arange(POINTS) - POINTS // 2) / POINTS
        for kind, steps in enumerate(([0.0], offsets)):
            filled = np.mean([_filled(contours, slice_.shape, dy, dx)[y, x] for dy in steps for dx in steps], axis=0)
            overlap[kind] += filled[slice_[y, x]].sum()
            total[kind] += filled.sum() + slice_.sum()
    centres, shares = 2 * overlap / total
    return float(centres), float(shares)


def _filled(contours: list[np.ndarray], shape: tuple[int, int], dy: float, dx: float) -> np.ndarray:
    filled = np.zeros(shape, bool)
    for contour in contours:
        low = np.clip(np.floor(contour.min(axis=0)).astype(int), 0, None)
        high = np.clip(np.ceil(contour.max(axis=0)).astype(int) + 1, None, shape[::-1])
        y, x = np.mgrid[low[1] : high[1], low[0] : high[0]]
        inside = Polygon(np.vstack([contour, contour[:1]])).contains_points(
            np.column_stack([x.ravel() + dx, y.ravel() + dy])
        )
        filled[low[1] : high[1], low[0] : high[0]] ^= inside.reshape(y.shape)
    return filled


if __name__ == "__main__":
    main()
