from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from batchgenerators.utilities.file_and_folder_operations import write_pickle
from nnunetv2.imageio.base_reader_writer import BaseReaderWriter
from nnunetv2.imageio.nibabel_reader_writer import NibabelIO, NibabelIOWithReorient
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO

from nnunetv2_focusnet.laterality import find_left_right, load_properties, swap_table
from nnunetv2_focusnet.organs.plans_entry import Laterality

EYES = {"background": 0, "Eye_L": 1, "Eye_R": 2}
UPRIGHT = (1, 0, 0, 0, 1, 0, 0, 0, 1)
X_REVERSED = (-1, 0, 0, 0, 1, 0, 0, 0, 1)  # still a grid of right angles, left at the array's start
SAGITTAL = (0, 0, 1, 1, 0, 0, 0, 1, 0)  # index x runs to posterior, y to superior, z to the left


def sitk_properties(direction: tuple[float, ...]) -> dict:
    return {"sitk_stuff": {"spacing": (1, 1, 1), "origin": (0, 0, 0), "direction": direction}, "spacing": [1, 1, 1]}


def rotated_about_z(degrees: float) -> tuple[float, ...]:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return (c, -s, 0, s, c, 0, 0, 0, 1)


def read(reader: type[BaseReaderWriter], folder: Path, direction: tuple[float, ...]) -> tuple[np.ndarray, dict]:
    """A 2 x 3 x 4 image (z, y, x) of that direction whose only bright voxel is the patient's leftmost, as read."""
    image = sitk.GetImageFromArray(np.zeros((2, 3, 4), dtype=np.float32))
    image.SetDirection(direction)
    indices = [(x, y, z) for x in range(4) for y in range(3) for z in range(2)]
    image[max(indices, key=lambda index: image.TransformIndexToPhysicalPoint(index)[0])] = 1
    path = str(folder / "image.nii.gz")
    sitk.WriteImage(image, path)
    array, properties = reader().read_images([path])
    return array[0], properties


def test_swap_table_swaps_pairs_and_keeps_the_rest() -> None:
    assert swap_table([(1, 2), (5, 3)], 7) == [0, 2, 1, 5, 4, 3, 6]


@pytest.mark.parametrize(
    ("direction", "transpose_forward", "axis", "left_at_end"),
    [
        (UPRIGHT, [0, 1, 2], 2, True),
        (X_REVERSED, [0, 1, 2], 2, False),
        (SAGITTAL, [0, 1, 2], 0, True),
        (UPRIGHT, [2, 0, 1], 0, True),  # the network's first axis is x
        (SAGITTAL, [1, 0, 2], 1, True),
        (rotated_about_z(9), [0, 1, 2], 2, True),
    ],
)
def test_axis_comes_from_the_direction(
    direction: tuple[float, ...], transpose_forward: list[int], axis: int, left_at_end: bool
) -> None:
    cases = [(case, sitk_properties(direction)) for case in ("a", "b")]
    found = find_left_right(cases, EYES, transpose_forward)
    assert found.laterality == Laterality(axis, left_at_end, ((1, 2),))
    assert found.unsafe_axes == (axis,)
    assert "Eye_L/Eye_R" in found.message


@pytest.mark.parametrize(
    ("direction", "labels"),
    [(UPRIGHT, EYES | {"Cochlea_L": 3}), (rotated_about_z(11), EYES)],
    ids=["an organ without partner", "oblique"],
)
def test_where_left_is_is_known_where_no_flip_may_be_made(direction: tuple[float, ...], labels: dict[str, int]) -> None:
    found = find_left_right([("a", sitk_properties(direction))], labels, [0, 1, 2])
    assert found.laterality == Laterality(2, True, ((1, 2),), may_flip=False)


def test_without_sides_mirroring_stays_as_it_is() -> None:
    labels = {"background": 0, "Lens": 1, "C1": 2, "C2": 3, "GTVp": 4, "GTVn": 5, "ignore": 6}
    found = find_left_right([("a", sitk_properties(rotated_about_z(45)))], labels, [0, 1, 2])
    assert (found.laterality, found.unsafe_axes) == (None, ())
    assert "GTVp/GTVn are taken for organs without sides" in found.message


@pytest.mark.parametrize(
    ("direction", "axes"),
    [(rotated_about_z(11), (2,)), (rotated_about_z(80), (1, 2)), (X_REVERSED, (2,)), (SAGITTAL, (0, 2))],
    ids=["oblique", "other axis, and oblique", "other side", "other axis"],
)
def test_a_deviating_case_forbids_flips_and_is_named(direction: tuple[float, ...], axes: tuple[int, ...]) -> None:
    cases = [("a", sitk_properties(UPRIGHT)), ("odd", sitk_properties(direction)), ("z", sitk_properties(UPRIGHT))]
    found = find_left_right(cases, EYES, [0, 1, 2])
    assert (found.axis, found.unsafe_axes) == (None, axes)
    assert (found.laterality is None) == (direction != rotated_about_z(11))  # the others have left elsewhere
    assert " in odd:" in found.message
    assert "\n" not in found.message


@pytest.mark.parametrize("properties", [{"spacing": [1, 1, 1]}, {"sitk_stuff": {"direction": (1, 0, 0, 1)}}])
def test_without_direction_no_axis_is_safe(properties: dict) -> None:
    found = find_left_right([("a", properties)], EYES, [0, 1, 2])
    assert (found.axis, found.unsafe_axes) == (None, (0, 1, 2))
    assert " in a:" in found.message


def test_many_deviating_cases_are_counted() -> None:
    cases = [(f"case{i}", sitk_properties(rotated_about_z(30))) for i in range(5)]
    assert "in case0, case1, case2 and 2 more:" in find_left_right(cases, EYES, [0, 1, 2]).message


@pytest.mark.parametrize(
    ("names", "lonely"),
    [
        (["Cochlea_L"], "Cochlea_L"),
        (["Left breast", "Heart"], "Left breast"),
        (["Eye_L", "Eye_R", "Cochlea_L"], "Cochlea_L"),
        (["Eye_L", "Eye_R", "Parotid_L", "Paotid_R"], "Parotid_L, Paotid_R"),
        (["Parotis li", "Larynx"], "Parotis li"),
        (["Oeil_G", "Oeil_D", "Parotide_G"], "Parotide_G"),
    ],
)
def test_an_organ_without_its_partner_forbids_flips_and_is_named(names: list[str], lonely: str) -> None:
    labels = {"background": 0} | {name: value for value, name in enumerate(names, start=1)}
    found = find_left_right([("a", sitk_properties(SAGITTAL))], labels, [0, 1, 2])
    assert (found.axis, found.unsafe_axes) == (None, (0,))
    assert f"no partner was found for {lonely};" in found.message
    assert "left_right_pairs" in found.message
    assert "\n" not in found.message


def test_an_organ_without_its_partner_in_images_without_direction() -> None:
    found = find_left_right([("a", {})], {"background": 0, "Cochlea_L": 1}, [0, 1, 2])
    assert (found.axis, found.unsafe_axes) == (None, (0, 1, 2))
    assert "no partner was found for Cochlea_L;" in found.message
    assert " in a:" in found.message


def test_names_that_may_be_sides_forbid_flips_until_somebody_says_what_they_are() -> None:
    labels = {"background": 0, "Parotid_S": 1, "Parotid_D": 2}  # Italian sinistra and destra, or superficial and deep
    cases = [("a", sitk_properties(UPRIGHT))]
    found = find_left_right(cases, labels, [0, 1, 2])
    assert (found.laterality, found.unsafe_axes) == (Laterality(2, True, (), may_flip=False), (2,))
    assert "Parotid_S/Parotid_D may be left and right" in found.message
    pair = find_left_right(cases, labels, [0, 1, 2], [("Parotid_S", "Parotid_D")])
    assert (pair.laterality, pair.unsafe_axes) == (Laterality(2, True, ((1, 2),)), (2,))
    none = find_left_right(cases, labels, [0, 1, 2], [])
    assert (none.laterality, none.unsafe_axes) == (None, ())


def test_sides_that_are_no_mirror_images_forbid_flips_until_somebody_says_that_they_may() -> None:
    labels = {"background": 0, "left ventricle": 1, "right ventricle": 2, "Lung_L": 3, "Lung_R": 4}
    cases = [("a", sitk_properties(UPRIGHT))]
    found = find_left_right(cases, labels, [0, 1, 2])
    assert found.laterality == Laterality(2, True, ((3, 4),), may_flip=False)
    assert found.unsafe_axes == (2,)
    assert "as left ventricle/right ventricle are no mirror images; " in found.message
    assert "left_right_pairs" in found.message
    assert "\n" not in found.message
    named = [("left ventricle", "right ventricle"), ("Lung_L", "Lung_R")]
    assert find_left_right(cases, labels, [0, 1, 2], named).laterality == Laterality(2, True, ((1, 2), (3, 4)))


def test_two_names_for_one_side_forbid_flips() -> None:
    labels = {"background": 0, "Eye_L": 1, "Eye_Left": 2, "Eye_R": 3}  # which one is the right eye's partner?
    found = find_left_right([("a", sitk_properties(UPRIGHT))], labels, [0, 1, 2])
    assert (found.laterality, found.unsafe_axes) == (Laterality(2, True, (), may_flip=False), (2,))
    assert "Eye_L/Eye_R, Eye_Left/Eye_R may be left and right" in found.message


def test_named_pairs_are_all_there_are_and_sides_in_words_still_need_a_partner() -> None:
    labels = EYES | {"first": 3, "second": 4}
    cases = [("a", sitk_properties(UPRIGHT))]
    both = find_left_right(cases, labels, [0, 1, 2], [("second", "first"), ("Eye_L", "Eye_R")])
    assert both.laterality == Laterality(2, True, ((4, 3), (1, 2)))
    for named, pairs in (([("second", "first")], ((4, 3),)), ([], ())):
        found = find_left_right(cases, labels, [0, 1, 2], named)
        assert (found.laterality, found.unsafe_axes) == (Laterality(2, True, pairs, may_flip=False), (2,))
        assert "no partner was found for Eye_L, Eye_R;" in found.message


@pytest.mark.parametrize("direction", [UPRIGHT, X_REVERSED, SAGITTAL, rotated_about_z(180), rotated_about_z(90)])
@pytest.mark.parametrize("reader", [SimpleITKIO, NibabelIO, NibabelIOWithReorient])
def test_axis_is_where_each_reader_puts_the_leftmost_voxel(
    reader: type[BaseReaderWriter], direction: tuple[float, ...], tmp_path: Path
) -> None:
    array, properties = read(reader, tmp_path, direction)
    axis = find_left_right([("a", properties)], EYES, [0, 1, 2]).axis
    assert axis is not None
    leftmost = np.argwhere(array == 1)[0][axis]
    at_start = leftmost == 0
    assert at_start or leftmost == array.shape[axis] - 1
    # a second image, known to have left at the start of that axis, agrees with the first only if that has, too
    to_left = [0.0, 0.0, 0.0]
    to_left[2 - axis] = -1.0
    reference = sitk_properties((*to_left, *np.roll(to_left, 1), *np.roll(to_left, 2)))
    both = find_left_right([("a", properties), ("b", reference)], EYES, [0, 1, 2])
    assert (both.axis == axis) == at_start


def test_reoriented_images_agree_where_those_on_disk_do_not(tmp_path: Path) -> None:
    def axis(reader: type[BaseReaderWriter]) -> int | None:
        cases = [(str(i), read(reader, tmp_path, d)[1]) for i, d in enumerate([UPRIGHT, X_REVERSED, SAGITTAL])]
        return find_left_right(cases, EYES, [0, 1, 2]).axis

    assert axis(NibabelIO) is None
    assert axis(NibabelIOWithReorient) == 2


def test_properties_come_with_their_case_in_order(tmp_path: Path) -> None:
    for case in ("b.1", "a"):
        write_pickle({"spacing": [case]}, str(tmp_path / f"{case}.pkl"))
    (tmp_path / "a.b2nd").touch()
    assert list(load_properties(tmp_path)) == [("a", {"spacing": ["a"]}), ("b.1", {"spacing": ["b.1"]})]
