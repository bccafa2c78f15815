"""Registrations that find the identity, for tests of what is around them."""

from pathlib import Path
from typing import Any

import SimpleITK as sitk

from nnunetv2_focusnet.atlas import registration
from nnunetv2_focusnet.images.grid import Grid


class Identity:
    """In place of ANTs: whatever is registered stays where it is. Counts the registrations."""

    def __init__(self) -> None:
        self.registrations = 0
        self.fail_after = 10**6

    def register(self, fixed: sitk.Image, moving: sitk.Image, folder: Path, *_: Any, **__: Any) -> list[Path]:
        self.registrations += 1
        if self.registrations > self.fail_after:
            raise KeyboardInterrupt
        (folder / registration.AFFINE).touch()
        return [folder / registration.AFFINE]

    def warp(self, moving: sitk.Image, grid: Grid, interpolator: str, outside: float) -> sitk.Image:
        assert interpolator in ("linear", "nearestNeighbor", "genericLabel")
        onto = grid.put(sitk.Image(grid.size, sitk.sitkFloat32))
        return sitk.Resample(moving, onto, sitk.Transform(), sitk.sitkNearestNeighbor, outside)
