"""What a user must look at, found in label maps of known content, and where it lies in the patient."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from nnunetv2.imageio.base_reader_writer import BaseReaderWriter
from nnunetv2.imageio.nibabel_reader_writer import NibabelIO, NibabelIOWithReorient
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO, SimpleITKIOWithReorient

from nnunetv2_focusnet.architectures.config import FocusNetConfig
from nnunetv2_focusnet.inference.findings import Place, measure
from nnunetv2_focusnet.inference.positions import Positions
from nnunetv2_focusnet.organs.organ import Organ
from nnunetv2_focusnet.organs.plans_entry import Laterality, PlansEntry

SPACING = (3.0, 1.0, 2.0)
SIZE = (20, 8, 40)
NAMES = ("Brain", "Eye_L", "Eye_R", "Lens_L", "Lens_R", "Ear_L", "Ear_R")
# 2 x 2 x 2 voxels each, 6 mm3 a voxel, and 4 mm from left to right.
ORGANS = tuple(Organ(name, label, 48.0, (6.0, 2.0, 4.0), 9, (40.0, 60.0)) for label, name in enumerate(NAMES, 1))
ENTRY = PlansEntry(
    organs=ORGANS,
    small_organs=(),
    focal_weights=(),
    network=FocusNetConfig(small_organs=(4, 5)),
    laterality=Laterality(axis=2, left_at_end=True, pairs=((2, 3), (4, 5), (6, 7))),
)
GOOD = {"Brain": 19, "Eye_L": 26, "Eye_R": 12, "Lens_L": 30, "Lens_R": 8, "Ear_L": 36, "Ear_R": 2}
HERE = Place(0.9, [10, 4, 30], 0.1, [0, 0, 0], found=True, apart_mm=70.0, inside_mm3=48.0, elsewhere_mm3=0.0)


def labels_of(**along_x: int) -> np.ndarray:
    """A label map in which organs lie in a row, their first voxels at these x."""
    labels = np.zeros(SIZE, dtype=np.uint8)
    for name, x in along_x.items():
        labels[17:19, 3:5, x : x + 2] = 1 + NAMES.index(name)
    return labels


def warnings_of(entry: PlansEntry = ENTRY, lens: Place = HERE, **along_x: int) -> list[str]:
    return list(measure(labels_of(**GOOD | along_x), entry, {4: lens}, SPACING).warnings)


def test_of_a_good_prediction_there_is_nothing_to_say() -> None:
    assert warnings_of() == []
    found = measure(labels_of(**GOOD), ENTRY, {4: HERE}, SPACING)
    assert {organ.volume_mm3 for organ in found.organs} == {48.0}


def test_organs_that_training_did_not_have_change_nothing() -> None:
    labels = labels_of(**GOOD)
    labels[0, 0, 0] = 200
    assert measure(labels, ENTRY, {}, SPACING).warnings == []


def test_sides_are_those_of_the_patient() -> None:
    mirrored = {name: SIZE[2] - 2 - x for name, x in GOOD.items()}
    other_end = replace(ENTRY, laterality=replace(ENTRY.laterality, left_at_end=False))
    assert warnings_of(other_end, **mirrored) == []
    assert [line.split(" and ")[0] for line in warnings_of(**mirrored)] == ["Eye_L", "Lens_L", "Ear_L"]
    along_z = replace(ENTRY, laterality=replace(ENTRY.laterality, axis=0))
    labels = labels_of(**GOOD).transpose()  # the network's first axis runs to the left
    assert measure(labels, along_z, {}, SPACING[::-1]).warnings == []


def test_pairs_on_wrong_sides_are_named() -> None:
    assert warnings_of(Lens_L=8, Lens_R=30) == ["Lens_L and Lens_R have changed sides"]
    moved = labels_of(**GOOD)
    moved[moved == 5] = 0
    moved[17:19, :2, 30:32] = 5  # a right lens beside the left one, more to the front
    assert list(measure(moved, ENTRY, {}, SPACING).warnings) == [
        "Lens_L and Lens_R lie on one side: their centres are 0 mm apart from left to right"
    ]
    # Middles of the other pairs are at x = 19.5, so 24 and 30 are both to the left of it.
    assert warnings_of(Lens_R=24) == ["Lens_L and Lens_R lie on one side of the middle between the other pairs"]
    assert warnings_of(Lens_R=20) == []  # 2 mm to the left of it
    two_pairs = replace(ENTRY, laterality=replace(ENTRY.laterality, pairs=((4, 5), (6, 7))))
    assert warnings_of(two_pairs, Lens_R=24) == []


def test_sides_count_where_images_may_not_be_flipped() -> None:
    no_flip = replace(ENTRY, laterality=replace(ENTRY.laterality, may_flip=False))
    assert no_flip.swap_flip is None
    found = measure(labels_of(**GOOD | {"Lens_L": 8, "Lens_R": 30}), no_flip, {}, SPACING)
    assert list(found.warnings) == ["Lens_L and Lens_R have changed sides"]
    assert len(found.with_direction((2, False)).warnings) == 2


def test_organs_that_are_not_found_are_named() -> None:
    without = {name: x for name, x in GOOD.items() if name != "Ear_R"}
    assert list(measure(labels_of(**without), ENTRY, {}, SPACING).warnings) == ["Ear_R has no voxel"]
    low = replace(HERE, peak=0.123, found=False)
    assert warnings_of(lens=low) == ["Lens_L was not found: the peak of its heat map is 0.12"]


def test_two_peaks_are_named_if_the_second_is_more_than_half_of_the_first() -> None:
    assert warnings_of(lens=replace(HERE, second_peak=0.44)) == []
    (line,) = warnings_of(lens=replace(HERE, second_peak=0.46, apart_mm=13.2))
    assert line == "Lens_L may be elsewhere: 13 mm from its heat map's peak (0.90) there is a second one (0.46)"


def test_an_organ_that_the_main_network_sees_elsewhere_is_named() -> None:
    # Half of the smallest volume in training are 20 mm3.
    assert warnings_of(lens=replace(HERE, inside_mm3=0.0, elsewhere_mm3=19.9)) == []
    assert warnings_of(lens=replace(HERE, inside_mm3=48.0, elsewhere_mm3=48.0)) == []
    (line,) = warnings_of(lens=replace(HERE, inside_mm3=12.0, elsewhere_mm3=20.0))
    assert line == (
        "Lens_L may be elsewhere: the main network sees 20 mm3 of it outside of the ROI around its heat map's peak, and"
        " 12 mm3 inside"
    )


@pytest.mark.parametrize(("volumes", "warned"), [((25, 90), False), ((97, 120), True), ((10, 23), True)])
def test_volumes_far_outside_of_training_s_are_named(volumes: tuple[float, float], warned: bool) -> None:
    organs = (replace(ORGANS[0], volume_range_mm3=volumes), *ORGANS[1:])
    lines = warnings_of(replace(ENTRY, organs=organs))
    expected = f"Brain has 48 mm3; in training it had {volumes[0]} to {volumes[1]}"
    assert lines == ([expected] if warned else [])


# ---- where it lies ----


@pytest.fixture
def head(tmp_path: Path) -> tuple[sitk.Image, dict]:
    """An image (x, y, z) of 10 x 12 x 8 voxels, turned, and what nnU-Net's preprocessing would say of it.

    The network's axes are (x, z, y). Cropping took off 2 of x, 1 of z; then voxels were halved along y.
    """
    image = sitk.GetImageFromArray(np.zeros((8, 12, 10), dtype=np.float32))
    image.SetSpacing((1.0, 2.0, 3.0))
    image.SetOrigin((-20.0, 30.0, 5.0))
    image.SetDirection((0, 1, 0, -1, 0, 0, 0, 0, 1))
    sitk.WriteImage(image, tmp_path / "head.nii.gz")
    _, properties = SimpleITKIO().read_images([str(tmp_path / "head.nii.gz")])
    return image, properties | {
        "shape_before_cropping": (10, 8, 12),
        "bbox_used_for_cropping": [[2, 10], [1, 8], [0, 12]],
        "shape_after_cropping_and_before_resampling": (8, 7, 12),
    }


def test_positions_are_those_of_the_file(head: tuple[sitk.Image, dict]) -> None:
    image, properties = head
    positions = Positions.of(properties, (2, 0, 1), (8, 7, 24))
    # x: 3 + 2; z: 4 + 1; voxel 9 of half the size covers y from 4.5 to 5, whose middle is at index 4.25.
    assert positions.index([3, 4, 9]).tolist() == [5, 4.25, 5]
    expected = image.TransformContinuousIndexToPhysicalPoint((5.0, 4.25, 5.0))
    assert positions.patient_mm([3, 4, 9]).tolist() == pytest.approx(expected)


@pytest.mark.parametrize("reader", [SimpleITKIO, SimpleITKIOWithReorient, NibabelIO, NibabelIOWithReorient])
@pytest.mark.parametrize("direction", [(1, 0, 0, 0, 1, 0, 0, 0, 1), (0, 0, -1, 1, 0, 0, 0, -1, 0)])
def test_voxels_are_those_of_the_file_whichever_reader_turns_it(
    tmp_path: Path, reader: type[BaseReaderWriter], direction: tuple[int, ...]
) -> None:
    image = sitk.GetImageFromArray(np.zeros((8, 12, 10), dtype=np.float32))
    image[9, 4, 3] = 1
    image.SetSpacing((1.0, 2.0, 3.0))
    image.SetDirection(direction)
    sitk.WriteImage(image, tmp_path / "head.nii.gz")
    array, properties = reader().read_images([str(tmp_path / "head.nii.gz")])
    shape = array.shape[1:]
    cropped = {"shape_before_cropping": shape, "shape_after_cropping_and_before_resampling": shape}
    none = {"bbox_used_for_cropping": [[0, size] for size in shape]}
    positions = Positions.of(properties | cropped | none, (0, 1, 2), shape)
    bright = np.argwhere(array[0])[0]
    assert positions.index(bright) == pytest.approx([9, 4, 3], abs=1e-4)
    assert positions.patient_mm(bright) == pytest.approx(image.TransformIndexToPhysicalPoint((9, 4, 3)), abs=1e-4)


def test_a_file_without_geometry_has_voxels_alone(head: tuple[sitk.Image, dict]) -> None:
    _, properties = head
    positions = Positions.of({k: v for k, v in properties.items() if k != "sitk_stuff"}, (2, 0, 1), (8, 7, 24))
    assert positions.index([3, 4, 9]).tolist() == [5, 4.25, 5]
    assert positions.patient_mm([3, 4, 9]) is None
