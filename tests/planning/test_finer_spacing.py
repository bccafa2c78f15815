"""When a finer spacing is proposed, and what is said of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from boxes import DATASET, SPACING, write_fingerprint

from nnunetv2_focusnet.planning.finer_spacing import finer_spacing, propose_finer_spacing
from nnunetv2_focusnet.planning.planner import FocusNetPlanner
from nnunetv2_focusnet.trainers.snet_trainer import SNetTrainer

FINE = (1.5, 0.5, 0.5)


def planner_for(preprocessed: Path, spacings: Sequence[Sequence[float]], **options: Any) -> FocusNetPlanner:
    write_fingerprint(preprocessed, spacings)
    return FocusNetPlanner(DATASET, 2, trainer=SNetTrainer, num_processes=1, **options)


@pytest.mark.parametrize(
    ("spacings", "overwritten", "finer"),
    [
        ([SPACING] * 10, None, None),
        ([*[SPACING] * 8, FINE, FINE], None, list(FINE)),
        # The tenth percentile of 21 is the third finest, and here the first one alone is fine.
        ([*[SPACING] * 20, FINE], None, None),
        ([*[SPACING] * 8, FINE, FINE], list(FINE), None),  # the proposal was followed
        ([*[SPACING] * 8, (3.0, 0.95, 0.95), (3.0, 0.95, 0.95)], None, None),  # hardly finer
        ([SPACING] * 3, [3.0, 2.0, 2.0], list(SPACING)),  # coarser than the images
        # Some are fine along one axis and some along the others: the smaller voxels of the two, not those of none.
        ([*[SPACING] * 14, *[(1.0, 1.0, 1.0)] * 3, *[(3.0, 0.5, 0.5)] * 3], None, [3.0, 0.5, 0.5]),
        ([*[SPACING] * 17, *[(6.0, 0.5, 0.5)] * 3], None, None),  # finer along two axes and coarser along the third
        ([*[SPACING] * 18, FINE, (1.0, 0.5, 0.5)], None, list(FINE)),  # the finest that two of 20 have
        # Within slices the thin ones are as fine as the others, but for the last digit of their headers.
        ([*[(2.5, 0.976562, 0.976562)] * 16, *[(1.0, 0.9765625, 0.9765625)] * 4], None, [1.0, 0.976562, 0.976562]),
        ([*[SPACING] * 18, (1.5, 0.5, 0.502), (1.503, 0.502, 0.5)], None, [1.5, 0.5, 0.502]),  # as fine as each other
        ([*[SPACING] * 18, (1.5, 0.5, 0.51), (1.5, 0.51, 0.5)], None, None),  # 2 % apart
        # 1 mm, rounded down by hand, is what the images have; 0.98 mm is finer than they are.
        ([*[SPACING] * 8, (1.5, 1.0, 1.0), (1.5, 1.0, 1.0)], [3.0, 0.995, 0.995], [1.5, 0.995, 0.995]),
        ([*[SPACING] * 8, (1.5, 1.0, 1.0), (1.5, 1.0, 1.0)], [3.0, 0.98, 0.98], None),
    ],
)
def test_spacing_of_images_that_are_finer(
    preprocessed: Path, spacings: list[Any], overwritten: list[float] | None, finer: list[float] | None
) -> None:
    assert finer_spacing(planner_for(preprocessed, spacings, overwrite_target_spacing=overwritten)) == finer


def test_what_the_finer_spacing_gives_and_costs(preprocessed: Path) -> None:
    planner = planner_for(preprocessed, [*[SPACING] * 8, FINE, FINE])
    text = propose_finer_spacing(planner, planner.plan_experiment())
    assert text is not None
    assert "Lens would have fewer than 100 voxels" in text  # it has 72; the nerve has 720
    assert "a tenth of the images is as fine as 1.5 x 0.5 x 0.5 mm along all axes" in text
    assert "-overwrite_target_spacing 1.5 0.5 0.5" in text
    # An eighth of the volume per voxel: 72 are 576 then, and 40 x 128 x 128 are 80 x 256 x 256.
    assert "Lens would have 576 voxels instead of 72" in text
    assert "5.2 million voxels per case instead of 0.7" in text
