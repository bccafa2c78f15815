"""CT series from files in any order, and what is wrong with those that make up no volume."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from dicom_files import ct_image, write_ct
from pydicom import dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import EnhancedCTImageStorage, RLELossless
from scipy.spatial.transform import Rotation
from source_folders import forbid

from nnunetv2_focusnet.dicom.series_grid import series_grid
from nnunetv2_focusnet.dicom.series_image import read_series
from nnunetv2_focusnet.dicom.tree import read_tree

OBLIQUE = Rotation.from_euler("zyx", [12, -7, 20], degrees=True).as_matrix().ravel()
CORONAL = (1, 0, 0, 0, 0, 1, 0, -1, 0)
FEET_FIRST = (-1, 0, 0, 0, 1, 0, 0, 0, -1)
DOWNWARDS = (1, 0, 0, 0, 1, 0, 0, 0, -1)  # slices from head to feet: left-handed, so they are read the other way round


def read(folder: Path) -> sitk.Image:
    (series,) = read_tree(folder).series
    return read_series(series, series_grid(series))


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


@pytest.mark.parametrize("gap", [1.25, 0.625])
def test_positions_in_tenths_of_a_mm_are_no_mixed_spacing(tmp_path: Path, gap: float) -> None:
    ct = write_ct(tmp_path, ct_image(size=(20, 16, 41), spacing=(1.0, 1.0, gap)))
    for z in range(41):
        ct.change(z, ImagePositionPatient=[-12.5, -40.0, round(103.5 + gap * z, 1)])
    assert read(tmp_path).GetSpacing()[2] == pytest.approx(gap)


@pytest.mark.parametrize("shift", [0.0, 0.013, 0.027, 0.041, 0.058, 0.069, 0.087])
def test_rounded_positions_of_an_oblique_series_are_neither_displaced_nor_tilted(tmp_path: Path, shift: float) -> None:
    origin = (-12.5 + shift, -40.0 - 2 * shift, 103.5 + 3 * shift)
    ct = write_ct(tmp_path, ct_image(size=(20, 16, 41), spacing=(0.4, 0.4, 1.25), direction=OBLIQUE, origin=origin))
    for z in range(41):
        position = ct.image.TransformIndexToPhysicalPoint((0, 0, z))
        ct.change(z, ImagePositionPatient=[round(value, 1) for value in position])
    assert read(tmp_path).GetSize() == (20, 16, 41)


def test_each_slice_has_hounsfield_units_of_its_own(tmp_path: Path) -> None:
    ct = write_ct(tmp_path, ct_image())
    ct.change(3, RescaleSlope=2, RescaleIntercept=-1000)
    expected = sitk.GetArrayFromImage(ct.image)
    expected[3] = 2 * (expected[3] + 1024) - 1000
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read(tmp_path)), expected)


def test_the_first_slice_does_not_decide_which_numbers_the_others_can_have(tmp_path: Path) -> None:
    """By its slope and intercept ITK would take unsigned 16-bit integers for all: air wraps around, halves are lost."""
    ct = write_ct(tmp_path, ct_image())
    stored = sitk.GetArrayFromImage(ct.image).astype(float) + 1024
    ct.change(0, RescaleSlope=1, RescaleIntercept=0)
    expected = stored - 1024
    expected[0] = stored[0]
    image = read(tmp_path)
    assert image.GetPixelID() == sitk.sitkInt16
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), expected)
    ct.change(4, RescaleSlope=0.5)
    expected[4] = stored[4] / 2 - 1024
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read(tmp_path)), expected)


def test_two_images_of_one_slice(tmp_path: Path) -> None:
    ct = write_ct(tmp_path, ct_image())
    ct.change(3, ImagePositionPatient=[-12.5, -40.0, 103.5 + 2 * 2.5])
    assert problem(tmp_path).startswith("IM_0017.dcm and IM_0024.dcm lie at the same position")


def test_tilted_gantry(tmp_path: Path) -> None:
    ct = write_ct(tmp_path, ct_image())
    for z in range(6):
        ct.change(z, ImagePositionPatient=[-12.5, -40.0 + 2.5 * z * np.tan(np.radians(15)), 103.5 + 2.5 * z])
    assert "the gantry was tilted by 15.0 degrees in the series of IM_0003.dcm" in problem(tmp_path)


@pytest.mark.parametrize("displaced", [[2, 3], [5]])
def test_a_slice_beside_the_others(tmp_path: Path, displaced: list[int]) -> None:
    """No tilt: the slice that lies furthest from the line through the first and the last is named."""
    ct = write_ct(tmp_path, ct_image(size=(20, 16, 7)))
    for z in displaced:
        ct.change(z, ImagePositionPatient=[-12.5 + 4.0 + z / 100, -40.0, 103.5 + 2.5 * z])
    name = ct.files[displaced[-1]].name
    assert problem(tmp_path).startswith(f"{name} lies 4.0")
    assert problem(tmp_path).endswith(
        "of the line from the first slice of its series to the last: export the series again"
    )


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"PixelSpacing": [1.25, 1.4]}, "IM_0017.dcm has another spacing than IM_0003.dcm"),
        ({"ImageOrientationPatient": [0, 1, 0, 1, 0, 0]}, "has another orientation than"),
        ({"ImagePositionPatient": None}, "IM_0017.dcm doesn't say where in the patient it lies (ImagePositionPatient"),
        ({"ImagePositionPatient": [0, 0, "NaN"]}, "IM_0017.dcm doesn't say where in the patient it lies"),
        ({"PixelSpacing": [0, 1]}, "IM_0017.dcm doesn't say where in the patient it lies (Rows, Columns and"),
        ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, "isn't two unit vectors"),
        ({"RescaleSlope": None}, "IM_0017.dcm doesn't say how its pixels become Hounsfield units (RescaleSlope"),
        ({"RescaleIntercept": ""}, "how its pixels become Hounsfield units (RescaleIntercept"),
        ({"SOPInstanceUID": ""}, "IM_0017.dcm has no SOPInstanceUID"),
        ({"NumberOfFrames": 2}, "IM_0017.dcm has several frames"),
        ({"Rows": 17}, "IM_0017.dcm has fewer pixels than rows and columns"),
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
    fault = "is cut off" if lacking <= 20 * 16 * 2 else "ends before its pixels"
    assert problem(tmp_path) == f"IM_0031.dcm {fault}: copy it again"


@pytest.mark.parametrize("ending", [".dcm", ""])
def test_a_slice_cut_off_anywhere_is_named_and_its_series_is_refused(tmp_path: Path, ending: str) -> None:
    """An archive's files have no ending; where the cut file doesn't say so itself, its neighbours do."""
    ct = write_ct(tmp_path, ct_image(size=(5, 4, 3)))
    files = [file.rename(file.with_suffix(ending)) for file in ct.files]
    whole = files[0].read_bytes()
    for end in [*range(0, len(whole), 41), len(whole) - 1]:
        files[0].write_bytes(whole[:end])
        tree = read_tree(tmp_path)
        assert [line.split(" ")[0] for line in tree.unreadable] == [files[0].name], end
        assert problem(tmp_path) == tree.unreadable[0]
    files[0].write_bytes(whole)
    assert read_tree(tmp_path).unreadable == ()


def test_what_else_is_in_a_folder_and_no_dicom(tmp_path: Path) -> None:
    ct = write_ct(tmp_path / "CT", ct_image())
    for name in ("notes.txt", "._IM_0003.dcm", ".DS_Store", "Thumbs.db"):
        (tmp_path / "CT" / name).write_text("read me")
    (tmp_path / "README").write_text("read me")
    assert read(tmp_path).GetSize() == ct.image.GetSize()
    assert read_tree(tmp_path).unreadable == ()


def test_a_readme_beside_slices_without_ending_is_no_broken_slice(tmp_path: Path) -> None:
    ct = write_ct(tmp_path, ct_image())
    for file in ct.files:
        file.rename(file.with_suffix(""))
    (tmp_path / "README").write_text("read me")
    assert read(tmp_path).GetSize() == ct.image.GetSize()
    assert read_tree(tmp_path).unreadable == ()
    (tmp_path / "IM_0900").write_text("<html>not found</html>")  # what a download may leave of a slice
    assert problem(tmp_path).startswith("IM_0900 isn't DICOM")


@pytest.mark.parametrize("name", ["IM_0900.dcm", "IM_0900.DCM", "image.dicom", "1.IMA"])
def test_whatever_has_an_ending_of_dicom_has_to_be_dicom(tmp_path: Path, name: str) -> None:
    write_ct(tmp_path, ct_image())
    (tmp_path / name).write_text("<html>not found</html>")
    assert problem(tmp_path) == f"{name} isn't DICOM: copy it again, or delete it if it is no DICOM"


def test_numbers_are_no_ending(tmp_path: Path) -> None:
    ct = write_ct(tmp_path, ct_image())
    for z, file in enumerate(ct.files):
        file.rename(tmp_path / f"CT.1.2.840.{z}")
    (tmp_path / "CT.1.2.840.2").write_bytes(b"")
    assert problem(tmp_path).startswith("CT.1.2.840.2 is empty: copy it again")


def test_a_link_to_nowhere_and_a_patient_of_empty_files(tmp_path: Path) -> None:
    """What a full disk leaves of a copy: nothing in the folder is DICOM any more, but elsewhere files like it are."""
    ct = write_ct(tmp_path / "a", ct_image())
    for file in ct.files:
        file.rename(file.with_suffix(""))
    (tmp_path / "b").mkdir()
    for name in ("IM_0003", "IM_0010"):
        (tmp_path / "b" / name).write_bytes(b"")
    (tmp_path / "c.dcm").symlink_to(tmp_path / "moved.dcm")
    assert [line.split(":")[0] for line in read_tree(tmp_path).unreadable] == [
        "b/IM_0003 is empty",
        "b/IM_0010 is empty",
        "c.dcm can't be read (No such file or directory)",
    ]
    assert read(tmp_path).GetSize() == ct.image.GetSize()


def test_a_cut_file_that_names_its_series_leaves_the_others_of_its_folder_alone(tmp_path: Path) -> None:
    first, second = (write_ct(tmp_path / name, ct_image(), uid=f"1.2.{n}") for n, name in enumerate("ab"))
    second.files = [file.rename(first.files[0].parent / f"b{file.name}") for file in second.files]
    whole = second.files[2].read_bytes()
    second.files[2].write_bytes(whole[:-20])
    assert [series.problem for series in read_tree(tmp_path).series] == ["", "a/bIM_0017.dcm is cut off: copy it again"]
    # in the middle of the UID, which may then look like another's
    second.files[2].write_bytes(whole[: whole.index(b"1.2.1\0") + 2])
    assert all(series.problem.startswith("a/bIM_0017.dcm is") for series in read_tree(tmp_path).series)


def test_slices_of_one_number(tmp_path: Path) -> None:
    ct = write_ct(tmp_path, ct_image())
    ct.change(3, SOPInstanceUID=ct.instances[1])
    assert problem(tmp_path).startswith("IM_0010.dcm and IM_0024.dcm have the same SOPInstanceUID")


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "FrameOfReferenceUID", "PatientID"])
def test_a_series_number_that_several_series_have(tmp_path: Path, keyword: str) -> None:
    write_ct(tmp_path, ct_image()).change(3, **{keyword: "1.2.3"})
    assert problem(tmp_path).startswith(f"the series of IM_0003.dcm has 2 values of {keyword}")


def test_compressed_slices_are_read_and_cut_ones_refused(tmp_path: Path) -> None:
    ct = write_ct(tmp_path, ct_image())
    for file in ct.files:
        content = dcmread(file)
        content.compress(RLELossless)
        content.save_as(file)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read(tmp_path)), sitk.GetArrayFromImage(ct.image))
    whole = ct.files[2].read_bytes()
    for lacking in (1, 8, 9, 100, 400):
        ct.files[2].write_bytes(whole[:-lacking])
        assert problem(tmp_path).startswith("IM_0017.dcm "), lacking
    ct.files[2].write_bytes(whole)
    ct.change(2, PixelData=encapsulate([b"no frame of pixels"]))
    assert problem(tmp_path) == "the pixels of IM_0017.dcm can't be read: uncompress the series from RLE Lossless"


def test_an_enhanced_ct_is_named_as_one(tmp_path: Path) -> None:
    ct = write_ct(tmp_path, ct_image(size=(20, 16, 2)))
    for z in range(2):
        ct.change(z, SOPClassUID=EnhancedCTImageStorage)
    text = "IM_0003.dcm is Enhanced CT Image Storage, which isn't read: convert it to CT Image Storage"
    with pytest.raises(ValueError, match=text):
        read_tree(tmp_path)


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


def test_a_folder_that_can_not_be_listed_is_not_called_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forbid(monkeypatch, tmp_path)
    with pytest.raises(ValueError, match=r"^the DICOM folder can't be listed \(Permission denied\)"):
        read_tree(tmp_path)


def test_series_of_one_folder_are_told_apart(tmp_path: Path) -> None:
    first, second = (write_ct(tmp_path / "mixed" / name, ct_image(), uid=f"1.2.{n}") for n, name in enumerate("ab"))
    for file in second.files:
        file.rename(first.files[0].parent / f"b{file.name}")
    tree = read_tree(tmp_path)
    assert [(series.uid, len(series.slices)) for series in tree.series] == [("1.2.0", 6), ("1.2.1", 6)]
    assert tree.series[0].study == dcmread(first.files[0]).StudyInstanceUID
