"""Metrics of one organ in one case: overlap, surface distances, volumes, centroids.

Surface metrics come from DeepMind's surface-distance: every surface element counts with its area (Nikolov et al.,
arXiv 1809.04430).
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import center_of_mass
from surface_distance import compute_robust_hausdorff, compute_surface_dice_at_tolerance, compute_surface_distances

HAUSDORFF_PERCENTILE = 95.0
ROUNDING = 1e-6  # of the tolerance, so that the last bit of a spacing of as many mm decides nothing


@dataclass(frozen=True)
class OrganMetrics:
    """How a predicted organ agrees with its reference; at least one of the two isn't empty.

    Attributes:
        dsc: Dice similarity coefficient; 0 if one of the two is empty.
        hd95_mm: 95th percentile of the surface distances, the larger of both directions; infinite if one is empty.
        nsd: normalised surface Dice, the share of both surfaces within the tolerance; 0 if one is empty.
        reference_voxels: volume of the reference in voxels.
        reference_ml: volume of the reference.
        predicted_ml: volume of the prediction.
        centroid_distance_mm: between the centres of mass; infinite if one is empty.
    """

    dsc: float
    hd95_mm: float
    nsd: float
    reference_voxels: int
    reference_ml: float
    predicted_ml: float
    centroid_distance_mm: float

    @property
    def volume_error_ml(self) -> float:
        """Predicted minus reference volume."""
        return self.predicted_ml - self.reference_ml

    @property
    def missed(self) -> bool:
        """The organ is there, but nothing of it was predicted."""
        return self.predicted_ml == 0

    @property
    def false_positive(self) -> bool:
        """The organ was predicted, but it isn't there."""
        return self.reference_ml == 0


def compare_masks(
    reference: np.ndarray, prediction: np.ndarray, spacing_mm: tuple[float, ...], tolerance_mm: float
) -> OrganMetrics | None:
    """Metrics of two masks; None if both are empty, as there is nothing to agree on.

    Args:
        reference: bool (Z, Y, X); a box around both organs is enough.
        prediction: bool (Z, Y, X).
        spacing_mm: size of a voxel (z, y, x) in mm.
        tolerance_mm: of the normalised surface Dice.
    """
    voxel_ml = math.prod(spacing_mm) / 1000
    n_reference, n_prediction = int(reference.sum()), int(prediction.sum())
    if n_reference == n_prediction == 0:
        return None
    volumes = (n_reference, n_reference * voxel_ml, n_prediction * voxel_ml)
    # Decided before surface-distance is asked: its release 0.1 fails on empty masks under NumPy 2.
    if n_reference == 0 or n_prediction == 0:
        return OrganMetrics(0.0, math.inf, 0.0, *volumes, centroid_distance_mm=math.inf)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it uses SciPy's old module names
        distances = compute_surface_distances(reference, prediction, spacing_mm)
    offset = np.subtract(center_of_mass(reference), center_of_mass(prediction)) * spacing_mm
    return OrganMetrics(
        2 * int((reference & prediction).sum()) / (n_reference + n_prediction),
        float(compute_robust_hausdorff(distances, HAUSDORFF_PERCENTILE)),
        float(compute_surface_dice_at_tolerance(distances, tolerance_mm * (1 + ROUNDING))),
        *volumes,
        centroid_distance_mm=float(np.linalg.norm(offset)),
    )
