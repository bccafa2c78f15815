"""From DICOM to a dataset of nnU-Net and back, and that nothing on the way says who the patient is."""

import gzip
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from dicom_files import BIRTH_DATE, NAME, NUMBER, CTFiles, ct_image, square, write_ct, write_structure_set
from pydicom import dcmread

from nnunetv2_focusnet.cli import convert, export
from nnunetv2_focusnet.dicom.privacy import Redactor

PATIENT_FOLDER = f"{NAME.replace('^', '_')} {NUMBER} 1953-04-17"
IDENTIFYING = re.compile("zebrafink|xanthippe|7391|19530417|1953-04-17|17.04.1953", re.IGNORECASE)


def closed(ct: CTFiles, z: int, low: tuple[float, float], high: tuple[float, float]) -> tuple[str, list[float]]:
    return "CLOSED_PLANAR", square(ct, z, low, high)


def write_patient(folder: Path, uid: str, z_mm: float = 0.0) -> CTFiles:
    """A mandible with a hole on three slices, a lens of six voxels; the left parotid is called after its side."""
    ct = write_ct(folder / "CT", ct_image(origin=(-12.5, -40.0, z_mm)), uid=uid)
    mandible = [closed(ct, z, (1.5, 1.5), (12.5, 9.5)) for z in (1, 2, 3)]
    hole = [closed(ct, 2, (4.5, 3.5), (8.5, 6.5))]
    lens = [closed(ct, 4, (3.5, 3.5), (6.5, 5.5))]
    rois = [("Mandible", mandible + hole), ("Lens Left", lens), ("PTV", [closed(ct, 5, (0.5, 0.5), (4.5, 4.5))])]
    write_structure_set(folder / "RT" / f"RS.{NUMBER}.dcm", ct, rois)
    return ct


def run(monkeypatch: pytest.MonkeyPatch, command, *arguments: object) -> list[str]:
    """Run a command in this process; the lines of its error, if it has one."""
    monkeypatch.setattr(sys, "argv", ["command", *map(str, arguments)])
    try:
        command.main()
    except SystemExit as stopped:
        return str(stopped.code).splitlines()
    return []


@pytest.fixture
def raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("nnUNet_raw", str(tmp_path / "nnUNet_raw"))
    (tmp_path / "nnUNet_raw").mkdir()
    return tmp_path / "nnUNet_raw" / "Dataset042_DicomRT"


def test_labels_come_back(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in (1, 2):
        write_patient(tmp_path / "source" / f"patient {number}", f"1.2.{number}")
    organs = ("--organs", "lens-lt", "Mandible")
    assert run(monkeypatch, convert, "dicom-rt", tmp_path / "source", "-d", 42, "-np", 1, *organs) == []
    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(raw / "labelsTr" / "CT_001.nii.gz")))
    expected = np.zeros((6, 16, 20))
    expected[1:4, 2:10, 2:13] = 2
    expected[2, 4:7, 5:9] = 0
    expected[4, 4:6, 4:7] = 1
    np.testing.assert_array_equal(labels, expected)
    image = sitk.ReadImage(str(raw / "imagesTr" / "CT_001_0000.nii.gz"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), sitk.GetArrayFromImage(ct_image()))
    assert json.loads((raw / "dicom_series.json").read_text()) == {"CT_001": "1.2.1", "CT_002": "1.2.2"}

    for kind in ("rtstruct", "seg"):
        options = ("-o", tmp_path / "out", "--dicom", tmp_path / "source", "--format", kind)
        dataset = ("--dataset_json", raw / "dataset.json")
        assert run(monkeypatch, export, raw / "labelsTr", *options, *dataset) == []
    for number in (1, 2):  # the exported structure sets in place of the first
        (old,) = (tmp_path / "source" / f"patient {number}" / "RT").iterdir()
        (tmp_path / "out" / f"CT_00{number}_rtstruct.dcm").rename(old)
    assert run(monkeypatch, convert, "dicom-rt", tmp_path / "source", "-d", 43, "-np", 1, *organs) == []
    again = raw.with_name("Dataset043_DicomRT") / "labelsTr" / "CT_002.nii.gz"
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(again))), expected)


def test_a_series_that_any_tool_made_an_image_of_needs_no_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ct = write_patient(tmp_path / "source", "1.2.1")
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path / "source" / "CT")))
    prediction = reader.Execute() > -100
    (tmp_path / "pred").mkdir()
    sitk.WriteImage(prediction, str(tmp_path / "pred" / "patient.nii.gz"))
    dataset = {"labels": {"background": 0, "Mandible": 1}, "file_ending": ".nii.gz"}
    (tmp_path / "pred" / "dataset.json").write_text(json.dumps(dataset))
    options = ("-o", tmp_path / "out", "--dicom", tmp_path / "source" / "CT", "--format", "rtstruct")
    assert run(monkeypatch, export, tmp_path / "pred" / "patient.nii.gz", *options) == []
    content = dcmread(tmp_path / "out" / "patient_rtstruct.dcm")
    assert content.StudyInstanceUID == ct.study
    assert content.StructureSetROISequence[0].ROIName == "Mandible"


def test_nothing_says_who_the_patient_is(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd, caplog, recwarn
) -> None:
    source = tmp_path / "source"
    people = {name: source / f"{name} {PATIENT_FOLDER}" for name in ("a", "b", "c", "d", "e")}
    cts = {name: write_patient(folder, f"1.2.{n}", n) for n, (name, folder) in enumerate(people.items(), start=1)}
    cts["b"].files[3].unlink()  # a missing slice
    write_structure_set(people["c"] / f"{NUMBER}.dcm", cts["c"], [])  # a second structure set
    cts["d"].files[2].write_bytes(cts["d"].files[2].read_bytes()[:-50])  # broken pixels
    (people["e"] / f"{NAME}.dcm").write_bytes(cts["e"].files[2].read_bytes()[:300])  # a broken file
    for z in range(6):  # a birth date that isn't a date, which pydicom quotes in a warning
        cts["e"].change(z, PatientBirthDate="17.04.1953")
    recwarn.clear()
    caplog.clear()
    assert len(run(monkeypatch, convert, "dicom-rt", source, "-d", 42, "-np", 1)) == 4
    errors = run(monkeypatch, convert, "dicom-rt", source, "-d", 43, "-np", 1)
    predictions = tmp_path / "predictions"
    predictions.mkdir()
    for file in [*(raw / "labelsTr").iterdir(), raw / "dataset.json", raw / "dicom_series.json"]:
        (predictions / file.name).write_bytes(file.read_bytes())
    for case in ("CT_002", "CT_004"):  # cases that could not be converted
        (predictions / f"{case}.nii.gz").write_bytes((predictions / "CT_001.nii.gz").read_bytes())
    for kind in ("rtstruct", "seg"):
        errors += run(monkeypatch, export, predictions, "-o", tmp_path / "out", "--dicom", source, "--format", kind)
    console = "".join(capfd.readouterr())
    texts = [console, caplog.text, *errors, *(str(warning.message) for warning in recwarn)]
    assert "2 training and 0 test cases" in console
    assert len(errors) > 8
    written = [path for folder in (raw.parent, tmp_path / "out") for path in folder.rglob("*")]
    texts += [str(path.relative_to(tmp_path)) for path in written]
    assert len(written) > 15
    for path in written:
        if path.is_file() and path.suffix != ".dcm":
            content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
            texts.append(content.decode("latin-1"))
    assert any(
        "***/CT/IM_0017.dcm (SeriesInstanceUID 1.2.2)" in line for line in errors
    )  # it can be found nevertheless
    assert [text for text in texts if IDENTIFYING.search(text)] == []


@pytest.mark.parametrize(
    ("words", "path", "shown"),
    [
        (["Doe", "Jane"], "DOE_JANE/CT/doe-1.dcm", "***_***/CT/***-1.dcm"),
        (["AB/12-7"], "AB_12_7/IM_1.dcm", "***/IM_1.dcm"),
        ([BIRTH_DATE], "b1953-04-17/19530417.dcm", "b***/***.dcm"),
        ([BIRTH_DATE], "17.04.1953/b17041953 17.4.1953/04-17-1953/4_17_1953.dcm", "***/b*** ***/***/***.dcm"),
        ([BIRTH_DATE], "117041953/1704195.dcm", "117041953/1704195.dcm"),
        (["M\u00fcller"], "MU\u0308LLER/a\u0308.dcm", "***/\u00e4.dcm"),  # macOS splits off the dots
        (["Mu\u0308ller"], "m\u00fcller.dcm", "***.dcm"),
        (["M\u00fcller"], "A\u0308rztin.dcm", "A\u0308rztin.dcm"),
        (["12"], "12/IM_0123.dcm", "***/IM_0123.dcm"),
        (["Li"], "LI/clinic.dcm", "***/clinic.dcm"),
        ([], "CT/IM_1.dcm", "CT/IM_1.dcm"),
    ],
)
def test_identifying_words_in_paths(words: list[str], path: str, shown: str) -> None:
    assert Redactor(words)(Path(path)) == shown
