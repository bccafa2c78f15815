"""The grid of voxels that the slices of a CT series make up, if they do."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import SimpleITK as sitk

from nnunetv2_focusnet.dicom.privacy import without_warnings
from nnunetv2_focusnet.dicom.tree import Series, Slice

TOLERANCE = 0.1  # of a voxel, by which slices may lie off the grid: headers are rounded


@dataclass(frozen=True)
class Grid:
    """Where voxels lie. Axes are (x, y, z) as in SimpleITK; direction's columns belong to them."""

    size: tuple[int, int, int]
    spacing: np.ndarray
    origin: np.ndarray
    direction: np.ndarray

    @classmethod
    def of(cls, image: sitk.Image | sitk.ImageFileReader) -> Grid:
        """The grid of a 3D image, or of a file whose header was read."""
        spacing, origin = np.array(image.GetSpacing()), np.array(image.GetOrigin())
        return cls(image.GetSize(), spacing, origin, np.reshape(image.GetDirection(), (3, 3)))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape (Z, Y, X) of arrays."""
        x, y, z = self.size
        return z, y, x

    def put(self, image: sitk.Image) -> sitk.Image:
        """The image, told to lie on this grid."""
        image.SetSpacing(self.spacing.tolist())
        image.SetOrigin(self.origin.tolist())
        image.SetDirection(self.direction.ravel().tolist())
        return image

    def points_mm(self, indices: np.ndarray) -> np.ndarray:
        """Positions in the patient of continuous indices, both (N, 3) with (x, y, z)."""
        return self.origin + (indices * self.spacing) @ self.direction.T

    def indices(self, points_mm: np.ndarray) -> np.ndarray:
        """Continuous indices of positions in the patient, both (N, 3) with (x, y, z)."""
        return ((points_mm - self.origin) @ np.linalg.inv(self.direction).T) / self.spacing

    def has_voxels_of(self, other: Grid) -> bool:
        """Whether both have the same voxels in the patient, perhaps with axes turned round or in another order."""
        axes = np.abs(self.direction.T @ other.direction).argmax(axis=0)  # of self, for each of other
        if [self.size[axis] for axis in axes] != list(other.size):
            return False
        corners = np.array(list(product(*((0, size - 1) for size in other.size))))
        indices = self.indices(other.points_mm(corners))
        ends = np.array([np.zeros(3), np.array(self.size) - 1])
        off = np.abs(indices - ends[:, None]).min(axis=0)
        return bool(
            off.max() <= TOLERANCE and len(np.unique(indices.round(), axis=0)) == len(np.unique(corners, axis=0))
        )

    def __str__(self) -> str:
        def listed(values: np.ndarray | tuple[int, ...]) -> str:
            return "(" + ", ".join(f"{value:.6g}" for value in values) + ")"

        return (
            f"size {listed(self.size)}, spacing {listed(self.spacing)}, origin {listed(self.origin)}, "
            f"direction {listed(self.direction.ravel())}"
        )


def grid_of(series: Series) -> Grid:
    """The grid of a series, its third axis along the slices' normal.

    Raises:
        ValueError: the slices make up no grid: one is missing or double, spacings are mixed, the gantry was tilted.
    """
    if series.problem:
        raise ValueError(series.problem)
    if len(series.slices) < 2:
        raise ValueError(f"{series.name} has one slice: a volume needs more")
    _check_alike(series.slices)
    first = series.slices[0]
    normal = first.normal / np.linalg.norm(first.normal)
    positions = np.array([slice_.position for slice_ in series.slices])
    gap = _check_gaps(series, positions @ normal)
    _check_tilt(series, positions, normal)
    rows, columns = first.size
    direction = np.column_stack([first.orientation[:3], first.orientation[3:], normal])
    spacing = np.array([first.spacing[1], first.spacing[0], gap])
    return Grid((columns, rows, len(series.slices)), spacing, positions[0], direction)


def read_image(series: Series, grid: Grid) -> sitk.Image:
    """The CT in Hounsfield units.

    Raises:
        ValueError: a file can't be read.
    """
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames([str(slice_.file) for slice_ in series.slices])
    with without_warnings():
        try:
            return grid.put(reader.Execute())
        except RuntimeError:
            broken = next((slice_ for slice_ in series.slices if not _readable(slice_)), series.slices[0])
            mend = f"uncompress the series from {broken.compression}" if broken.compression else "copy it again"
            raise ValueError(f"the pixels of {broken.name} can't be read: {mend}") from None


def _readable(slice_: Slice) -> bool:
    try:
        return sitk.ReadImage(str(slice_.file)).GetSize()[:2] == slice_.size[::-1]
    except RuntimeError:
        return False


def _check_alike(slices: tuple[Slice, ...]) -> None:
    first = slices[0]
    for other in slices[1:]:
        for what in ("size", "spacing", "orientation"):
            if not np.allclose(getattr(first, what), getattr(other, what), rtol=0, atol=1e-4):
                raise ValueError(
                    f"{other.name} has another {what} than {first.name} of the same series: "
                    "export the volume as a series of its own"
                )


def _check_gaps(series: Series, along: np.ndarray) -> float:
    """The distance between slices, whose positions along the normal are given; both in mm."""
    gaps = np.diff(along)
    usual = float(np.median(gaps))

    def between(index: int) -> str:
        return f"between {series.slices[index].name} and {series.slices[index + 1].name}"

    if (index := int(gaps.argmin())) >= 0 and gaps[index] < TOLERANCE * max(usual, 0.1):
        names = (series.slices[index].name, series.slices[index + 1].name)
        raise ValueError(f"{names[0]} and {names[1]} lie at the same position: keep one of them, or split the series")
    mean = float(along[-1] - along[0]) / (len(along) - 1)
    if np.abs(along - along[0] - mean * np.arange(len(along))).max() <= TOLERANCE * mean:
        return mean
    index = int(np.abs(gaps - usual).argmax())
    missing = gaps[index] / usual
    if round(missing) > 1 and abs(missing - round(missing)) < TOLERANCE:
        lacking = round(missing) - 1
        text = "a slice is" if lacking == 1 else f"{lacking} slices are"
        raise ValueError(f"{text} missing {between(index)}: copy the series again")
    raise ValueError(
        f"the slice spacing is mixed in {series.name}: {gaps[index]:.3g} mm {between(index)}, "
        f"elsewhere {usual:.3g} mm: export parts of one spacing as series of their own"
    )


def _check_tilt(series: Series, positions: np.ndarray, normal: np.ndarray) -> None:
    moved = positions[-1] - positions[0]
    sideways = np.linalg.norm(moved - (moved @ normal) * normal)
    if sideways > TOLERANCE * min(series.slices[0].spacing):
        degrees = np.degrees(np.arctan2(sideways, moved @ normal))
        raise ValueError(
            f"the gantry was tilted by {degrees:.1f} degrees in {series.name}: resample it to upright slices first"
        )
