"""What a further series of a study repeats of the CT's header: the patient and the study."""

from pydicom import Dataset, dcmread

from nnunetv2_focusnet.dicom.tree import Slice

REQUIRED_THOUGH_EMPTY = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
    "PositionReferenceIndicator",
)
REPEATED = (
    *REQUIRED_THOUGH_EMPTY,
    "SpecificCharacterSet",
    "IssuerOfPatientID",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "StudyInstanceUID",
    "StudyDescription",
)


ABOVE_SOURCE = 1000  # series that were made from others have such numbers in many archives


def series_number(source: Dataset) -> int:
    """For a further series; viewers list series by their numbers."""
    return int(source.get("SeriesNumber") or 0) + ABOVE_SOURCE


def read_header(slice_: Slice) -> Dataset:
    """All attributes but the pixels; those that may be empty, but must be there, were they taken out, are empty."""
    header = dcmread(slice_.file, stop_before_pixels=True)
    for keyword in REQUIRED_THOUGH_EMPTY:
        if keyword not in header:
            setattr(header, keyword, "")
    return header


def repeated_header(slice_: Slice) -> Dataset:
    """Patient and study alone, and the number of the further series."""
    source = read_header(slice_)
    result = Dataset()
    result.SeriesNumber = series_number(source)
    for keyword in REPEATED:
        if keyword in source:
            result[keyword] = source[keyword]
    return result
