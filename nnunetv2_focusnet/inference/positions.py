"""Where the voxels of a preprocessed image lie in its file, and in the patient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nnunetv2_focusnet.images.grid import Grid
from nnunetv2_focusnet.images.properties import file_grid_of, grid_of


@dataclass(frozen=True)
class Positions:
    """From voxels of a preprocessed image back to the file.

    Attributes:
        grid: of the image as nnU-Net read it; None: its file has none.
        file_grid: of the file, whose axes the reader may have brought into another order.
        scale: voxels as read per voxel of the preprocessed image, (z, y, x) of the network's axes.
        offset: first voxel as read that wasn't cropped, (z, y, x) of the network's axes.
        transpose_forward: of the plans, the axes as read in the network's order.
    """

    grid: Grid | None
    file_grid: Grid | None
    scale: np.ndarray
    offset: np.ndarray
    transpose_forward: Sequence[int]

    @classmethod
    def of(
        cls, properties: Mapping[str, Any], transpose_forward: Sequence[int], image_size: Sequence[int]
    ) -> Positions:
        """Those of a case.

        Args:
            properties: as nnU-Net's preprocessing returns them.
            transpose_forward: of the plans.
            image_size: (Z, Y, X) of the preprocessed image.
        """
        shape = np.zeros(3, dtype=int)
        shape[list(transpose_forward)] = properties["shape_before_cropping"]
        as_read = tuple(shape.tolist())
        return cls(
            grid_of(properties, as_read),
            file_grid_of(properties, as_read),
            np.divide(properties["shape_after_cropping_and_before_resampling"], image_size),
            np.array([first for first, _ in properties["bbox_used_for_cropping"]]),
            transpose_forward,
        )

    def index(self, voxel: Sequence[float]) -> np.ndarray:
        """Index (x, y, z) in the file, not rounded, of a voxel (z, y, x) of the preprocessed image."""
        mm = self.patient_mm(voxel)
        return self._as_read(voxel) if mm is None or self.file_grid is None else self.file_grid.indices(mm[None])[0]

    def patient_mm(self, voxel: Sequence[float]) -> np.ndarray | None:
        """Position in mm to the patient's left, back and head (as in DICOM); None: the file doesn't tell."""
        return None if self.grid is None else self.grid.points_mm(self._as_read(voxel)[None])[0]

    def _as_read(self, voxel: Sequence[float]) -> np.ndarray:
        """Index (x, y, z) in the image as nnU-Net read it."""
        in_network = (np.add(voxel, 0.5)) * self.scale - 0.5 + self.offset
        as_read = np.zeros(3)
        as_read[list(self.transpose_forward)] = in_network
        return as_read[::-1]
