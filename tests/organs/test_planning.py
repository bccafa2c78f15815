"""What follows from the organs' sizes; expected values are worked out by hand."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from nnunetv2_focusnet.organs.dataset_json import DatasetJson
from nnunetv2_focusnet.organs.organ import Organ, SmallOrgan
from nnunetv2_focusnet.organs.organ_table import small_organ_warnings
from nnunetv2_focusnet.organs.planning import focal_weights, plan_small_organs

BRAIN = Organ("Brain", 1, volume_mm3=4000.0, extent_mm=(40.0, 20.0, 20.0), num_cases=2, volume_range_mm3=(1.0, 9000.0))
STEM = Organ("Stem", 2, volume_mm3=2000.0, extent_mm=(20.0, 16.0, 12.0), num_cases=2, volume_range_mm3=(1.0, 9000.0))
LENS = Organ("Lens", 3, volume_mm3=16.0, extent_mm=(4.0, 3.0, 2.0), num_cases=1, volume_range_mm3=(16.0, 16.0))
ORGANS = [BRAIN, STEM, LENS]


def planned(
    patch_size: Sequence[int] = (256, 256, 256), spacing: float = 2.0, **settings: object
) -> tuple[SmallOrgan, ...]:
    dataset = DatasetJson("dataset.json", {"Brain": 1, "Stem": 2, "Lens": 3}, ".nii.gz", 4, **settings)
    return plan_small_organs(ORGANS, dataset, spacing=(spacing, 1.0, 0.5), patch_size=patch_size)


def names(organs: Sequence[SmallOrgan]) -> list[str]:
    return [organ.name for organ in organs]


def test_roi_and_sigma_of_the_small_organs() -> None:
    lens = SmallOrgan(  # a voxel has 1 mm3, so only the lens has fewer than 1000
        name="Lens",
        label=3,
        roi_size=(6, 10, 12),  # 3 x 2, 3 x 3 rounded up to even, 3 x 4 voxels
        wanted_roi_size=(6, 10, 12),
        sigma=(1.0, 1.5, 3.0),  # 3 mm / 2 = 1.5 mm: the 0.75 voxels along z are raised to 1
        diameter_mm=3.0,
        volume_voxels=16.0,
    )
    assert planned() == (lens,)


def test_focal_weights_are_inverse_to_the_volumes_with_a_half_for_background() -> None:
    assert focal_weights(ORGANS) == (0.5, 1.0, 2.0, 250.0)


def test_small_is_below_1000_voxels_at_the_training_spacing() -> None:
    assert names(planned(spacing=4.0)) == ["Lens"]  # the stem has 1000 voxels
    assert names(planned(spacing=4.01)) == ["Stem", "Lens"]


# Mean sizes of real organs in contours of Nikolov et al. 2018 (eye, nerve) and OpenKBP, by SimpleITK and SciPy.
# Balls of the same volumes are 11.4, 25.4 and 37.6 mm across.
NERVE = Organ(
    "OpticNerve_R", 1, volume_mm3=771.0, extent_mm=(11.1, 36.3, 23.6), num_cases=22, volume_range_mm3=(1.0, 9000.0)
)
EYE = Organ("Eye_R", 2, volume_mm3=8550.0, extent_mm=(26.6, 24.8, 25.7), num_cases=22, volume_range_mm3=(1.0, 9000.0))
BRAINSTEM = Organ(
    "Brainstem", 3, volume_mm3=27821.0, extent_mm=(59.0, 32.3, 37.3), num_cases=38, volume_range_mm3=(1.0, 9000.0)
)


def small_among_real_ones(spacing: Sequence[float], patch_size: Sequence[int]) -> list[str]:
    organs = [NERVE, EYE, BRAINSTEM]
    dataset = DatasetJson("dataset.json", {organ.name: organ.label for organ in organs}, ".nii.gz", 22)
    return names(plan_small_organs(organs, dataset, spacing=spacing, patch_size=patch_size))


def test_coarse_voxels_make_no_organ_of_centimetres_small() -> None:
    # 506 voxels are the brainstem's at the second spacing, 156 the eye's; the nerve has 321 and 14.
    assert small_among_real_ones([2.5, 0.98, 0.98], [48, 192, 192]) == ["OpticNerve_R"]
    assert small_among_real_ones([2.5, 4.688, 4.688], [48, 64, 64]) == ["OpticNerve_R"]


def test_small_organs_are_smaller_than_half_the_patch() -> None:
    # The nerve's mean extent is 23.67 mm, the patches' are 48 and 46 mm.
    assert small_among_real_ones([1.0, 1.0, 1.0], [32, 56, 56]) == ["OpticNerve_R"]
    assert small_among_real_ones([1.0, 1.0, 1.0], [32, 53, 53]) == []


def small_of_a_pair(left: Organ, right: Organ, patch: int = 99, **settings: object) -> list[str]:
    dataset = DatasetJson("dataset.json", {left.name: 1, right.name: 2}, ".nii.gz", **settings)
    return names(plan_small_organs([left, right], dataset, spacing=[1.0, 0.9, 0.9], patch_size=[patch] * 3))


def nerve(name: str, label: int, volume_mm3: float, extent_mm: float = 20.0, cases: int = 5) -> Organ:
    return Organ(name, label, volume_mm3, (extent_mm,) * 3, cases, (1.0, 9000.0))


@pytest.mark.parametrize(
    ("right_mm3", "small"),
    # 1000 voxels have 810 mm3; the means are 802.5 and 812.5 mm3.
    [(815.0, ["OpticNrv_L", "OpticNrv_R"]), (835.0, [])],
)
def test_of_a_pair_both_are_small_or_neither_by_the_mean_of_their_volumes(right_mm3: float, small: list[str]) -> None:
    assert small_of_a_pair(nerve("OpticNrv_L", 1, 790.0), nerve("OpticNrv_R", 2, right_mm3)) == small


def test_the_side_that_more_cases_have_counts_more() -> None:
    # Of 790 mm3 in 9 cases and 900 in one the mean is 801, of 900 in 9 cases and 790 in one 889.
    often, once = nerve("OpticNrv_L", 1, 790.0, cases=9), nerve("OpticNrv_R", 2, 900.0, cases=1)
    assert small_of_a_pair(often, once) == ["OpticNrv_L", "OpticNrv_R"]
    assert small_of_a_pair(replace(often, num_cases=1), replace(once, num_cases=9)) == []


# Half of the patches' mean edges, 50 x (1 + 0.9 + 0.9) / 3 and 54 x the same, are 23.3 and 25.2 mm; the mean is 24.
@pytest.mark.parametrize(("patch", "small"), [(50, []), (54, ["OpticNrv_L", "OpticNrv_R"])])
def test_a_pair_fits_the_patch_or_not_by_the_mean_of_its_extents(patch: int, small: list[str]) -> None:
    assert small_of_a_pair(nerve("OpticNrv_L", 1, 700.0, 22.0), nerve("OpticNrv_R", 2, 700.0, 26.0), patch) == small


def test_which_organs_are_a_pair_is_what_dataset_json_says() -> None:
    organs = nerve("one", 1, 790.0), nerve("other", 2, 815.0)
    assert small_of_a_pair(*organs) == ["one"]
    assert small_of_a_pair(*organs, left_right_pairs=(("one", "other"),)) == ["one", "other"]


def test_one_side_alone_is_small_where_it_is_named_and_that_is_warned_of() -> None:
    organs = [nerve("OpticNrv_L", 1, 790.0), nerve("OpticNrv_R", 2, 815.0)]

    def warnings(*small: str) -> tuple[list[str], list[str]]:
        dataset = DatasetJson("dataset.json", {"OpticNrv_L": 1, "OpticNrv_R": 2}, ".nii.gz", small_organs=small)
        planned = plan_small_organs(organs, dataset, spacing=[1.0] * 3, patch_size=[99] * 3)
        return names(planned), small_organ_warnings(planned, dataset)

    named, (line,) = warnings("OpticNrv_R")
    assert named == ["OpticNrv_R"]
    assert '"small_organs" in dataset.json has OpticNrv_R without OpticNrv_L' in line
    assert "\n" not in line
    assert warnings("OpticNrv_L", "OpticNrv_R") == (["OpticNrv_L", "OpticNrv_R"], [])
    assert warnings() == ([], [])


def test_named_small_organs_win_over_the_rule() -> None:
    assert names(planned(small_organs=("Brain",))) == ["Brain"]
    assert planned(small_organs=()) == ()


def test_roi_scale_is_the_users() -> None:
    assert planned(roi_scale=5.0)[0].roi_size == (10, 16, 20)  # 10, 15, 20


def test_roi_leaves_the_largest_margin_on_either_side_of_a_long_organ() -> None:
    organ = Organ("Nerve", 1, 1.0, (4.0, 40.0, 10.0), 1, (1.0, 1.0))
    dataset = DatasetJson("dataset.json", {"Nerve": 1}, ".nii.gz")
    (nerve,) = plan_small_organs([organ], dataset, spacing=[1.0] * 3, patch_size=[99] * 3, largest_margin_mm=12.0)
    assert nerve.roi_size == (12, 64, 30)  # 3 x 4, 12 + 40 + 12, 3 x 10


@pytest.mark.parametrize(("voxels", "spacing"), [(10, 0.98), (20, 0.7), (14, 0.3), (34, 1.1)])
def test_roi_is_not_larger_for_want_of_precision(voxels: int, spacing: float) -> None:
    assert 3.0 * (voxels * spacing) / spacing > 3 * voxels  # in floating point
    organ = Organ("Lens", 1, 1.0, (voxels * spacing,) * 3, 1, (1.0, 1.0))
    dataset = DatasetJson("dataset.json", {"Lens": 1}, ".nii.gz")
    (lens,) = plan_small_organs([organ], dataset, spacing=[spacing] * 3, patch_size=[999] * 3)
    assert lens.roi_size == (3 * voxels,) * 3


def test_roi_is_clamped_to_the_patch_with_one_warning_per_organ() -> None:
    small = planned(patch_size=(30, 48, 71), small_organs=("Stem", "Lens"))
    dataset = DatasetJson("dataset.json", {"Brain": 1, "Stem": 2, "Lens": 3}, ".nii.gz")
    assert [organ.roi_size for organ in small] == [(30, 48, 70), (6, 10, 12)]
    (line,) = small_organ_warnings(small, dataset)
    assert "ROI of Stem should have 30 x 48 x 72 voxels" in line
    assert "gets the 30 x 48 x 70" in line
    assert "\n" not in line
