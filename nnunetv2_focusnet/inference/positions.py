"""Where the voxels of a preprocessed image lie in its file, and in the patient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nnunetv2_focusnet.images.grid import Grid
from nnunetv2_focusnet.images.properties import grid_of


@dataclass(frozen=True)
class Positions:
    """From voxels of a preprocessed image back to the file.

    Attributes:
        grid: of the file; None: it has none.
        scale: voxels of the file per voxel of the preprocessed image, (z, y, x) of the network's axes.
        offset: first voxel of the file that wasn't cropped, (z, y, x) of the network's axes.
        transpose_forward: of the plans, the file's axes in the network's order.
    """

    grid: Grid | None
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
        return cls(
            grid_of(properties, tuple(shape.tolist())),
            np.divide(properties["shape_after_cropping_and_before_resampling"], image_size),
            np.array([first for first, _ in properties["bbox_used_for_cropping"]]),
            transpose_forward,
        )

    def index(self, voxel: Sequence[int]) -> np.ndarray:
        """Index (x, y, z) in the file, not rounded, of a voxel (z, y, x) of the preprocessed image."""
        in_network = (np.add(voxel, 0.5)) * self.scale - 0.5 + self.offset
        in_file = np.zeros(3)
        in_file[list(self.transpose_forward)] = in_network
        return in_file[::-1]

    def patient_mm(self, voxel: Sequence[int]) -> np.ndarray | None:
        """Position in mm to the patient's left, back and head (as in DICOM); None: the file doesn't tell."""
        return None if self.grid is None else self.grid.points_mm(self.index(voxel)[None])[0]
