"""A tiny raw dataset: heads that are ellipsoids of different places and sizes, with a large and a small organ."""

import json
from pathlib import Path

import numpy as np
from source_folders import save

SHAPE = (20, 28, 28)
SPACING = (3.0, 3.0, 3.0)
LABELS = {"background": 0, "Brain": 1, "Lens": 2}
CASES = [f"head_{number}" for number in range(4)]


def head(number: int) -> tuple[np.ndarray, np.ndarray]:
    """Image in HU and labels, both (z, y, x)."""
    shift, size = [(0, 0, 0), (1, -1, 0), (0, 1, 1), (-1, 0, 1)][number], [1.0, 1.05, 0.95, 1.1][number]
    centre = np.add((np.array(SHAPE) - 1) / 2, shift).reshape(3, 1, 1, 1)
    position = (np.indices(SHAPE) - centre) / size  # in voxels from the centre of the head
    z, y, x = position

    def ellipsoid(at: tuple[float, float, float], radii: tuple[float, float, float]) -> np.ndarray:
        return sum(((p - a) / r) ** 2 for p, a, r in zip((z, y, x), at, radii, strict=True)) < 1

    hu, labels = np.full(SHAPE, -1000.0), np.zeros(SHAPE, np.uint8)
    for at, radii, value, label in (
        ((0, 0, 0), (8, 11, 9), 600, 0),
        ((0, 0, 0), (7, 9.5, 7.5), 40, 0),
        ((1, 2, 0), (5, 6, 6), 200, 1),
        ((-3, -6, 2), (2, 2, 2), 450, 2),
    ):
        inside = ellipsoid(at, radii)
        hu[inside], labels[inside] = value, label
    return (hu + np.random.default_rng(number).normal(0, 10, SHAPE)).astype(np.int16), labels


def write_dataset(raw: Path, cases: int = len(CASES)) -> Path:
    """``Dataset007_Heads`` with so many training cases."""
    folder = raw / "Dataset007_Heads"
    for number in range(cases):
        hu, labels = head(number)
        save(folder / "imagesTr" / f"{CASES[number]}_0000.nii.gz", hu, SPACING)
        save(folder / "labelsTr" / f"{CASES[number]}.nii.gz", labels, SPACING)
    content = {"channel_names": {"0": "CT"}, "labels": LABELS, "numTraining": cases, "file_ending": ".nii.gz"}
    (folder / "dataset.json").write_text(json.dumps(content | {"focusnet": {"small_organs": ["Lens"]}}))
    return folder
