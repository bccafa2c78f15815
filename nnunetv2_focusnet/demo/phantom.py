"""A simulated CT of a head with organs from brain to lens: what a network for small organs is tried out on in minutes.

Everything is procedural and seeded. Tissues are painted one over the other as ellipsoids and tubes, then blurred by a
scanner's point-spread function and covered with noise. Case i of a seed is always the same image, however many cases
are made.

Arrays are (z, y, x). The image direction is the identity, so x grows to the patient's left, y to the back and z to the
crown (LPS): the left organ of a pair lies at the higher x.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from nnunetv2.dataset_conversion.generate_dataset_json import generate_dataset_json
from numpy.typing import ArrayLike
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from nnunetv2_focusnet.images.writing import write_image
from nnunetv2_focusnet.system.files import make_folder, naming
from nnunetv2_focusnet.system.new_folder import new_folder

SHAPE_ZYX = (48, 128, 128)
SPACING_MM_ZYX = (2.5, 1.1, 1.1)
LABELS = {
    "background": 0,
    "Brain": 1,
    "Eye_L": 2,
    "Eye_R": 3,
    "Lens_L": 4,
    "Lens_R": 5,
    "OpticNerve_L": 6,
    "OpticNerve_R": 7,
    "Parotid_L": 8,
    "Parotid_R": 9,
}
# Hounsfield units: mean over patients and the largest deviation of one patient from it.
TISSUE_HU = {
    "muscle": (55.0, 10.0),
    "bone": (750.0, 150.0),
    "csf": (8.0, 4.0),
    "brain": (36.0, 5.0),
    "fat": (-90.0, 12.0),
    "air": (-980.0, 15.0),
    "vitreous": (10.0, 5.0),
    "lens": (115.0, 20.0),
    "nerve": (42.0, 8.0),
    "parotid": (-5.0, 15.0),
}


def make_case(seed: int, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Simulate one patient.

    Args:
        seed: seed of the dataset.
        index: number of the case in it; seed and index together determine the case.

    Returns:
        Hounsfield units (int16) and label map (uint8, values of `LABELS`), both of shape `SHAPE_ZYX`.
    """
    rng = np.random.default_rng([seed, index])
    patient = _Patient(rng, _head_coordinates_mm(rng))
    patient.paint_head()
    for side, towards_left in (("L", 1.0), ("R", -1.0)):
        patient.paint_orbit(side, towards_left)
        patient.paint_parotid(side, towards_left)
    return _scan(patient.hu, rng), patient.labels


def write_phantom_dataset(
    folder: Path, num_training_cases: int, num_test_cases: int, seed: int = 0, progress: bool = False
) -> None:
    """Write an nnU-Net raw dataset: imagesTr, labelsTr, imagesTs, labelsTs and dataset.json, or nothing.

    Args:
        folder: the dataset's folder, `DatasetXXX_Name`; it is made here.
        num_training_cases: cases 0 to num_training_cases - 1 of the seed.
        num_test_cases: the cases that follow them.
        seed: seed of the dataset.
        progress: print a line per case.

    Raises:
        FileExistsError: where `folder` exists.
        WriteError: where it can't be written.
    """
    total = num_training_cases + num_test_cases
    with new_folder(folder) as unfinished:
        for index in range(total):
            part = "Tr" if index < num_training_cases else "Ts"
            hu, labels = make_case(seed, index)
            _write(hu, unfinished / f"images{part}" / f"Head_{index:03d}_0000.nii.gz")
            _write(labels, unfinished / f"labels{part}" / f"Head_{index:03d}.nii.gz")
            if progress:
                print(f"simulated case {index + 1} of {total} ({'training' if part == 'Tr' else 'test'})", flush=True)
        with naming(unfinished / "dataset.json"):
            generate_dataset_json(
                str(unfinished),
                channel_names={"0": "CT"},
                labels=dict(LABELS),
                num_training_cases=num_training_cases,
                file_ending=".nii.gz",
                overwrite_image_reader_writer="SimpleITKIO",
                dataset_name=folder.name,
                description=f"Simulated CT of ellipsoid heads, seed {seed}. No patient data.",
                license="CC0",
                converted_by="nnunetv2-focusnet",
            )


@dataclass
class _Patient:
    """One head while it is being painted.

    Attributes:
        rng: source of this patient's anatomy.
        points: coordinates of every voxel in the head's own frame, in mm, shape (Z, Y, X, 3), last axis (z, y, x).
    """

    rng: np.random.Generator
    points: np.ndarray
    hu: np.ndarray = field(init=False)
    labels: np.ndarray = field(init=False)
    tissue: dict[str, float] = field(init=False)

    def __post_init__(self) -> None:
        shape = self.points.shape[:-1]
        self.hu = np.full(shape, -1000.0)
        self.labels = np.zeros(shape, np.uint8)
        self.tissue = {name: mean + self.rng.uniform(-spread, spread) for name, (mean, spread) in TISSUE_HU.items()}

    def paint_head(self) -> None:
        """Soft tissue, skull, brain and airways."""
        cranium = np.array([8.0, 8.0, 0.0])
        size = self._vary(np.array([46.0, 58.0, 50.0]), 0.04)
        face = _ellipsoid(self.points, (-26.0, -14.0, 0.0), self._vary((40.0, 46.0, 46.0), 0.03))
        neck = _ellipsoid(self.points, (-50.0, 6.0, 0.0), self._vary((40.0, 46.0, 50.0), 0.03))
        self._paint(_ellipsoid(self.points, cranium, size) | face | neck, "muscle")
        self._paint(_ellipsoid(self.points, cranium, size - 4.0), "bone")
        self._paint(_ellipsoid(self.points, cranium, size - 9.0), "csf")
        self._paint(_ellipsoid(self.points, cranium, size - self.rng.uniform(10.0, 12.0)), "brain", "Brain")
        ventricles = _ellipsoid(self.points, (10.0, 8.0, 0.0), self._vary((6.0, 16.0, 9.0), 0.3))
        self._paint(ventricles, "csf", "Brain")
        self._paint(_ellipsoid(self.points, (-36.0, -34.0, 0.0), self._vary((11.0, 17.0, 6.0), 0.2)), "air")

    def paint_orbit(self, side: str, towards_left: float) -> None:
        """One eye socket with its fat, eye, lens and optic nerve."""
        eye = np.array([-25.0, -42.0, 25.5 * towards_left]) + self.rng.uniform(-1.5, 1.5, 3)
        apex = np.array([-23.0, -9.0, 9.5 * towards_left]) + self.rng.uniform(-1.5, 1.5, 3)
        radius = float(self._vary(12.0, 0.06))
        gaze = Rotation.from_euler("zyx", self.rng.uniform(-15.0, 15.0, 3), degrees=True)
        ahead = gaze.apply([0.0, -1.0, 0.0])

        socket = eye + 0.3 * (apex - eye)
        self._paint(_tube(self.points, socket, apex, 16.5, 7.0), "bone")
        self._paint(_tube(self.points, socket, apex, 13.5, 4.0), "fat")

        # Slack nerves bend: the midpoint leaves the straight line.
        back = eye - (radius - 1.0) * ahead
        bend = 0.5 * (back + apex) + self.rng.uniform(-2.0, 2.0, 3)
        thickness = float(self._vary(2.4, 0.12))
        nerve = _tube(self.points, back, bend, thickness, thickness)
        nerve |= _tube(self.points, bend, apex, thickness, thickness)
        self._paint(nerve, "nerve", f"OpticNerve_{side}")

        self._paint(_ellipsoid(self.points, eye, (radius,) * 3), "vitreous", f"Eye_{side}")
        lens = _ellipsoid(self.points, eye + (radius - 4.5) * ahead, self._vary((4.2, 2.05, 4.2), 0.06), gaze)
        self._paint(lens, "lens", f"Lens_{side}")

    def paint_parotid(self, side: str, towards_left: float) -> None:
        """One parotid gland behind the branch of the mandible."""
        low, high = (-62.0, -10.0, 29.0 * towards_left), (-30.0, 0.0, 33.0 * towards_left)
        self._paint(_tube(self.points, low, high, 5.0, 4.0), "bone")
        centre = np.array([-35.0, 14.0, 35.0 * towards_left]) + self.rng.uniform(-2.0, 2.0, 3)
        tilt = Rotation.from_euler("zyx", self.rng.uniform(-12.0, 12.0, 3), degrees=True)
        gland = _ellipsoid(self.points, centre, self._vary((15.0, 12.5, 9.5), 0.1), tilt)
        self._paint(gland, "parotid", f"Parotid_{side}")

    def _paint(self, mask: np.ndarray, tissue: str, organ: str = "background") -> None:
        self.hu[mask] = self.tissue[tissue]
        self.labels[mask] = LABELS[organ]

    def _vary(self, mean: ArrayLike, fraction: float) -> np.ndarray:
        """Each number times its own factor, uniform in 1 +- fraction: bounded, so that a lens stays a lens."""
        mean = np.asarray(mean)
        return mean * (1.0 + self.rng.uniform(-fraction, fraction, mean.shape))


def _head_coordinates_mm(rng: np.random.Generator) -> np.ndarray:
    """Voxel positions in the frame of a head that is shifted, turned and scaled in the scanner; shape (Z, Y, X, 3)."""
    axes = [(np.arange(n) - (n - 1) / 2) * spacing for n, spacing in zip(SHAPE_ZYX, SPACING_MM_ZYX, strict=True)]
    scanner = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    turn = Rotation.from_euler("zyx", rng.uniform(-8.0, 8.0, 3), degrees=True)
    shift_mm, scale = rng.uniform((0.0, -4.0, -4.0), 4.0), rng.uniform(0.95, 1.05)
    return (scanner - shift_mm) @ turn.as_matrix() / scale


def _ellipsoid(
    points: np.ndarray,
    centre: ArrayLike,
    semi_axes: ArrayLike,
    turn: Rotation | None = None,
) -> np.ndarray:
    """Voxels inside an ellipsoid; centre and semi-axes in mm, (z, y, x)."""
    offset = points - np.asarray(centre)
    if turn is not None:
        offset = offset @ turn.as_matrix()
    return ((offset / np.asarray(semi_axes)) ** 2).sum(-1) <= 1.0


def _tube(
    points: np.ndarray,
    start: ArrayLike,
    end: ArrayLike,
    start_radius: float,
    end_radius: float,
) -> np.ndarray:
    """Voxels inside a round-ended tube whose radius goes from one value to the other; all in mm, (z, y, x)."""
    offset, axis = points - np.asarray(start), np.subtract(end, start)
    along = np.clip(offset @ axis / (axis @ axis), 0.0, 1.0)
    distance = np.linalg.norm(offset - along[..., None] * axis, axis=-1)
    return distance <= start_radius + along * (end_radius - start_radius)


def _scan(hu: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What the scanner makes of Hounsfield units (z, y, x): uneven tissue, blur, noise."""
    texture = gaussian_filter(rng.standard_normal(hu.shape), [5.0 / s for s in SPACING_MM_ZYX])
    blur_mm = np.array([1.0, 0.9, 0.9]) * rng.uniform(0.8, 1.2)
    blurred = gaussian_filter(hu + 6.0 * texture / texture.std(), blur_mm / SPACING_MM_ZYX)
    noise = gaussian_filter(rng.standard_normal(hu.shape), [0.3, 0.5, 0.5])
    noisy = blurred + rng.uniform(8.0, 14.0) * noise / noise.std()
    return np.clip(np.round(noisy), -1024, 3071).astype(np.int16)


def _write(array: np.ndarray, path: Path) -> None:
    make_folder(path.parent)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(SPACING_MM_ZYX[::-1])
    image.SetOrigin([-(n - 1) / 2 * mm for n, mm in zip(SHAPE_ZYX[::-1], SPACING_MM_ZYX[::-1], strict=True)])
    write_image(image, path)
