"""How registrations begin, and with which levels, on grids whose positions are counted by hand."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from nnunetv2_focusnet.atlas.registration import levels, write_shift_of_centres
from nnunetv2_focusnet.images.grid import Grid

STRAIGHT = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
TURNED = (0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0)  # x runs to where y did, y to where x came from


def empty(grid: Grid) -> sitk.Image:
    return grid.put(sitk.Image(grid.size, sitk.sitkFloat32))


def test_images_are_put_on_each_other_by_their_centres(tmp_path: Path) -> None:
    """Those are 5, 10 and 2 voxels from the fixed image's first one, 2, 1 and 4 from that of the moving one."""
    fixed = empty(Grid((11, 21, 5), (1.0, 2.0, 3.0), (10.0, 20.0, 30.0), STRAIGHT))  # (10 + 5, 20 + 20, 30 + 6)
    moving = empty(Grid((5, 3, 9), (2.0, 1.0, 4.0), (100.0, 0.0, -50.0), TURNED))  # (100 - 1, 0 + 4, -50 + 16)
    write_shift_of_centres(fixed, moving, tmp_path / "shift.mat")
    shift = sitk.ReadTransform(str(tmp_path / "shift.mat"))
    assert shift.GetName() == "Euler3DTransform"
    shift = sitk.Euler3DTransform(shift)
    np.testing.assert_allclose(shift.GetCenter(), (15, 40, 36))
    np.testing.assert_allclose(shift.GetTranslation(), (99 - 15, 4 - 40, -34 - 36))
    np.testing.assert_allclose(shift.GetMatrix(), STRAIGHT)


@pytest.mark.parametrize(
    ("voxels", "iterations", "used"),
    [
        (32, (100, 70, 20), (100, 70, 20)),  # 8 voxels on a level of a quarter
        (31, (100, 70, 20), (70, 20)),  # 7 there, 15 on that of a half
        (15, (100, 70, 20), (20,)),
        (7, (100, 70, 20), (20,)),  # there is none finer
        (31, (100, 70, 0), (70, 0)),
        (15, (100, 70, 0), (70,)),  # the level that was to be left out is the only one
        (31, (100, 0, 0), (100, 0)),
        (15, (0, 0, 0), (0,)),  # as was asked for
    ],
)
def test_thin_images_have_the_finer_levels_but_never_none(
    voxels: int, iterations: tuple[int, ...], used: tuple[int, ...]
) -> None:
    thin = empty(Grid((90, voxels, 80), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), STRAIGHT))
    assert levels(iterations, thin) == used
