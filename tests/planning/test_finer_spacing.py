"""When a finer spacing is proposed, and what is said of it."""

from collections.abc import Sequence
from pathlib import Path

from boxes import DATASET, SPACING, write_fingerprint

from nnunetv2_focusnet.planning.finer_spacing import propose_finer_spacing
from nnunetv2_focusnet.planning.planner import FocusNetPlanner
from nnunetv2_focusnet.trainers.snet_trainer import SNetTrainer

FINE = (1.5, 0.5, 0.5)


def proposal(preprocessed: Path, spacings: Sequence[Sequence[float]], **options: object) -> str | None:
    write_fingerprint(preprocessed, spacings)
    planner = FocusNetPlanner(DATASET, 2, trainer=SNetTrainer, num_processes=1, **options)
    return propose_finer_spacing(planner, planner.plan_experiment())


def test_images_that_are_all_the_same_give_no_reason(preprocessed: Path) -> None:
    assert proposal(preprocessed, [SPACING] * 10) is None


def test_less_than_a_tenth_of_fine_images_gives_no_reason(preprocessed: Path) -> None:
    # The tenth percentile of 21 is that of the third finest, and here the first one alone is fine.
    assert proposal(preprocessed, [*[SPACING] * 20, FINE]) is None


def test_what_the_finer_spacing_gives_and_costs(preprocessed: Path) -> None:
    text = proposal(preprocessed, [*[SPACING] * 8, FINE, FINE])
    assert text is not None
    assert "Lens would have fewer than 100 voxels" in text  # it has 72; the nerve has 720
    assert "-overwrite_target_spacing 1.5 0.5 0.5" in text
    # An eighth of the volume per voxel: 72 are 576 then, and 40 x 128 x 128 are 80 x 256 x 256.
    assert "Lens would have 576 voxels instead of 72" in text
    assert "5.2 million voxels per case instead of 0.7" in text


def test_no_more_is_proposed_once_it_was_followed(preprocessed: Path) -> None:
    followed = proposal(preprocessed, [*[SPACING] * 8, FINE, FINE], overwrite_target_spacing=list(FINE))
    assert followed is None


def test_a_spacing_that_was_overwritten_by_a_coarser_one(preprocessed: Path) -> None:
    text = proposal(preprocessed, [SPACING] * 3, overwrite_target_spacing=[3.0, 2.0, 2.0])
    assert text is not None
    assert "-overwrite_target_spacing 3 1 1" in text  # as the images are
