"""nnUNetv2_focusnet_export on predictions as nnU-Net writes them."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import highdicom
import numpy as np
import pytest
import SimpleITK as sitk
from commands_apart import largest_file
from dicom_files import BIRTH_DATE, NAME, NUMBER, CTFiles, ct_image, write_ct
from matplotlib.path import Path as Polygon
from pydicom import Dataset, dcmread
from pydicom.uid import CTImageStorage

from nnunetv2_focusnet.cli import export

LABELS = {"background": 0, "Mandible": 1, "Lens_L": 2, "Lens_R": 3, "Tumour": 4}
DCIODVFY = shutil.which("dciodvfy")  # David Clunie's check of files against the standard
DIRECTIONS = {
    "upright": (1, 0, 0, 0, 1, 0, 0, 0, 1),
    "from head to feet": (1, 0, 0, 0, 1, 0, 0, 0, -1),
    "feet first": (-1, 0, 0, 0, 1, 0, 0, 0, -1),
    "oblique": (0.96, -0.28, 0, 0.28, 0.96, 0, 0, 0, 1),
}
Run = Callable[..., None]


def labels() -> np.ndarray:
    """A ring with an island in it, at the border; two components; a single voxel."""
    array = np.zeros((6, 16, 20), np.uint8)
    array[0:4, 0:9, 0:9] = 1
    array[1:3, 2:7, 2:7] = 0
    array[2, 4, 4] = 1
    array[3, 11:13, 2:5] = 2
    array[3, 11:14, 10:12] = 2
    array[5, 15, 19] = 3
    return array


def write_prediction(path: Path, ct: CTFiles, array: np.ndarray | None = None) -> sitk.Image:
    image = sitk.GetImageFromArray(labels() if array is None else array)
    image.CopyInformation(ct.image)
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path))
    (path.parent / "dataset.json").write_text(json.dumps({"labels": LABELS, "file_ending": ".nii.gz"}))
    return image


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command in this process, on the folders pred and dicom, into out."""

    def run_command(*options: str, pred: str = "pred", kind: str = "rtstruct") -> None:
        arguments = [str(tmp_path / pred), "-o", str(tmp_path / "out"), "--dicom", str(tmp_path / "dicom")]
        monkeypatch.setattr("sys.argv", ["nnUNetv2_focusnet_export", *arguments, "--format", kind, *options])
        export.main()

    return run_command


def failure(run: Run, *options: str, **arguments: str) -> list[str]:
    with pytest.raises(SystemExit) as error:
        run(*options, **arguments)
    return str(error.value.code).splitlines()


def contoured(structure_set: Dataset, image: sitk.Image) -> dict[str, np.ndarray]:
    """Masks on the grid of an image: matplotlib's point-in-polygon test at the voxels' centres."""
    names = {roi.ROINumber: roi.ROIName for roi in structure_set.StructureSetROISequence}
    shape = image.GetSize()[::-1]
    y, x = np.mgrid[: shape[1], : shape[2]]
    centres = np.column_stack([x.ravel(), y.ravel()])
    masks = {}
    for item in structure_set.ROIContourSequence:
        mask = masks.setdefault(names[item.ReferencedROINumber], np.zeros(shape, bool))
        for contour in item.ContourSequence:
            assert contour.ContourGeometricType == "CLOSED_PLANAR"
            points = np.reshape(contour.ContourData, (-1, 3)).astype(float)
            assert contour.NumberOfContourPoints == len(points)
            indices = np.array([image.TransformPhysicalPointToContinuousIndex(point) for point in points.tolist()])
            (z,) = set(indices[:, 2].round(2))
            polygon = Polygon(np.vstack([indices[:, :2], indices[:1, :2]]))
            mask[int(z)] ^= polygon.contains_points(centres).reshape(shape[1:])
    return masks


@pytest.mark.parametrize("direction", DIRECTIONS.values(), ids=DIRECTIONS)
def test_contours_fill_the_predicted_voxels(run: Run, tmp_path: Path, direction) -> None:
    ct = write_ct(tmp_path / "dicom", ct_image(direction=direction))
    prediction = write_prediction(tmp_path / "pred" / "head.nii.gz", ct)
    run()
    masks = contoured(dcmread(tmp_path / "out" / "head_rtstruct.dcm"), prediction)
    assert list(masks) == ["Mandible", "Lens_L", "Lens_R"]
    for label, mask in enumerate(masks.values(), start=1):
        np.testing.assert_array_equal(mask, labels() == label)


@pytest.mark.parametrize("kind", ["rtstruct", "seg"])
def test_a_prediction_with_turned_axes_is_turned_back(run: Run, tmp_path: Path, kind: str) -> None:
    ct = write_ct(tmp_path / "dicom", ct_image())
    prediction = write_prediction(tmp_path / "pred" / "head.nii.gz", ct)
    turned = sitk.PermuteAxes(sitk.Flip(prediction, [True, False, True]), [2, 0, 1])
    sitk.WriteImage(turned, str(tmp_path / "pred" / "head.nii.gz"))
    run(kind=kind)
    content = dcmread(tmp_path / "out" / f"head_{kind}.dcm")
    if kind == "rtstruct":
        np.testing.assert_array_equal(contoured(content, prediction)["Lens_L"], labels() == 2)
    else:
        assert (segmented(content, ct) == labels()).all()


def segmented(segmentation: Dataset, ct: CTFiles) -> np.ndarray:
    """The label map, slices in the order of the image."""
    read = highdicom.seg.Segmentation.from_dataset(segmentation)
    return read.get_pixels_by_source_instance(ct.instances, combine_segments=True)


@pytest.mark.parametrize("direction", DIRECTIONS.values(), ids=DIRECTIONS)
def test_segments_are_the_predicted_voxels(run: Run, tmp_path: Path, direction) -> None:
    ct = write_ct(tmp_path / "dicom", ct_image(direction=direction))
    write_prediction(tmp_path / "pred" / "head.nii.gz", ct)
    run(kind="seg")
    content = dcmread(tmp_path / "out" / "head_seg.dcm")
    np.testing.assert_array_equal(segmented(content, ct), labels())
    assert [segment.SegmentLabel for segment in content.SegmentSequence] == ["Mandible", "Lens_L", "Lens_R"]
    kinds = [segment.SegmentedPropertyTypeCodeSequence[0] for segment in content.SegmentSequence]
    assert [kind.CodeValue for kind in kinds] == ["91609006", "78076003", "78076003"]  # SNOMED CT: mandible, lens
    sides = [item.SegmentedPropertyTypeModifierCodeSequence[0].CodeMeaning for item in kinds[1:]]
    assert sides == ["Left", "Right"]
    assert "SegmentedPropertyTypeModifierCodeSequence" not in kinds[0]


@pytest.mark.parametrize("kind", ["rtstruct", "seg"])
def test_a_ct_without_patient_and_study_data_will_do(run: Run, tmp_path: Path, kind: str) -> None:
    ct = write_ct(tmp_path / "dicom", ct_image())
    anonymous = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID")
    for file in ct.files:
        content = dcmread(file)
        for keyword in (*anonymous, "AccessionNumber", "ReferringPhysicianName", "SliceThickness"):
            delattr(content, keyword)
        content.save_as(file)
    prediction = write_prediction(tmp_path / "pred" / "head.nii.gz", ct)
    run(kind=kind)
    content = dcmread(tmp_path / "out" / f"head_{kind}.dcm")
    assert not any(content[keyword].value for keyword in anonymous)
    found = contoured(content, prediction)["Lens_L"] if kind == "rtstruct" else segmented(content, ct) == 2
    np.testing.assert_array_equal(found, labels() == 2)


@pytest.mark.parametrize("kind", ["rtstruct", "seg"])
def test_the_ct_and_its_patient_are_referred_to(run: Run, tmp_path: Path, kind: str) -> None:
    ct = write_ct(tmp_path / "dicom", ct_image())
    write_prediction(tmp_path / "pred" / "head.nii.gz", ct)
    run(kind=kind)
    content = dcmread(tmp_path / "out" / f"head_{kind}.dcm")
    assert (content.StudyInstanceUID, content.FrameOfReferenceUID) == (ct.study, ct.frame)
    assert (content.PatientName, content.PatientID, content.PatientBirthDate) == (NAME, NUMBER, BIRTH_DATE)
    assert content.SeriesInstanceUID != ct.uid
    if kind == "seg":
        (referenced,) = content.ReferencedSeriesSequence
        assert referenced.SeriesInstanceUID == ct.uid
        assert {item.ReferencedSOPInstanceUID for item in referenced.ReferencedInstanceSequence} == set(ct.instances)


def test_structure_set_names_slices_colours_and_kinds(run: Run, tmp_path: Path) -> None:
    ct = write_ct(tmp_path / "dicom", ct_image())
    write_prediction(tmp_path / "pred" / "head.nii.gz", ct)
    run()
    content = dcmread(tmp_path / "out" / "head_rtstruct.dcm")
    (frame,) = content.ReferencedFrameOfReferenceSequence
    (study,) = frame.RTReferencedStudySequence
    (series,) = study.RTReferencedSeriesSequence
    assert (frame.FrameOfReferenceUID, study.ReferencedSOPInstanceUID) == (ct.frame, ct.study)
    assert series.SeriesInstanceUID == ct.uid
    assert [item.ReferencedSOPInstanceUID for item in series.ContourImageSequence] == ct.instances
    for item in content.ROIContourSequence:
        for contour in item.ContourSequence:
            (image,) = contour.ContourImageSequence
            z = round((contour.ContourData[2] - 103.5) / 2.5)
            assert (image.ReferencedSOPClassUID, image.ReferencedSOPInstanceUID) == (CTImageStorage, ct.instances[z])
    assert len({tuple(item.ROIDisplayColor) for item in content.ROIContourSequence}) == 3
    numbers = [1, 2, 3]
    assert [roi.ROINumber for roi in content.StructureSetROISequence] == numbers
    assert {roi.ROIGenerationAlgorithm for roi in content.StructureSetROISequence} == {"AUTOMATIC"}
    assert [item.ReferencedROINumber for item in content.RTROIObservationsSequence] == numbers
    assert {item.RTROIInterpretedType for item in content.RTROIObservationsSequence} == {"ORGAN"}
    assert content.ApprovalStatus == "UNAPPROVED"


def test_an_organ_has_one_colour_in_all_files(run: Run, tmp_path: Path) -> None:
    ct = write_ct(tmp_path / "dicom", ct_image())
    write_prediction(tmp_path / "pred" / "all.nii.gz", ct)
    only_right = np.where(labels() == 3, 3, 0).astype(np.uint8)
    run(pred="pred/all.nii.gz")
    write_prediction(tmp_path / "pred" / "right.nii.gz", ct, only_right)
    run(pred="pred/right.nii.gz")
    contents = [dcmread(tmp_path / "out" / f"{case}_rtstruct.dcm") for case in ("all", "right")]
    assert contents[0].ROIContourSequence[2].ROIDisplayColor == contents[1].ROIContourSequence[0].ROIDisplayColor


@pytest.mark.parametrize("kind", ["rtstruct", "seg"])
def test_names_in_other_scripts_stay_what_they_are(run: Run, tmp_path: Path, kind: str) -> None:
    ct = write_ct(tmp_path / "dicom", ct_image())
    for z in range(6):
        ct.change(z, PatientName="Müller^Jörg")
    write_prediction(tmp_path / "pred" / "head.nii.gz", ct)
    names = {"background": 0, "下颌骨": 1, "Lens_L": 2, "Lens_R": 3}
    (tmp_path / "pred" / "dataset.json").write_text(json.dumps({"labels": names, "file_ending": ".nii.gz"}))
    run(kind=kind)
    content = dcmread(tmp_path / "out" / f"head_{kind}.dcm")
    first = (
        content.StructureSetROISequence[0].ROIName if kind == "rtstruct" else content.SegmentSequence[0].SegmentLabel
    )
    assert (content.PatientName, first) == ("Müller^Jörg", "下颌骨")


def write_labels(tmp_path: Path, *names: str) -> None:
    """Names for labels 1, 2, ..."""
    content = {
        "labels": {"background": 0} | {name: n for n, name in enumerate(names, start=1)},
        "file_ending": ".nii.gz",
    }
    (tmp_path / "pred" / "dataset.json").write_text(json.dumps(content), encoding="utf-8")


def written_names(file: Path) -> list[str]:
    content = dcmread(file)
    if "SegmentSequence" in content:
        return [segment.SegmentLabel for segment in content.SegmentSequence]
    return [roi.ROIName for roi in content.StructureSetROISequence]


@pytest.mark.parametrize("kind", ["rtstruct", "seg"])
@pytest.mark.parametrize("name", ["Ösophagus", "視神経_R", "GTV/1", "a^b=c", "Ω", "x" * 64])
def test_names_read_back_as_they_were(run: Run, tmp_path: Path, kind: str, name: str) -> None:
    ct = write_ct(tmp_path / "dicom", ct_image())
    write_prediction(tmp_path / "pred" / "head.nii.gz", ct)
    write_labels(tmp_path, name, "Lens_L", "Lens_R")
    run(kind=kind)
    assert written_names(tmp_path / "out" / f"head_{kind}.dcm") == [name, "Lens_L", "Lens_R"]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("x" * 65, "which has 65 characters where 64 are allowed"),
        ("GTV\\boost", "in which a backslash would separate two values"),
        ("Lens_L ", "of which blanks at the ends would be lost"),
        ("Lens\nL", "which has a line feed or another control character"),
        ("\ud800", "which has a line feed or another control character"),
    ],
)
def test_names_that_dicom_can_not_hold_are_refused_before_anything_is_written(
    run: Run, tmp_path: Path, name: str, why: str
) -> None:
    ct = write_ct(tmp_path / "dicom", ct_image())
    write_prediction(tmp_path / "pred" / "head.nii.gz", ct)
    write_labels(tmp_path, "Mandible", name, "Lens_R")
    (line,) = failure(run)
    assert f"the organ {name!r} can't have the name {name!r} in DICOM, {why}: give it another with --mapping" in line
    assert not (tmp_path / "out").exists()
    (tmp_path / "mapping.json").write_text(json.dumps({name: {"name": "Lens_L"}}))
    run("--mapping", str(tmp_path / "mapping.json"))
    assert written_names(tmp_path / "out" / "head_rtstruct.dcm") == ["Mandible", "Lens_L", "Lens_R"]


@pytest.mark.parametrize("kind", ["rtstruct", "seg"])
def test_a_mapping_says_how_organs_are_written(run: Run, tmp_path: Path, kind: str) -> None:
    ct = write_ct(tmp_path / "dicom", ct_image())
    write_prediction(tmp_path / "pred" / "head.nii.gz", ct)
    write_labels(tmp_path, "Unterkiefer", "GTVp", "BODY")
    code = {"value": "91609006", "scheme": "SCT", "meaning": "Mandible"}
    first = {"name": "Bone_Mandible_L", "type": "AVOIDANCE", "colour": [10, 200, 30], "code": code}
    (tmp_path / "mapping.json").write_text(json.dumps({"Unterkiefer": first, "BODY": {"name": "External"}}))
    run("--mapping", str(tmp_path / "mapping.json"), kind=kind)
    content = dcmread(tmp_path / "out" / f"head_{kind}.dcm")
    assert written_names(tmp_path / "out" / f"head_{kind}.dcm") == ["Bone_Mandible_L", "GTVp", "External"]
    if kind == "rtstruct":
        observations = content.RTROIObservationsSequence
        assert [item.RTROIInterpretedType for item in observations] == ["AVOIDANCE", "GTV", "EXTERNAL"]
        assert content.ROIContourSequence[0].ROIDisplayColor == [10, 200, 30]
        concepts = [item.RTROIIdentificationCodeSequence[0] for item in observations]
    else:
        concepts = [segment.SegmentedPropertyTypeCodeSequence[0] for segment in content.SegmentSequence]
        categories = [segment.SegmentedPropertyCategoryCodeSequence[0].CodeValue for segment in content.SegmentSequence]
        assert categories == ["91723000", "49755003", "91723000"]  # anatomy, morphologically abnormal, anatomy
    assert [concept.CodeValue for concept in concepts] == ["91609006", "228791009", "38266002"]
    assert concepts[0].SegmentedPropertyTypeModifierCodeSequence[0].CodeMeaning == "Left"


@pytest.mark.parametrize(
    ("mapping", "text"),
    [
        ("{", "isn't JSON"),
        ("[]", "must hold a JSON object"),
        ('{"Lens_L": {}, "Lens_L": {}}', 'has the key "Lens_L" twice'),
        ('{"Lens_l": {}}', "Lens_l is no organ of dataset.json: do you mean Lens_L?"),
        ('{"Lens_L": "Lens"}', "Lens_L: has to be an object with name, type, colour, code"),
        ('{"Lens_L": {"color": [1, 2, 3]}}', "Lens_L: color is none of name, type, colour, code"),
        ('{"Lens_L": {"type": "Organ"}}', "Lens_L: type 'Organ' is none of EXTERNAL, PTV, CTV, GTV"),
        ('{"Lens_L": {"colour": [1, 2, 256]}}', "Lens_L: colour [1, 2, 256] isn't red, green and blue from 0 to 255"),
        ('{"Lens_L": {"code": {"value": "1"}}}', "Lens_L: code has to have value, scheme, meaning, and nothing else"),
        ('{"Lens_L": {"name": 3}}', "the organ 'Lens_L' can't have the name 3 in DICOM, which is no text"),
        ('{"Lens_L": {"name": "Lens_R"}}', "Lens_L and Lens_R have the same name in DICOM, Lens_R"),
        (
            '{"Lens_L": {"code": {"value": "12345678901234567", "scheme": "SCT", "meaning": "x"}}}',
            "code can't have the value '12345678901234567', which has 17 characters where 16 are allowed",
        ),
        (None, "mapping.json doesn't exist"),
    ],
)
def test_a_wrong_mapping_is_named_with_its_organ(run: Run, tmp_path: Path, mapping: str | None, text: str) -> None:
    ct = write_ct(tmp_path / "dicom", ct_image())
    write_prediction(tmp_path / "pred" / "head.nii.gz", ct)
    if mapping is not None:
        (tmp_path / "mapping.json").write_text(mapping)
    (line,) = failure(run, "--mapping", str(tmp_path / "mapping.json"))
    assert text in line
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(DCIODVFY is None, reason="dciodvfy isn't installed (Debian: dicom3tools)")
@pytest.mark.parametrize("kind", ["rtstruct", "seg"])
def test_files_are_valid_dicom(run: Run, tmp_path: Path, kind: str) -> None:
    ct = write_ct(tmp_path / "dicom", ct_image())
    write_prediction(tmp_path / "pred" / "head.nii.gz", ct)
    names = ["BODY", "GTVp", "Ösophagus"]
    write_labels(tmp_path, *names)
    run(kind=kind)
    file = tmp_path / "out" / f"head_{kind}.dcm"
    report = subprocess.run([str(DCIODVFY), "-new", str(file)], capture_output=True, text=True, check=False).stderr
    assert ("RTStructureSet" if kind == "rtstruct" else "Segmentation") in report  # it knows what it looks at
    assert [line for line in report.splitlines() if line.startswith(("Error", "Warning"))] == []
    # it does tell what is wrong
    content = dcmread(file)
    del content.Modality
    content.save_as(file)
    again = subprocess.run([str(DCIODVFY), "-new", str(file)], capture_output=True, text=True, check=False).stderr
    assert "Error" in again


def test_contours_lie_in_the_planes_of_unevenly_spaced_slices(run: Run, tmp_path: Path) -> None:
    """By up to 0.2 mm of 2.5 mm, as rounded or measured positions of a table do."""
    ct = write_ct(tmp_path / "dicom", ct_image())
    heights = [103.5, 106.1, 108.4, 111.1, 113.4, 116.0]
    for z, height in enumerate(heights):
        ct.change(z, ImagePositionPatient=[-12.5, -40.0, height])
    write_prediction(tmp_path / "pred" / "head.nii.gz", ct)
    run()
    content = dcmread(tmp_path / "out" / "head_rtstruct.dcm")
    for item in content.ROIContourSequence:
        for contour in item.ContourSequence:
            slice_ = ct.instances.index(contour.ContourImageSequence[0].ReferencedSOPInstanceUID)
            assert set(contour.ContourData[2::3]) == {heights[slice_]}


def test_organs_that_were_not_predicted_are_named(run: Run, tmp_path: Path, capsys) -> None:
    ct = write_ct(tmp_path / "dicom", ct_image())
    write_prediction(tmp_path / "pred" / "head.nii.gz", ct)
    run()
    out = tmp_path / "out" / "head_rtstruct.dcm"
    assert capsys.readouterr().out == f"{out}: 3 organs on the series of IM_0003.dcm; not predicted: Tumour\n"


def test_predictions_find_their_series_by_their_voxels(run: Run, tmp_path: Path) -> None:
    cts = {
        name: write_ct(tmp_path / "dicom" / folder, ct_image(origin=(-12.5, -40.0, z)))
        for name, folder, z in (("a", "second", 0.0), ("b", "first", 1.0), ("unused", "third", 0.0 + 7))
    }
    for name in ("a", "b"):
        write_prediction(tmp_path / "pred" / f"{name}.nii.gz", cts[name])
    run()
    for name in ("a", "b"):
        assert dcmread(tmp_path / "out" / f"{name}_rtstruct.dcm").StudyInstanceUID == cts[name].study


def test_predictions_on_like_grids_need_the_list_of_series(run: Run, tmp_path: Path) -> None:
    cts = {name: write_ct(tmp_path / "dicom" / name, ct_image(), uid=f"1.2.{n}") for n, name in enumerate("ab")}
    for name, ct in cts.items():
        write_prediction(tmp_path / "pred" / f"{name}.nii.gz", ct)
    first, second = failure(run)
    assert "a.nii.gz can't be told apart by its voxels, which the series of a/IM_0003.dcm, the series of b/IM" in first
    assert "b.nii.gz can't be told apart" in second
    dataset = tmp_path / "raw"
    dataset.mkdir()
    (tmp_path / "pred" / "dataset.json").rename(dataset / "dataset.json")
    (dataset / "dicom_series.json").write_text(json.dumps({"a": "1.2.1", "b": "1.2.0"}))
    run("--dataset_json", str(dataset / "dataset.json"))
    assert dcmread(tmp_path / "out" / "a_rtstruct.dcm").StudyInstanceUID == cts["b"].study
    assert dcmread(tmp_path / "out" / "b_rtstruct.dcm").StudyInstanceUID == cts["a"].study
    (dataset / "dicom_series.json").write_text(json.dumps({"a": "1.2.7", "b": "1.2.0"}))
    (line,) = failure(run, "--dataset_json", str(dataset / "dataset.json"))
    assert "dicom_series.json has a series for a that isn't in the DICOM folder" in line


def test_a_list_that_has_one_series_for_two_cases(run: Run, tmp_path: Path) -> None:
    ct = write_ct(tmp_path / "dicom", ct_image())
    for name in ("a", "b"):
        write_prediction(tmp_path / "pred" / f"{name}.nii.gz", ct)
    (tmp_path / "pred" / "dicom_series.json").write_text(json.dumps({"a": ct.uid, "b": ct.uid}))
    lines = failure(run)
    assert lines[0].endswith("dicom_series.json has one series for a and b: correct it")
    assert len(lines) == 2
    (tmp_path / "pred" / "dicom_series.json").write_text('{"a": 1}')
    assert "dicom_series.json has to be an object, case to SeriesInstanceUID" in failure(run)[0]


def test_a_series_that_the_list_gives_to_a_case_is_no_other_ones(run: Run, tmp_path: Path) -> None:
    ct = write_ct(tmp_path / "dicom" / "a", ct_image(), uid="1.2.1")
    write_ct(tmp_path / "dicom" / "b", ct_image(origin=(0.0, 0.0, 0.0)))
    for name in ("CT_001", "patient"):
        write_prediction(tmp_path / "pred" / f"{name}.nii.gz", ct)
    (tmp_path / "pred" / "dicom_series.json").write_text(json.dumps({"CT_001": ct.uid}))
    text = "patient.nii.gz can't have the series of a/IM_0003.dcm, which dicom_series.json gives to CT_001: add the"
    (line,) = failure(run)
    assert text in line
    shutil.rmtree(tmp_path / "dicom" / "b")
    (line,) = failure(run, pred="pred/patient.nii.gz")  # one prediction, one series
    assert text in line
    write_ct(tmp_path / "dicom" / "like a", ct_image(), uid="1.2.2")
    (line,) = failure(run, pred="pred/patient.nii.gz")  # it may be CT_001 under another name
    assert "can't be told apart by its voxels, which the series of a/IM_0003.dcm, the series of like a/IM" in line
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["CT_001_rtstruct.dcm"]


def test_a_prediction_that_the_list_has_is_a_rival_of_one_that_it_has_not(run: Run, tmp_path: Path) -> None:
    ct = write_ct(tmp_path / "dicom", ct_image())
    for name in ("CT_001", "patient"):
        write_prediction(tmp_path / "pred" / f"{name}.nii.gz", ct)
    (tmp_path / "pred" / "dicom_series.json").write_text('{"CT_001": "1.2.3"}')
    first, second = failure(run)
    assert "dicom_series.json has a series for CT_001 that isn't in the DICOM folder" in first
    assert "patient.nii.gz can't be told apart by its voxels, which CT_001, it share" in second
    assert not list((tmp_path / "out").iterdir())


def test_a_label_map_of_another_ending_is_refused(run: Run, tmp_path: Path) -> None:
    ct = write_ct(tmp_path / "dicom", ct_image())
    write_prediction(tmp_path / "pred" / "head.nrrd", ct)
    (line,) = failure(run, pred="pred/head.nrrd")
    assert line.endswith("head.nrrd isn't .nii.gz, as label maps are by dataset.json: save it as such")
    assert not (tmp_path / "out").exists()


def test_a_broken_slice_is_named_once(run: Run, tmp_path: Path) -> None:
    ct = write_ct(tmp_path / "dicom", ct_image())
    write_prediction(tmp_path / "pred" / "head.nii.gz", ct)
    write_prediction(tmp_path / "pred" / "._head.nii.gz", ct)  # of macOS
    ct.files[0].write_bytes(b"")
    (line,) = failure(run)
    assert line.endswith("left out: IM_0003.dcm is empty: copy it again, or delete it if it is no DICOM")
    assert not list((tmp_path / "out").iterdir())


def test_two_predictions_for_one_series(run: Run, tmp_path: Path) -> None:
    ct = write_ct(tmp_path / "dicom", ct_image())
    for name in ("a", "b"):
        write_prediction(tmp_path / "pred" / f"{name}.nii.gz", ct)
    first, _ = failure(run)
    assert "a.nii.gz can't be told apart by its voxels, which b, it share" in first
    run(pred="pred/b.nii.gz")


@pytest.mark.parametrize(
    "change",
    [
        {"size": (20, 16, 5)},
        {"spacing": (1.5, 1.25, 2.6)},
        {"origin": (-12.5, -40.0, 104.0)},
        {"direction": (0.96, -0.28, 0, 0.28, 0.96, 0, 0, 0, 1)},
    ],
)
def test_another_grid_is_refused_in_a_line_that_names_both(run: Run, tmp_path: Path, change) -> None:
    write_ct(tmp_path / "dicom", ct_image())
    other = CTFiles(ct_image(**change), "", "", "")
    write_prediction(tmp_path / "pred" / "head.nii.gz", other, labels()[: other.image.GetSize()[2]])
    (line,) = failure(run)
    assert f"{tmp_path / 'pred' / 'head.nii.gz'} has size (20, 16, " in line
    assert (
        "but the series of IM_0003.dcm has size (20, 16, 6), spacing (1.5, 1.25, 2.5), origin (-12.5, -40, 103.5)"
        in line
    )
    assert not list((tmp_path / "out").iterdir())


def test_a_failed_case_does_not_stop_the_others(run: Run, tmp_path: Path) -> None:
    cts = [write_ct(tmp_path / "dicom" / f"{z}", ct_image(origin=(0, 0, z))) for z in range(4)]
    for z, name in enumerate(("broken", "empty", "good", "unknown")):
        write_prediction(tmp_path / "pred" / f"{name}.nii.gz", cts[z], labels() * 0 + 5 if name == "unknown" else None)
    write_prediction(tmp_path / "pred" / "empty.nii.gz", cts[1], labels() * 0)
    broken = tmp_path / "pred" / "broken.nii.gz"
    broken.write_bytes(broken.read_bytes()[:-1])
    broken.with_name("._good.nii.gz").write_bytes(b"of macOS")
    lines = failure(run)
    assert len(lines) == 3
    assert "broken.nii.gz can't be read, it is cut off: its compressed data ends early: mend or replace it" in lines[0]
    assert "empty.nii.gz is empty: there is nothing to export" in lines[1]
    assert "unknown.nii.gz holds the label values 5, which dataset.json doesn't have" in lines[2]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["good_rtstruct.dcm"]


@pytest.mark.parametrize("kind", ["rtstruct", "seg"])
def test_a_full_disk_ends_the_export_and_leaves_no_half_file(run: Run, tmp_path: Path, kind: str) -> None:
    ct = write_ct(tmp_path / "dicom", ct_image())
    write_prediction(tmp_path / "pred" / "head.nii.gz", ct)
    with largest_file(1000):
        (line,) = failure(run, kind=kind)
    target = tmp_path / "out" / f"head_{kind}.dcm"
    assert line.startswith(f"nnUNetv2_focusnet_export: {target} can't be written (File too large): ")
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (lambda root: (root / "pred" / "dataset.json").unlink(), "name dataset.json with --dataset_json"),
        (lambda root: (root / "pred" / "dataset.json").write_text("{}"), 'has no "labels"'),
        (lambda root: (root / "pred" / "head.nii.gz").unlink(), "holds no label maps (*.nii.gz)"),
        (lambda root: next((root / "dicom").glob("*17.dcm")).unlink(), "a slice is missing between IM_0010.dcm and IM"),
    ],
)
def test_what_is_missing_is_named(run: Run, tmp_path: Path, damage: Callable[[Path], None], text: str) -> None:
    ct = write_ct(tmp_path / "dicom", ct_image())
    write_prediction(tmp_path / "pred" / "head.nii.gz", ct)
    damage(tmp_path)
    (line,) = failure(run)
    assert text in line


def test_missing_libraries_are_named(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nnunetv2_focusnet.dicom.find_spec", lambda library: None if library == "highdicom" else True)
    (line,) = failure(run)
    assert line.endswith('DICOM needs highdicom: run pip install "nnunetv2-focusnet[dicom]"')
