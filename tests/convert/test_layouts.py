"""Folders as real copies of the datasets are, with what doesn't belong there."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import source_folders as sources
from source_folders import SHAPE, box, mask, save

from nnunetv2_focusnet.convert.layouts import LAYOUTS
from nnunetv2_focusnet.convert.layouts.base import SourceCase
from nnunetv2_focusnet.convert.layouts.hanseg import HanSeg
from nnunetv2_focusnet.convert.layouts.pddca import ADDITIONAL, OFFSITE, ONSITE, PREFIX, TRAIN, Pddca
from nnunetv2_focusnet.convert.layouts.segrap import SegRap
from nnunetv2_focusnet.convert.layouts.structseg import VALUES, StructSeg
from nnunetv2_focusnet.convert.layouts.tcia_deepmind import TciaDeepMind

ONE = {"Parotid_L": box(1, 2, 3)}


def summary(cases: list[SourceCase]) -> list[tuple[str, str, list[str]]]:
    return [(case.identifier, case.split, list(case.structure_names())) for case in cases]


def array_of(case: SourceCase, name: str) -> np.ndarray:
    (structure,) = case.structures([name])
    return sitk.GetArrayFromImage(structure.mask)


def first_error(case: SourceCase) -> str:
    with pytest.raises(ValueError) as error:  # noqa: PT011 - returned to be looked at
        case.channels()
    return str(error.value)


def test_layouts_are_there_by_their_names_on_the_command_line() -> None:
    assert {"pddca", "tcia-deepmind", "hanseg", "structseg", "segrap", "dicom-rt"} <= LAYOUTS.keys()


def test_pddca_has_the_parts_of_the_challenge() -> None:
    assert [len(part) for part in (TRAIN, ADDITIONAL, ONSITE, OFFSITE)] == [25, 8, 5, 10]
    assert len({*TRAIN, *ADDITIONAL, *ONSITE, *OFFSITE}) == 48


def test_pddca_cases_are_found_in_all_parts_of_the_download(tmp_path: Path) -> None:
    sources.pddca_case(tmp_path / "PDDCA-1.4.1_part1", "0522c0001", ONE | {"Chiasm": box(5, 5, 5)})
    sources.pddca_case(tmp_path / "PDDCA-1.4.1_part3", "0522c0555", ONE)
    sources.pddca_case(tmp_path / "__MACOSX" / "PDDCA-1.4.1_part1", "0522c0001", ONE)
    sources.pddca_case(tmp_path / ".Trashes", "0522c0555", ONE)
    (tmp_path / "PDDCA-1.4.1_part1" / "0522c0001" / "structures" / "._Mandible.nrrd").write_bytes(b"junk")
    cases = Pddca().find_cases(tmp_path)
    assert summary(cases) == [
        ("0522c0001", "train", ["Chiasm", "Parotid_L"]),
        ("0522c0555", "test", ["Parotid_L"]),
    ]
    np.testing.assert_array_equal(array_of(cases[0], "Parotid_L"), mask(ONE["Parotid_L"]))


def test_pddca_onsite_cases_validate() -> None:
    cases = [PREFIX + number for number in ("0001", "0329", "0788")]
    assert Pddca().folds(cases) == [{"train": cases[:2], "val": cases[2:]}]
    assert Pddca().folds(cases[:2]) == []


def test_a_pddca_case_of_no_part_is_noted(tmp_path: Path) -> None:
    sources.pddca_case(tmp_path, "0522c9999", ONE)
    (case,) = Pddca().find_cases(tmp_path)
    assert case.split == "train"
    assert case.notes() == ("isn't one of the 48 cases of PDDCA 1.4.1, and was taken for training",)


def test_a_case_without_its_image_is_found_and_says_so(tmp_path: Path) -> None:
    image = sources.pddca_case(tmp_path, "0522c0001", ONE) / "img.nrrd"
    image.unlink()
    (case,) = Pddca().find_cases(tmp_path)
    assert first_error(case) == f"{image} can't be read, it doesn't exist: copy it there again"


def test_a_truncated_nrrd_is_named(tmp_path: Path) -> None:
    image = sources.pddca_case(tmp_path, "0522c0001", ONE) / "img.nrrd"
    image.write_bytes(image.read_bytes()[:-200])
    (case,) = Pddca().find_cases(tmp_path)
    assert (
        first_error(case)
        == f"{image} can't be read, it is cut off: its compressed data ends early: copy it there again"
    )


def test_the_contours_of_either_reader_are_taken(tmp_path: Path) -> None:
    sources.tcia_case(tmp_path, "validation", "oncologist", "TCGA-1", {"Lens-Lt": box(1, 1, 1)})
    sources.tcia_case(tmp_path, "validation", "radiographer", "TCGA-1", {"Lens_Lt": box(2, 1, 1)})
    sources.tcia_case(tmp_path, "test", "oncologist", "0522c0057", {"Lens-Lt": box(1, 1, 1)})
    assert summary(TciaDeepMind().find_cases(tmp_path)) == [
        ("0522c0057", "test", ["Lens-Lt"]),
        ("TCGA-1", "train", ["Lens-Lt"]),
    ]
    (case,) = TciaDeepMind("radiographer").find_cases(tmp_path)
    np.testing.assert_array_equal(array_of(case, "Lens_Lt"), mask(box(2, 1, 1)))


def test_a_clone_without_git_lfs_is_told_what_to_do(tmp_path: Path) -> None:
    folder = sources.tcia_case(tmp_path, "test", "oncologist", "0522c0057", ONE)
    (folder / "CT_IMAGE.nrrd").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    (case,) = TciaDeepMind().find_cases(tmp_path)
    assert first_error(case).endswith("it is a Git LFS pointer, not the file itself: run git lfs pull")


def test_hanseg_names_lie_between_the_case_and_the_ending(tmp_path: Path) -> None:
    sources.hanseg_case(tmp_path, "case_01", {"Eye_AL": box(1, 1, 1), "OpticNrv_R": box(4, 4, 4)})
    (case,) = HanSeg().find_cases(tmp_path)
    assert summary([case]) == [("case_01", "train", ["Eye_AL", "OpticNrv_R"])]
    assert len(case.channels()) == 1
    np.testing.assert_array_equal(array_of(case, "OpticNrv_R"), mask(box(4, 4, 4)))


def test_hanseg_mr_lies_on_the_grid_of_the_ct(tmp_path: Path) -> None:
    """The MR has rows 0, 2, 4, ... of the CT, and only columns 0 to 11: row 1 is the mean of 0 and 2."""
    folder = sources.hanseg_case(tmp_path, "case_01", ONE)
    (case,) = HanSeg(t1=True).find_cases(tmp_path)
    ct, mr = case.channels()
    assert HanSeg(t1=True).channel_names == ("CT", "T1")
    assert ct.file == folder / "case_01_IMG_CT.nrrd"
    assert mr.file is None
    assert mr.image.GetSize() == ct.image.GetSize()
    assert mr.image.GetOrigin() == ct.image.GetOrigin()
    voxels, expected = (sitk.GetArrayFromImage(channel.image).astype(float) for channel in (mr, ct))
    np.testing.assert_allclose(voxels[:, ::2, :12], expected[:, ::2, :12], atol=1e-3)
    np.testing.assert_allclose(voxels[:, 1, :12], (expected[:, 0, :12] + expected[:, 2, :12]) / 2, atol=1e-3)
    np.testing.assert_allclose(voxels[:, :, 13:], expected[:, ::2, :12].min())


def test_a_segment_is_found_among_those_of_several_layers(tmp_path: Path) -> None:
    """3D Slicer puts segments that overlap into layers, and several that don't into one layer with a value each."""
    file = sources.hanseg_case(tmp_path, "case_01", {"Parotid_L": None}) / "case_01_OAR_Parotid_L.seg.nrrd"
    layers = np.zeros((*SHAPE, 2), np.uint8)
    layers[..., 0] = mask(box(1, 1, 1))
    layers[..., 1] = mask(box(2, 2, 2)) + 2 * mask(box(5, 5, 5))
    image = sitk.GetImageFromArray(layers, isVector=True)
    segments = {"Brain": (0, 1), "Lips": (1, 1), "Parotid L": (1, 2)}
    for number, (name, (layer, value)) in enumerate(segments.items()):
        for key, text in (("Name", name), ("Layer", str(layer)), ("LabelValue", str(value))):
            image.SetMetaData(f"Segment{number}_{key}", text)
    sitk.WriteImage(image, str(file))
    (case,) = HanSeg().find_cases(tmp_path)
    np.testing.assert_array_equal(array_of(case, "Parotid_L"), mask(box(5, 5, 5)))

    image.SetMetaData("Segment2_Name", "Segment_3")
    sitk.WriteImage(image, str(file))
    with pytest.raises(ValueError, match="has the segments Brain, Lips, Segment_3, but one must be Parotid_L"):
        array_of(case, "Parotid_L")


@pytest.mark.parametrize(
    ("file_name", "segment", "taken"),
    [
        ("Parotid_L", "Segment_1", True),
        ("Parotid_L", "left parotid", True),
        ("Parotid_L", "Parotid_R", False),
        ("Parotid_L", "right gland", False),
        ("Parotid_L", "Glnd_Submand_L", False),
        ("Eye_AL", "Eye_AR", False),
        ("SpinalCord", "OpticChiasm", False),
    ],
)
def test_a_single_segment_may_have_any_name_but_another_organs(
    tmp_path: Path, file_name: str, segment: str, taken: bool
) -> None:
    file = sources.hanseg_case(tmp_path, "case_01", {file_name: None}) / f"case_01_OAR_{file_name}.seg.nrrd"
    save(file, mask(box(1, 1, 1)), metadata={"Segment0_Name": segment, "Segment0_LabelValue": "1"})
    (case,) = HanSeg().find_cases(tmp_path)
    if taken:
        np.testing.assert_array_equal(array_of(case, file_name), mask(box(1, 1, 1)))
    else:
        with pytest.raises(ValueError, match=f"has the segments {segment}, but one must be {file_name}: rename"):
            array_of(case, file_name)


def test_two_segments_of_one_name_are_refused(tmp_path: Path) -> None:
    file = sources.hanseg_case(tmp_path, "case_01", {"Lips": None}) / "case_01_OAR_Lips.seg.nrrd"
    twice = {f"Segment{n}_{key}": text for n in "01" for key, text in (("Name", "Lips"), ("LabelValue", n))}
    save(file, mask(box(1, 1, 1)), metadata=twice)
    (case,) = HanSeg().find_cases(tmp_path)
    with pytest.raises(ValueError, match="has the segments Lips, Lips, but one must be Lips"):
        array_of(case, "Lips")


@pytest.mark.parametrize("missing", ["Segment0_LabelValue", "Segment0_Layer"])
def test_a_segment_without_its_place_is_named(tmp_path: Path, missing: str) -> None:
    file = sources.hanseg_case(tmp_path, "case_01", {"Lips": None}) / "case_01_OAR_Lips.seg.nrrd"
    image = sitk.GetImageFromArray(np.zeros((*SHAPE, 2), np.uint8), isVector=True)
    for key, text in {"Segment0_Name": "Lips", "Segment0_LabelValue": "1", "Segment0_Layer": "0"}.items():
        if key != missing:
            image.SetMetaData(key, text)
    sitk.WriteImage(image, str(file))
    (case,) = HanSeg().find_cases(tmp_path)
    with pytest.raises(ValueError) as error:  # noqa: PT011
        array_of(case, "Lips")
    assert str(error.value) == f"{file} has no number {missing} in its header: save it again with 3D Slicer"


def test_structseg_label_map_is_taken_apart(tmp_path: Path) -> None:
    boxes = list(sources.apart(list(VALUES)).values())
    sources.structseg_case(tmp_path, 10, boxes)
    sources.structseg_case(tmp_path, 2, boxes)
    first, second = StructSeg().find_cases(tmp_path)
    assert (first.identifier, second.identifier) == ("structseg_02", "structseg_10")
    assert list(first.structure_names()) == list(VALUES)
    # the spinal cord has the value 20, as the docstring of the layout tells from another source
    np.testing.assert_array_equal(array_of(first, "SpinalCord"), mask(boxes[19]))
    assert [structure.name for structure in first.structures(["Lens_R", "Eye_L"])] == ["Lens_R", "Eye_L"]


def test_a_structseg_label_map_of_another_task_is_refused(tmp_path: Path) -> None:
    boxes = list(sources.apart([str(n) for n in range(23)]).values())
    folder = sources.structseg_case(tmp_path, 1, boxes)
    (case,) = StructSeg().find_cases(tmp_path)
    with pytest.raises(ValueError, match=r"label\.nii\.gz holds the values 23, but labels are 0 to 22: replace it"):
        array_of(case, "Eye_L")
    shutil.rmtree(folder)
    assert StructSeg().find_cases(tmp_path) == []


def test_segrap_images_are_no_structures(tmp_path: Path) -> None:
    sources.segrap_case(tmp_path / "SegRap2023_Training_Set_120cases", "segrap_0000", ONE | {"GTVp": box(5, 5, 5)})
    sources.segrap_case(tmp_path / "SegRap2023_Validation_Set_20cases", "segrap_0120", {})
    (tmp_path / "SegRap2023_Validation_Set_20cases" / "segrap_0121").mkdir()
    (tmp_path / "SegRap2023_Validation_Set_20cases" / "segrap_0121" / "._image.nii.gz").write_bytes(b"junk")
    cases = SegRap().find_cases(tmp_path)
    assert summary(cases) == [("segrap_0000", "train", ["GTVp", "Parotid_L"]), ("segrap_0120", "test", [])]
    assert [len(case.channels()) for case in cases] == [1, 1]


def test_segrap_contrast_is_a_second_ct(tmp_path: Path) -> None:
    sources.segrap_case(tmp_path, "segrap_0000", ONE)
    layout = SegRap(contrast=True)
    (case,) = layout.find_cases(tmp_path)
    plain, contrast = (sitk.GetArrayFromImage(channel.image) for channel in case.channels())
    np.testing.assert_array_equal(contrast, 2 * plain)
    assert layout.channel_names == ("CT", "CT")


def test_a_second_channel_whose_header_is_rounded_otherwise_gets_that_of_the_first(tmp_path: Path) -> None:
    """nnU-Net refuses channels that differ in a digit; 0.001 mm of a slice moves none of its voxels by a tenth."""
    folder = sources.segrap_case(tmp_path, "segrap_0000", ONE)
    contrast = sitk.ReadImage(str(folder / "image_contrast.nii.gz"))
    contrast.SetSpacing((*contrast.GetSpacing()[:2], contrast.GetSpacing()[2] + 0.001))
    sitk.WriteImage(contrast, str(folder / "image_contrast.nii.gz"))
    (case,) = SegRap(contrast=True).find_cases(tmp_path)
    first, second = case.channels()
    assert second.file is None
    assert second.image.GetSpacing() == first.image.GetSpacing()
    np.testing.assert_array_equal(sitk.GetArrayFromImage(second.image), sitk.GetArrayFromImage(contrast))


def test_an_image_of_four_axes_is_refused(tmp_path: Path) -> None:
    folder = sources.segrap_case(tmp_path, "segrap_0000", ONE)
    four = sitk.JoinSeries([sitk.GetImageFromArray(mask(None))] * 2)
    sitk.WriteImage(four, str(folder / "image.nii.gz"))
    (case,) = SegRap().find_cases(tmp_path)
    assert "has 4 axes and 1 numbers per voxel" in first_error(case)


def test_a_nrrd_keeps_what_its_header_says_beside_geometry(tmp_path: Path) -> None:
    """The premise of the converter's privacy: SimpleITK hands on header entries, so somebody has to remove them."""
    file = save(tmp_path / "a.nrrd", mask(None), metadata={"PatientName": "Doe"})
    assert sitk.ReadImage(str(file)).GetMetaData("PatientName") == "Doe"
