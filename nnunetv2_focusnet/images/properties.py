"""What nnU-Net's readers keep of an image's header: in SimpleITK's directions, or as nibabel's affine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import SimpleITK as sitk

from nnunetv2_focusnet.images.grid import Grid

LPS_OF_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])  # nibabel's mm count to right, front and head


def grid_of(properties: Mapping[str, Any], shape: Sequence[int]) -> Grid | None:
    """The grid of an image as nnU-Net read it; None: its format has none.

    Args:
        properties: that nnU-Net's reader returned, or preprocessing saved.
        shape: (Z, Y, X) of the array as it was read.
    """
    size = tuple(shape[::-1])
    if kept := properties.get("sitk_stuff"):
        axes = len(kept["spacing"])  # the files themselves may have 2 axes, or a fourth
        return Grid((*size, 1)[:axes], kept["spacing"], kept["origin"], kept["direction"])
    if kept := properties.get("nibabel_stuff"):
        affine = _affine(kept)
        spacing = np.linalg.norm(affine[:3, :3], axis=0)
        direction = affine[:3, :3] / spacing
        return Grid(size, tuple(spacing.tolist()), tuple(affine[:3, 3].tolist()), tuple(direction.ravel().tolist()))
    return None


def file_grid_of(properties: Mapping[str, Any], shape: Sequence[int]) -> Grid | None:
    """The grid of an image's file, whose axes one of nnU-Net's reorienting readers may have turned; None: it has none.

    Args:
        properties: as :func:`grid_of`.
        shape: as :func:`grid_of`.
    """
    grid = grid_of(properties, shape)
    orientation = properties.get("sitk_stuff", {}).get("original_orientation")
    nibabel = properties.get("nibabel_stuff", {})
    if "reoriented_affine" in nibabel:
        orientation = orientation_of({"nibabel_stuff": {"original_affine": nibabel["original_affine"]}})
    if grid is None or orientation is None:
        return grid
    return Grid.of(sitk.DICOMOrient(grid.put(sitk.Image(grid.size, sitk.sitkUInt8)), orientation))


def direction_of(properties: Mapping[str, Any]) -> np.ndarray | None:
    """Unit vectors along the axes (x, y, z), in columns, to the patient's left, back and head; None: not known."""
    if kept := properties.get("sitk_stuff"):
        direction = np.array(kept["direction"])
        return direction.reshape(3, 3) if direction.size == 9 else None
    if kept := properties.get("nibabel_stuff"):
        columns = _affine(kept)[:3, :3]
        return columns / np.linalg.norm(columns, axis=0)
    return None


def orientation_of(properties: Mapping[str, Any]) -> str | None:
    """Sides of the patient that the axes (x, y, z) point to, letters of R, L, A, P, I, S; None: not known."""
    direction = direction_of(properties)
    if direction is None:
        return None
    return sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(direction.ravel().tolist())


def _affine(kept: Mapping[str, np.ndarray]) -> np.ndarray:
    """From indices (x, y, z, 1) to mm to left, back and head."""
    return LPS_OF_RAS @ kept.get("reoriented_affine", kept["original_affine"])
