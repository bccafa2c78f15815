"""CT series from files in any order, and what is wrong with those that make up no volume."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from dicom_files import ct_image, write_ct
from pydicom import dcmread
from scipy.spatial.transform import Rotation

from nnunetv2_focusnet.dicom.grid import grid_of, read_image
from nnunetv2_focusnet.dicom.tree import read_tree

OBLIQUE = Rotation.from_euler("zyx", [12, -7, 20], degrees=True).as_matrix().ravel()
CORONAL = (1, 0, 0, 0, 0, 1, 0, -1, 0)
FEET_FIRST = (-1, 0, 0, 0, 1, 0, 0, 0, -1)
DOWNWARDS = (1, 0, 0, 0, 1, 0, 0, 0, -1)  # slices from head to feet: left-handed, so they are read the other way round


def read(folder: Path) -> sitk.Image:
    (series,) = read_tree(folder).series
    return read_image(series, grid_of(series))


def problem(folder: Path) -> str:
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the tests look at the message
        read(folder)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("direction", [(1, 0, 0, 0, 1, 0, 0, 0, 1), OBLIQUE, CORONAL, FEET_FIRST, DOWNWARDS])
def test_every_voxel_is_where_it_was(tmp_path: Path, direction) -> None:
    source = ct_image(direction=direction)
    write_ct(tmp_path, source)
    image = read(tmp_path)
    assert image.GetSize() == source.GetSize()
    assert np.linalg.det(np.reshape(image.GetDirection(), (3, 3))) == pytest.approx(1)
    for index in [(0, 0, 0), (19, 0, 0), (3, 15, 2), (7, 4, 5)]:
        there = image.TransformPhysicalPointToIndex(source.TransformIndexToPhysicalPoint(index))
        assert image.GetPixel(there) == source.GetPixel(index)


def test_slices_that_are_missing(tmp_path: Path) -> None:
    ct = write_ct(tmp_path, ct_image())
    ct.files[2].unlink()
    assert problem(tmp_path) == "a slice is missing between IM_0010.dcm and IM_0024.dcm: copy the series again"
    ct.files[3].unlink()
    assert problem(tmp_path).startswith("2 slices are missing between IM_0010.dcm and IM_0031.dcm")


def test_mixed_slice_spacing(tmp_path: Path) -> None:
    ct = write_ct(tmp_path, ct_image())
    ct.change(5, ImagePositionPatient=[-12.5, -40.0, 103.5 + 4 * 2.5 + 3.5])
    assert problem(tmp_path) == (
        "the slice spacing is mixed in the series of IM_0003.dcm: 3.5 mm between IM_0031.dcm and IM_0038.dcm, "
        "elsewhere 2.5 mm: export parts of one spacing as series of their own"
    )


def test_rounded_positions_are_no_mixed_spacing(tmp_path: Path) -> None:
    ct = write_ct(tmp_path, ct_image(size=(20, 16, 41), spacing=(1.0, 1.0, 1.25)))
    for z in range(41):
        ct.change(z, ImagePositionPatient=[-12.5, -40.0, round(103.5 + 1.25 * z, 1)])
    assert read(tmp_path).GetSpacing()[2] == pytest.approx(1.25)


def test_two_images_of_one_slice(tmp_path: Path) -> None:
    ct = write_ct(tmp_path, ct_image())
    ct.change(3, ImagePositionPatient=[-12.5, -40.0, 103.5 + 2 * 2.5])
    assert problem(tmp_path).startswith("IM_0017.dcm and IM_0024.dcm lie at the same position")


def test_tilted_gantry(tmp_path: Path) -> None:
    ct = write_ct(tmp_path, ct_image())
    for z in range(6):
        ct.change(z, ImagePositionPatient=[-12.5, -40.0 + 2.5 * z * np.tan(np.radians(15)), 103.5 + 2.5 * z])
    assert "the gantry was tilted by 15.0 degrees in the series of IM_0003.dcm" in problem(tmp_path)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"PixelSpacing": [1.25, 1.4]}, "IM_0017.dcm has another spacing than IM_0003.dcm"),
        ({"ImageOrientationPatient": [0, 1, 0, 1, 0, 0]}, "has another orientation than"),
        ({"ImagePositionPatient": None}, "IM_0017.dcm doesn't say where in the patient it lies"),
    ],
)
def test_a_slice_unlike_the_others(tmp_path: Path, change: dict[str, object], text: str) -> None:
    write_ct(tmp_path, ct_image()).change(2, **change)
    assert text in problem(tmp_path)


def test_a_single_slice(tmp_path: Path) -> None:
    write_ct(tmp_path, ct_image(size=(20, 16, 1)))
    assert problem(tmp_path).startswith("the series of IM_0003.dcm has one slice")


@pytest.mark.parametrize("lacking", [1, 100, 20 * 16 * 2, 20 * 16 * 2 + 6])  # the last ends before the pixels
def test_a_file_cut_off_in_its_pixels(tmp_path: Path, lacking: int) -> None:
    ct = write_ct(tmp_path, ct_image())
    ct.files[4].write_bytes(ct.files[4].read_bytes()[:-lacking])
    assert problem(tmp_path) == "the pixels of IM_0031.dcm can't be read: copy it again"


def test_other_files_are_passed_over_and_broken_ones_named(tmp_path: Path) -> None:
    ct = write_ct(tmp_path / "a series", ct_image())
    (tmp_path / "notes.txt").write_text("read me")
    whole = ct.files[0].read_bytes()
    (tmp_path / "broken.dcm").write_bytes(whole[:160])
    tree = read_tree(tmp_path)
    assert [len(series.slices) for series in tree.series] == [6]
    assert tree.unreadable == ("broken.dcm is broken DICOM: copy it again",)


def test_folders_without_ct(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no CT slices"):
        read_tree(tmp_path)
    with pytest.raises(ValueError, match="is no folder"):
        read_tree(tmp_path / "nowhere")


def test_series_of_one_folder_are_told_apart(tmp_path: Path) -> None:
    first, second = (write_ct(tmp_path / "mixed" / name, ct_image(), uid=f"1.2.{n}") for n, name in enumerate("ab"))
    for file in second.files:
        file.rename(first.files[0].parent / f"b{file.name}")
    tree = read_tree(tmp_path)
    assert [(series.uid, len(series.slices)) for series in tree.series] == [("1.2.0", 6), ("1.2.1", 6)]
    assert tree.series[0].study == dcmread(first.files[0]).StudyInstanceUID
