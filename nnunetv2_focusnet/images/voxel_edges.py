"""Outlines along the edges of voxels, rather than half-way between their centres."""

from __future__ import annotations

import numpy as np


def at_voxel_edges(across: np.ndarray, down: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Samples at the voxels' edges, two in one place where two voxels meet: a contour between these is the edge.

    Args:
        across: where the edges of the columns are, shape (X + 1).
        down: where those of the rows are, shape (Y + 1).
        mask: shape (Y, X).

    Returns:
        x, y and values, as contourpy and matplotlib take them: shapes (2 X + 2), (2 Y + 2) and (2 Y + 2, 2 X + 2).
    """
    values = np.pad(mask, 1).astype(np.float32).repeat(2, axis=0).repeat(2, axis=1)
    return across.repeat(2), down.repeat(2), values[1:-1, 1:-1]
