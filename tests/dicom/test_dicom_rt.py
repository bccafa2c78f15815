"""CT series with structure sets as cases to convert, with the mess that clinics export."""

import pickle
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from dicom_files import NUMBER, CTFiles, ct_image, points, square, write_ct, write_structure_set
from pydicom import Dataset, dcmread
from pydicom.uid import MRImageStorage
from source_folders import forbid

from nnunetv2_focusnet.convert.layouts.base import SourceCase
from nnunetv2_focusnet.convert.layouts.dicom_rt import DicomRT
from nnunetv2_focusnet.convert.selection import select

CLOSED = "CLOSED_PLANAR"


def one_case(folder: Path) -> SourceCase:
    (case,) = DicomRT().find_cases(folder)
    return pickle.loads(pickle.dumps(case))  # as it goes to a worker


def masks(case: SourceCase) -> dict[str, np.ndarray]:
    names = case.structure_names()
    return {item.name: sitk.GetArrayFromImage(item.mask) for item in case.structures(names)}


def masks_or_none(case: SourceCase) -> dict[str, np.ndarray] | None:
    try:
        return masks(case)
    except ValueError:
        return None


def problem(case: SourceCase) -> str:
    with pytest.raises(ValueError) as error:  # noqa: PT011, PT012 - the tests look at the message
        case.channels()
        masks(case)
    assert "\n" not in str(error.value)
    return str(error.value)


def box(ct: CTFiles, z: int = 2) -> tuple[str, list[float]]:
    """Voxels 3 to 6 along x and 4 to 8 along y of one slice."""
    return CLOSED, square(ct, z, (2.5, 3.5), (6.5, 8.5))


def refer(file: Path, instances: Sequence[str], drawn_on: Sequence[str]) -> None:
    """Let a structure set refer to images, and each contour of its first structure to one."""

    def images(*instances: str) -> list[Dataset]:
        references = [Dataset() for _ in instances]
        for reference, instance in zip(references, instances, strict=True):
            reference.ReferencedSOPInstanceUID = instance
        return references

    content = dcmread(file)
    study = content.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0]
    study.RTReferencedSeriesSequence[0].ContourImageSequence = images(*instances)
    for contour, instance in zip(content.ROIContourSequence[0].ContourSequence, drawn_on, strict=True):
        contour.ContourImageSequence = images(instance)
    content.save_as(file)


@pytest.mark.parametrize(
    "direction", [(1, 0, 0, 0, 1, 0, 0, 0, 1), (1, 0, 0, 0, 1, 0, 0, 0, -1), (0, 1, 0, 1, 0, 0, 0, 0, 1)]
)
def test_voxels_inside_of_the_contours(tmp_path: Path, direction) -> None:
    ct = write_ct(tmp_path / "CT", ct_image(direction=direction))
    write_structure_set(tmp_path / "RT" / "RS.dcm", ct, [("Lens_L", [box(ct, 2), box(ct, 3)])])
    case = one_case(tmp_path)
    (structure,) = case.structures(["Lens_L"])
    (channel,) = case.channels()
    assert channel.file is None
    assert structure.mask.GetOrigin() == channel.image.GetOrigin()
    assert structure.mask.GetDirection() == channel.image.GetDirection()
    expected = np.zeros((6, 16, 20))
    expected[2:4, 4:9, 3:7] = 1
    reference = sitk.GetImageFromArray(expected.astype(np.uint8))
    reference.CopyInformation(ct.image)
    on_case = sitk.Resample(reference, structure.mask, sitk.Transform(), sitk.sitkNearestNeighbor)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(structure.mask), sitk.GetArrayFromImage(on_case))


def test_holes_islands_and_border(tmp_path: Path) -> None:
    ct = write_ct(tmp_path, ct_image())
    hole = (CLOSED, square(ct, 2, (3.5, 4.5), (5.5, 6.5)))
    island = (CLOSED, square(ct, 2, (9.5, 9.5), (11.5, 30.0)))
    write_structure_set(tmp_path / "RS.dcm", ct, [("Skin", [box(ct), hole, island])])
    mask = masks(one_case(tmp_path))["Skin"]
    assert mask[2].sum() == 4 * 5 - 2 * 2 + 2 * 6
    assert mask.sum() == mask[2].sum()


def test_what_counts_as_annotated(tmp_path: Path) -> None:
    ct = write_ct(tmp_path, ct_image())
    point = ("POINT", points(ct, [(5, 5, 2)]))
    beyond = (CLOSED, square(ct, 9, (2.5, 3.5), (6.5, 8.5)))
    rois = [
        ("Mandible", [box(ct), point, beyond]),
        ("Empty", []),
        ("Isocentre", [point]),
        ("Elsewhere", [beyond]),
        ("Click", [(CLOSED, points(ct, [(5, 5, 2)]))]),
    ]
    write_structure_set(tmp_path / "RS.dcm", ct, rois)
    case = one_case(tmp_path)
    assert list(case.structure_names()) == ["Mandible", "Click"]
    assert {name: mask.sum() for name, mask in masks(case).items()} == {"Mandible": 4 * 5, "Click": 1}
    assert list(case.notes()) == [
        "Mandible: 1 contours of the kind POINT were left out",
        "Mandible: contours beyond the ends of the CT were left out (1)",
        "Empty has no closed contour on the CT and counts as not annotated",
        "Isocentre: 1 contours of the kind POINT were left out",
        "Isocentre has no closed contour on the CT and counts as not annotated",
        "Elsewhere: contours beyond the ends of the CT were left out (1)",
        "Elsewhere has no closed contour on the CT and counts as not annotated",
        "Click: contours of one or two points were drawn as the voxels on them (1)",
    ]


def test_slices_without_contours_between_others_have_no_voxels_and_are_noted(tmp_path: Path) -> None:
    ct = write_ct(tmp_path, ct_image())
    drawn = {"Lens_L": (1, 3, 4), "Lens_R": (2, 3), "Cord": (0, 5)}
    rois = [(name, [box(ct, z) for z in slices]) for name, slices in drawn.items()]
    write_structure_set(tmp_path / "RS.dcm", ct, rois)
    case = one_case(tmp_path)
    found = {name: tuple(np.flatnonzero(mask.any(axis=(1, 2)))) for name, mask in masks(case).items()}
    assert found == drawn
    assert list(case.notes()) == [
        "Lens_L: no contours in slices between its first and its last (1)",
        "Cord: no contours in slices between its first and its last (4)",
    ]


def test_series_and_structure_sets_of_one_tree_find_each_other(tmp_path: Path) -> None:
    uids = {"b": "1.2.3.20", "a": "1.2.3.10", "c": "1.2.3.30"}
    cts = {name: write_ct(tmp_path / name, ct_image(), uid=uid) for name, uid in uids.items()}
    for number, (name, ct) in enumerate(cts.items()):
        by_frame_only = {"series": []} if name == "c" else {}
        write_structure_set(tmp_path / "sets" / f"RS{number}.dcm", ct, [(f"Organ_{name}", [box(ct)])], **by_frame_only)
    cases = DicomRT().find_cases(tmp_path)
    assert [(case.identifier, case.structure_names()) for case in cases] == [
        ("CT_001", ["Organ_a"]),
        ("CT_002", ["Organ_b"]),
        ("CT_003", ["Organ_c"]),
    ]
    assert DicomRT().json_files(cases[1:]) == {"dicom_series.json": {"CT_002": "1.2.3.20", "CT_003": "1.2.3.30"}}


def test_a_series_without_structure_set_is_noted_by_its_uid(tmp_path: Path) -> None:
    ct = write_ct(tmp_path / "CT", ct_image())
    write_ct(tmp_path / "Zebrafink", ct_image(size=(20, 16, 2)), uid="1.2.3.4")
    assert DicomRT().find_cases(tmp_path) == []
    write_structure_set(tmp_path / "RS.dcm", ct, [("Lens_L", [box(ct)])])
    cases = DicomRT().find_cases(tmp_path)
    selection = select(DicomRT(), pickle.loads(pickle.dumps(cases)), [])
    assert [each.case.identifier for each in selection.cases] == ["CT_001"]
    assert selection.left_out == {}
    assert selection.notes == ["the CT series 1.2.3.4 has no structure set and was passed over"]


def test_one_bad_series_leaves_the_others_alone(tmp_path: Path) -> None:
    good, bad = (write_ct(tmp_path / name, ct_image(), uid=f"1.2.{n}") for n, name in enumerate(("good", "bad")))
    for ct, name in ((good, "good"), (bad, "bad")):
        write_structure_set(tmp_path / f"{name}.dcm", ct, [("Lens_L", [box(ct)])])
    bad.files[3].unlink()
    first, second = DicomRT().find_cases(tmp_path)
    assert masks(first)["Lens_L"].any()
    assert problem(second).startswith("a slice is missing between bad/IM_0017.dcm and bad/IM_0031.dcm")


def test_two_structure_sets_for_one_series(tmp_path: Path) -> None:
    ct = write_ct(tmp_path, ct_image())
    for name in ("old.dcm", "new.dcm"):
        write_structure_set(tmp_path / name, ct, [("Lens_L", [box(ct)])])
    assert problem(one_case(tmp_path)) == (
        "the series of IM_0003.dcm has 2 structure sets, new.dcm and old.dcm: keep one in this folder"
    )


def test_structure_sets_without_their_series(tmp_path: Path) -> None:
    ct = write_ct(tmp_path / "CT", ct_image())
    write_structure_set(tmp_path / "lost.dcm", ct, [], series=["1.2.3"], frame="1.2.4")
    write_structure_set(tmp_path / "moved.dcm", ct, [], frame="1.2.4")
    lost, moved, _ = DicomRT().find_cases(tmp_path)
    assert problem(lost) == "lost.dcm belongs to no CT series of this folder: put its series there"
    assert problem(moved) == (
        "moved.dcm names the series of CT/IM_0003.dcm, but was drawn in another frame of reference: 1.2.4, where the "
        f"series has {ct.frame}; export both again"
    )
    write_structure_set(tmp_path / "moved.dcm", ct, [], frame="1.2.4", series=[])
    assert problem(DicomRT().find_cases(tmp_path)[1]).startswith(
        "moved.dcm belongs to no CT series of this folder: it names none, and none has its frame of reference (1.2.4): "
    )


def test_frames_of_reference_without_a_uid_have_nothing_in_common(tmp_path: Path) -> None:
    """As some anonymisers leave them."""
    ct = write_ct(tmp_path / "CT", ct_image())
    for z in range(len(ct.files)):
        ct.change(z, FrameOfReferenceUID="")
    file = write_structure_set(tmp_path / "RS.dcm", ct, [("Lens_L", [box(ct)])], series=["1.2.3"])
    content = dcmread(file)
    content.ReferencedFrameOfReferenceSequence[0].FrameOfReferenceUID = ""
    content.save_as(file)
    lost, _ = DicomRT().find_cases(tmp_path)
    assert problem(lost) == "RS.dcm belongs to no CT series of this folder: put its series there"


def test_if_no_case_can_be_read_the_reason_is_named(tmp_path: Path) -> None:
    ct = write_ct(tmp_path, ct_image())
    write_structure_set(tmp_path / "RS.dcm", ct, [("Lens_L", [box(ct)])], frame="1.2.4")
    for wanted in ([], ["Lens_L"]):
        with pytest.raises(ValueError, match=r"^no case can be converted: RS.dcm names .* frame of reference: 1.2.4"):
            select(DicomRT(), DicomRT().find_cases(tmp_path), wanted)


def test_a_backslash_in_a_name_stays(tmp_path: Path) -> None:
    ct = write_ct(tmp_path, ct_image())
    write_structure_set(tmp_path / "RS.dcm", ct, [("GTV\\boost", [box(ct)])])
    assert list(one_case(tmp_path).structure_names()) == ["GTV\\boost"]


def test_two_series_for_a_structure_set_that_names_none(tmp_path: Path) -> None:
    thin, thick = (
        write_ct(tmp_path / name, ct_image(), frame="1.2.4", uid=uid) for name, uid in (("a", "1.1"), ("b", "1.2"))
    )
    write_structure_set(tmp_path / "RS.dcm", thin, [("Lens_L", [box(thin)])], series=[])
    case, *_ = DicomRT().find_cases(tmp_path)
    assert problem(case).startswith("RS.dcm belongs to 2 CT series, the series of a/IM_0003.dcm and the series of b/IM")
    assert thick.frame == thin.frame


def test_structures_of_one_name(tmp_path: Path) -> None:
    ct = write_ct(tmp_path, ct_image())
    write_structure_set(tmp_path / "RS.dcm", ct, [("Lens_L", [box(ct)]), ("Lens_L", [box(ct)]), ("Lens_R", [box(ct)])])
    case = one_case(tmp_path)
    assert problem(case) == "RS.dcm has 2 structures named Lens_L: rename all but one"
    assert [item.name for item in case.structures(["Lens_R"])] == ["Lens_R"]


@pytest.mark.parametrize(
    "contour",
    [[(2.5, 3.5, 1.6), (6.5, 3.5, 1.6), (6.5, 8.5, 1.6)], [(2.5, 3.5, 1), (6.5, 3.5, 2), (6.5, 8.5, 3)]],
    ids=["between slices", "across slices"],
)
def test_contours_that_were_not_drawn_on_the_slices(tmp_path: Path, contour) -> None:
    ct = write_ct(tmp_path, ct_image())
    write_structure_set(tmp_path / "RS.dcm", ct, [("Lens_L", [(CLOSED, points(ct, contour))])])
    assert problem(one_case(tmp_path)).startswith("RS.dcm: contours of Lens_L don't lie on slices of its CT series")


def test_a_structure_off_the_slices_that_is_not_asked_for(tmp_path: Path) -> None:
    ct = write_ct(tmp_path, ct_image())
    couch = ("Couch", [(CLOSED, square(ct, 2, (0, 0), (5, 5))), (CLOSED, square(ct, 2.4, (0, 0), (5, 5)))])
    write_structure_set(tmp_path / "RS.dcm", ct, [couch, ("Lens_L", [box(ct)])])
    case = one_case(tmp_path)
    assert list(case.structure_names()) == ["Couch", "Lens_L"]
    (lens,) = case.structures(["Lens_L"])
    assert sitk.GetArrayFromImage(lens.mask).sum() == 4 * 5
    assert problem(case).startswith("RS.dcm: contours of Couch don't lie on slices of its CT series")


def test_contours_between_the_voxels_leave_the_other_structures(tmp_path: Path) -> None:
    ct = write_ct(tmp_path, ct_image())
    tiny = ("Lens_L", [(CLOSED, square(ct, 2, (3.2, 3.2), (3.8, 3.8)))])
    write_structure_set(tmp_path / "RS.dcm", ct, [tiny, ("Lens_R", [box(ct)])])
    case = one_case(tmp_path)
    assert list(case.structure_names()) == ["Lens_R"]
    assert [item.name for item in case.structures(["Lens_L", "Lens_R"])] == ["Lens_R"]
    assert list(case.notes()) == ["Lens_L has contours around no voxel's centre and counts as not annotated"]


def test_a_structure_set_cut_off_anywhere(tmp_path: Path) -> None:
    ct = write_ct(tmp_path, ct_image(size=(10, 12, 3)))
    file = write_structure_set(tmp_path / "RS.dcm", ct, [("Lens_L", [box(ct, 1), box(ct, 2)])])
    with_explicit_lengths = dcmread(file)
    without_lengths = dcmread(file)
    for item in without_lengths.ROIContourSequence:
        item.is_undefined_length_sequence_item = True
        item["ContourSequence"].is_undefined_length = True
    without_lengths["ROIContourSequence"].is_undefined_length = True
    for content in (with_explicit_lengths, without_lengths):
        content.save_as(file)
        whole = file.read_bytes()
        for end in [*range(0, len(whole), 53), *range(len(whole) - 12, len(whole))]:
            file.write_bytes(whole[:end])
            texts = [problem(case) for case in DicomRT().find_cases(tmp_path)]
            assert any(text.startswith("RS.dcm ") for text in texts), end


def test_contours_that_the_numbers_do_not_tell_apart(tmp_path: Path) -> None:
    ct = write_ct(tmp_path, ct_image())
    rois = [("Lens_L", [box(ct, 1)]), ("Lens_R", [box(ct, 2)])]

    def problem_after(change: Callable[[Dataset], None]) -> str:
        file = write_structure_set(tmp_path / "RS.dcm", ct, rois)
        content = dcmread(file)
        change(content)
        content.save_as(file)
        return problem(one_case(tmp_path))

    def one_number(content: Dataset) -> None:
        content.StructureSetROISequence[1].ROINumber = content.ROIContourSequence[1].ReferencedROINumber = 1

    def two_items(content: Dataset) -> None:
        content.ROIContourSequence[1].ReferencedROINumber = 1

    def no_structure(content: Dataset) -> None:
        content.ROIContourSequence[1].ReferencedROINumber = 7

    def no_contours(content: Dataset) -> None:
        del content.ROIContourSequence

    assert problem_after(one_number).startswith("RS.dcm has 2 structures of number 1, 'Lens_L' and 'Lens_R'")
    assert problem_after(two_items).startswith("RS.dcm has contours of the structure with number 1 in 2 places")
    assert problem_after(no_structure).startswith("RS.dcm has contours of number 7, but no structure of that number")
    assert problem_after(no_contours).startswith("RS.dcm has structures, but no contours (ROIContourSequence)")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"ContourData": [1, 2, 3, 4]}, "has 4 coordinates, which make no points"),
        ({"ContourData": [1, 2, "nan"] * 4}, "has coordinates that are no numbers"),
        ({"ContourData": None}, "has 0 coordinates, which make no points"),
        ({"NumberOfContourPoints": 5}, "has 4 points, but says 5"),
        ({"ContourGeometricType": "CLOSED"}, "is of the kind 'CLOSED', which DICOM doesn't know"),
        ({"ContourGeometricType": ""}, "is of the kind ''"),
    ],
)
def test_a_broken_contour_is_the_problem_of_its_structure_alone(tmp_path: Path, change: dict, text: str) -> None:
    ct = write_ct(tmp_path, ct_image())
    file = write_structure_set(tmp_path / "RS.dcm", ct, [("Lens_L", [box(ct, 1), box(ct)]), ("Lens_R", [box(ct)])])
    content = dcmread(file)
    for keyword, value in change.items():
        setattr(content.ROIContourSequence[0].ContourSequence[1], keyword, value)
    content.save_as(file)
    case = one_case(tmp_path)
    assert [item.name for item in case.structures(["Lens_R"])] == ["Lens_R"]
    assert list(case.structure_names()) == ["Lens_L", "Lens_R"]
    assert problem(case).startswith(f"RS.dcm: a contour of Lens_L {text}")


def test_structures_in_another_frame_of_reference(tmp_path: Path) -> None:
    ct = write_ct(tmp_path, ct_image())
    file = write_structure_set(tmp_path / "RS.dcm", ct, [("Lens_L", [box(ct)]), ("Lens_R", [box(ct)])])
    content = dcmread(file)
    content.StructureSetROISequence[0].ReferencedFrameOfReferenceUID = "1.2.9"
    content.save_as(file)
    case = one_case(tmp_path)
    assert list(case.structure_names()) == ["Lens_R"]
    assert case.notes()[0] == "Lens_L: drawn in another frame of reference than the CT (1.2.9)"
    content.StructureSetROISequence[1].ReferencedFrameOfReferenceUID = "1.2.9"
    content.save_as(file)
    assert problem(one_case(tmp_path)) == (
        f"RS.dcm was drawn in the frame of reference 1.2.9, but the series of IM_0003.dcm has {ct.frame}: "
        "export both again, from one registration"
    )


def test_overlapping_parts_and_contours_that_exclude(tmp_path: Path) -> None:
    """Boxes of 4 x 5 voxels that share 2 x 5."""
    ct = write_ct(tmp_path, ct_image())
    data = [square(ct, 2, (2.5, 3.5), (6.5, 8.5)), square(ct, 2, (4.5, 3.5), (8.5, 8.5))]
    rois = [(kind, [(kind, each) for each in data]) for kind in (CLOSED, "CLOSEDPLANAR_XOR", "INTERPOLATED_PLANAR")]
    write_structure_set(tmp_path / "RS.dcm", ct, rois)
    case = one_case(tmp_path)
    assert {name: mask.sum() for name, mask in masks(case).items()} == {
        CLOSED: 30,
        "CLOSEDPLANAR_XOR": 20,
        "INTERPOLATED_PLANAR": 30,
    }
    assert list(case.notes()) == [
        f"{kind}: contours that overlap in part were joined (1 pairs)" for kind in (CLOSED, "INTERPOLATED_PLANAR")
    ]


def test_a_structure_set_that_refers_to_slices_that_are_not_there(tmp_path: Path) -> None:
    """Lost end slices leave no gap."""
    ct = write_ct(tmp_path, ct_image())
    file = write_structure_set(tmp_path / "RS.dcm", ct, [("Lens_L", [box(ct, 1), box(ct)])])
    refer(file, ct.instances, [ct.instances[1], ct.instances[4]])
    ct.files[0].unlink()
    assert list(one_case(tmp_path).notes()) == [
        "the structure set refers to 1 slices that aren't there",
        "Lens_L: contours refer to other images than the slices that they lie on (1)",
    ]


OTHERS = [f"1.2.3.{n}" for n in range(3)]  # images of a series that isn't there


@pytest.mark.parametrize(
    ("cord", "lens", "references", "refused"),
    [
        ((0, 2, 4), (2,), "others", True),
        ((0, 3), (2,), "none", True),
        ((0, 2, 4), (2,), "own", False),
        ((0, 1, 4), (2,), "others", False),
        ((0, 2, 4), (2, 3), "others", False),  # drawn on slices of this thickness, and the cord on every second one
        ((2,), (2,), "others", False),
    ],
)
def test_contours_of_thicker_slices_that_are_not_there_are_no_stripes_on_thinner_ones(
    tmp_path: Path, cord: tuple[int, ...], lens: tuple[int, ...], references: str, refused: bool
) -> None:
    ct = write_ct(tmp_path, ct_image())
    rois = [("Cord", [box(ct, z) for z in cord]), ("Lens_L", [box(ct, z) for z in lens])]
    file = write_structure_set(tmp_path / "RS.dcm", ct, rois, series=["1.2.3"])
    if references != "none":
        refer(file, [], OTHERS[: len(cord)] if references == "others" else [ct.instances[z] for z in cord])
    case = one_case(tmp_path)
    if refused:
        message = (
            "RS.dcm: contours lie on no two slices in a row of its CT series, which it doesn't name: "
            "add the series that they were drawn on"
        )
        assert problem(case) == message
        with pytest.raises(ValueError, match=re.escape(message)):  # a lens of one slice would lack its other half
            list(case.structures(["Lens_L"]))
    else:
        slices = {name: tuple(np.flatnonzero(mask.any(axis=(1, 2)))) for name, mask in masks(case).items()}
        assert slices == {"Cord": cord, "Lens_L": lens}


def test_images_of_a_series_that_is_not_there_are_counted(tmp_path: Path) -> None:
    ct = write_ct(tmp_path, ct_image())
    file = write_structure_set(tmp_path / "RS.dcm", ct, [("Lens_L", [box(ct)])], series=["1.2.3"])
    refer(file, OTHERS, OTHERS[:1])
    assert list(one_case(tmp_path).notes()) == [
        "the structure set refers to 3 slices that aren't there",
        "Lens_L: contours refer to other images than the slices that they lie on (1)",
    ]


@pytest.mark.parametrize("number", ["PID-OTHER", "", NUMBER])
def test_a_structure_set_in_the_frame_of_another_patients_series(tmp_path: Path, number: str) -> None:
    ct = write_ct(tmp_path / "CT", ct_image())
    file = write_structure_set(tmp_path / "RS.dcm", ct, [("Lens_L", [box(ct)])], series=["1.2.3"])
    content = dcmread(file)
    content.PatientID = number
    content.save_as(file)
    first, *_ = DicomRT().find_cases(tmp_path)
    if number == "PID-OTHER":
        assert problem(first) == (
            "RS.dcm doesn't name the series of CT/IM_0003.dcm, which is in its frame of reference, but of another "
            "patient (PatientID): put its own series there"
        )
    else:
        assert masks(first)["Lens_L"].sum() == 4 * 5


def test_another_patients_number_beside_the_name_of_the_series_is_noted(tmp_path: Path) -> None:
    """As anonymisers leave it that number files of each kind on their own."""
    ct = write_ct(tmp_path, ct_image())
    file = write_structure_set(tmp_path / "RS.dcm", ct, [("Lens_L", [box(ct)])])
    content = dcmread(file)
    content.PatientID = "PID-OTHER"
    content.save_as(file)
    case = one_case(tmp_path)
    assert masks(case)["Lens_L"].sum() == 4 * 5
    assert list(case.notes()) == ["the structure set names this CT, but another patient (PatientID)"]
    assert NUMBER not in repr(case)
    assert "PID-OTHER" not in repr(case)


def test_contours_drawn_twice_far_apart_are_noted_with_their_slices(tmp_path: Path) -> None:
    """A copy that is smaller by 0.3 voxels is a hole."""
    ct = write_ct(tmp_path, ct_image())
    outer, copy = (((1.5, 1.5), (13.5, 13.5)), ((1.8, 1.8), (13.2, 13.2)))
    rois = [
        ("Brain", [(CLOSED, square(ct, z, *ends)) for z in range(6) for ends in (outer, copy)]),
        ("Cord", [(CLOSED, square(ct, z, *outer)) for z in range(3)] + [(CLOSED, square(ct, 1, *copy))]),
    ]
    write_structure_set(tmp_path / "RS.dcm", ct, rois)
    text = "contours within others cover more than half of their area, as contours drawn twice do"
    assert list(one_case(tmp_path).notes()) == [
        f"Brain: {text} (6 slices: IM_0003.dcm, IM_0010.dcm, IM_0017.dcm, IM_0024.dcm, IM_0031.dcm, ...)",
        "Brain has contours around no voxel's centre and counts as not annotated",
        f"Cord: {text} (1 slices: IM_0010.dcm)",
    ]


def test_a_structure_set_of_another_modality(tmp_path: Path) -> None:
    write_ct(tmp_path / "CT", ct_image())
    mr = write_ct(tmp_path / "MR", ct_image(), uid="1.2.5")
    for z in range(6):
        mr.change(z, SOPClassUID=MRImageStorage)
    write_structure_set(tmp_path / "RS.dcm", mr, [("Lens_L", [box(mr)])])
    assert problem(DicomRT().find_cases(tmp_path)[0]) == (
        "RS.dcm belongs to no CT series of this folder, but to MR Image Storage: put its series there"
    )


def test_a_folder_that_can_not_be_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may hold further slices of the series beside it, not of the other patient's."""
    for name in ("a", "b"):
        ct = write_ct(tmp_path / name, ct_image())
        write_structure_set(tmp_path / name / "RS.dcm", ct, [("Lens_L", [box(ct)])])
    (tmp_path / "b" / "more").mkdir()
    forbid(monkeypatch, tmp_path / "b" / "more")
    texts = {case.identifier: problem(case) for case in DicomRT().find_cases(tmp_path) if not masks_or_none(case)}
    assert list(texts.values()) == ["b/more can't be listed (Permission denied): change its permissions"]
