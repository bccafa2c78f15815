"""Time and memory of nnUNetv2_focusnet_compare on whole CTs: 40 cases x 17 organs x 2 models of 512 x 512 x 150 voxels.

    python benchmarks/compare_speed.py [-np 2] [--cases 40]

The label maps are simulated: ellipsoids from a lens to a brain. Four different cases are written and linked under as
many names as asked for. Prints seconds, and the peak memory of the largest of the command's processes, of which there
are ``-np`` and one more.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from peak_memory import peak_rss_mib

SHAPE = (150, 512, 512)
SPACING_MM = (2.5, 0.98, 0.98)  # (z, y, x)
RADII_MM = (70, 40, 30, 28, 25, 22, 20, 18, 15, 12, 12, 8, 8, 5, 5, 4, 4)
DISTINCT = 4


def ellipsoids(seed: int) -> np.ndarray:
    """A label map with one ellipsoid per organ; large ones first, so that small ones lie on top."""
    random = np.random.default_rng(seed)
    labels = np.zeros(SHAPE, dtype=np.uint8)
    for label, radius in enumerate(RADII_MM, start=1):
        half = np.ceil(radius / np.array(SPACING_MM)).astype(int)
        centre = [int(random.integers(h, n - h)) for h, n in zip(half, SHAPE, strict=True)]
        box = tuple(slice(c - h, c + h + 1) for c, h in zip(centre, half, strict=True))
        grid = np.meshgrid(*(np.arange(-h, h + 1) * mm for h, mm in zip(half, SPACING_MM, strict=True)), indexing="ij")
        labels[box][sum(axis**2 for axis in grid) <= radius**2] = label
    return labels


def write_project(root: Path, cases: int) -> None:
    for folder in ("references", "first", "second"):
        (root / folder).mkdir()
    names = {f"organ_{label:02d}": label for label in range(1, len(RADII_MM) + 1)}
    dataset = {"labels": {"background": 0, **names}, "file_ending": ".nii.gz"}
    (root / "dataset.json").write_text(json.dumps(dataset))
    for i in range(cases):
        for shift, folder in enumerate(("references", "first", "second")):
            file, original = (root / folder / f"case_{n:03d}.nii.gz" for n in (i, i % DISTINCT))
            if file == original:
                image = sitk.GetImageFromArray(np.roll(ellipsoids(i), shift, axis=2))
                image.SetSpacing(SPACING_MM[::-1])
                sitk.WriteImage(image, str(file))
            else:
                file.symlink_to(original)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-np", type=int, default=2)
    parser.add_argument("--cases", type=int, default=40)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_project(root, arguments.cases)
        command = [sys.executable, "-m", "nnunetv2_focusnet.cli.compare", "-ref", str(root / "references")]
        command += ["-pred", f"first={root / 'first'}", f"second={root / 'second'}", "-o", str(root / "report")]
        command += ["--dataset_json", str(root / "dataset.json"), "-np", str(arguments.np)]
        start = time.perf_counter()
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        seconds = time.perf_counter() - start
        peak_gib = peak_rss_mib(resource.RUSAGE_CHILDREN) / 2**10
        print(f"{arguments.cases} cases: {seconds:.0f} s, {peak_gib:.2f} GiB in the largest process")


if __name__ == "__main__":
    main()
