"""Writes small CT series and structure sets as scanners and planning systems do, without code of the package."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, RTStructureSetStorage, generate_uid

NAME, NUMBER, BIRTH_DATE = "Zebrafink^Xanthippe", "PID-7391-Q", "19530417"
Square = tuple[int, tuple[float, float, float, float]]


@dataclass
class CTFiles:
    """A CT series on disk: the image it was made from, its UIDs and its files in the order of the image's slices."""

    image: sitk.Image
    uid: str
    study: str
    frame: str
    instances: list[str] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)

    def change(self, index: int, **attributes: object) -> None:
        """Change the header of one slice."""
        content = dcmread(self.files[index])
        for keyword, value in attributes.items():
            setattr(content, keyword, value)
        content.save_as(self.files[index])


def ct_image(
    size: tuple[int, int, int] = (20, 16, 6),
    spacing: tuple[float, float, float] = (1.5, 1.25, 2.5),
    origin: tuple[float, float, float] = (-12.5, -40.0, 103.5),
    direction: Sequence[float] = (1, 0, 0, 0, 1, 0, 0, 0, 1),
) -> sitk.Image:
    """A CT in which every voxel has its own value."""
    x, y, z = size
    image = sitk.GetImageFromArray(np.arange(x * y * z, dtype=np.int16).reshape(z, y, x) - 1000)
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    image.SetDirection([float(value) for value in direction])
    return image


def write_ct(folder: Path, image: sitk.Image, *, uid: str = "", frame: str = "", study: str = "") -> CTFiles:
    """A CT series with conspicuous patient data and file names that say nothing of the order."""
    folder.mkdir(parents=True, exist_ok=True)
    files = CTFiles(image, uid or new_uid(), study or new_uid(), frame or new_uid())
    hounsfield = sitk.GetArrayFromImage(image)
    rotation = np.reshape(image.GetDirection(), (3, 3))
    count = len(hounsfield)
    for z, pixels in enumerate(hounsfield):
        content = _patient_and_study(files, CTImageStorage)
        content.Modality = "CT"
        content.SeriesInstanceUID = files.uid
        content.SeriesNumber = 2
        content.InstanceNumber = z + 1
        content.FrameOfReferenceUID = files.frame
        content.PositionReferenceIndicator = ""
        content.Manufacturer = "A scanner"
        content.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        content.ImagePositionPatient = [
            f"{v:.6f}" for v in image.TransformContinuousIndexToPhysicalPoint((0.0, 0.0, float(z)))
        ]
        content.ImageOrientationPatient = [f"{v:.10f}" for v in rotation[:, :2].T.ravel()]
        content.PixelSpacing = [image.GetSpacing()[1], image.GetSpacing()[0]]
        content.SliceThickness = image.GetSpacing()[2]
        content.KVP = content.AcquisitionNumber = None
        content.Rows, content.Columns = pixels.shape
        content.SamplesPerPixel = 1
        content.PhotometricInterpretation = "MONOCHROME2"
        content.BitsAllocated = content.BitsStored = 16
        content.HighBit = 15
        content.PixelRepresentation = 0
        content.RescaleIntercept, content.RescaleSlope = -1024, 1
        content.PixelData = (pixels.astype(np.int32) + 1024).astype("<u2").tobytes()
        path = folder / f"IM_{(7 * z + 3) % 1009:04d}.dcm"
        content.save_as(path, enforce_file_format=True)
        files.instances.append(content.SOPInstanceUID)
        files.files.append(path)
    assert len(set(files.files)) == count
    return files


def square(ct: CTFiles, z: float, low: tuple[float, float], high: tuple[float, float]) -> list[float]:
    """Contour data of a rectangle in slice z of the image; corners are continuous indices (x, y)."""
    corners = [(low[0], low[1]), (high[0], low[1]), (high[0], high[1]), (low[0], high[1])]
    return points(ct, [(x, y, z) for x, y in corners])


def points(ct: CTFiles, indices: Sequence[tuple[float, float, float]]) -> list[float]:
    """Contour data of points that are given as continuous indices (x, y, z) of the image."""
    return [
        value
        for index in indices
        for value in ct.image.TransformContinuousIndexToPhysicalPoint(tuple(map(float, index)))
    ]


def write_structure_set(
    path: Path,
    ct: CTFiles,
    rois: Sequence[tuple[str, Sequence[tuple[str, Sequence[float]]]]],
    *,
    series: Sequence[str] | None = None,
    frame: str = "",
) -> Path:
    """A structure set of ROIs (name, contours), each contour (geometric type, contour data).

    The series it refers to are those of ct unless others are given; an empty list leaves the reference out.
    """
    content = _patient_and_study(ct, RTStructureSetStorage)
    content.Modality = "RTSTRUCT"
    content.SeriesInstanceUID = new_uid()
    content.StructureSetLabel = "Plan"
    reference = Dataset()
    reference.FrameOfReferenceUID = frame or ct.frame
    if referenced := [ct.uid] if series is None else series:
        study = Dataset()
        study.ReferencedSOPClassUID = "1.2.840.10008.3.1.2.3.1"
        study.ReferencedSOPInstanceUID = ct.study
        study.RTReferencedSeriesSequence = []
        for uid in referenced:
            item = Dataset()
            item.SeriesInstanceUID = uid
            item.ContourImageSequence = []
            study.RTReferencedSeriesSequence.append(item)
        reference.RTReferencedStudySequence = [study]
    content.ReferencedFrameOfReferenceSequence = [reference]
    content.StructureSetROISequence, content.ROIContourSequence = [], []
    for number, (name, contours) in enumerate(rois, start=1):
        roi = Dataset()
        roi.ROINumber, roi.ROIName, roi.ReferencedFrameOfReferenceUID = number, name, frame or ct.frame
        content.StructureSetROISequence.append(roi)
        roi_contour = Dataset()
        roi_contour.ReferencedROINumber = number
        if contours:
            roi_contour.ContourSequence = [_contour(kind, data) for kind, data in contours]
        content.ROIContourSequence.append(roi_contour)
    path.parent.mkdir(parents=True, exist_ok=True)
    content.save_as(path, enforce_file_format=True)
    return path


def new_uid() -> str:
    """A UID that doesn't contain the digits of the patient's number by chance: tests search for them."""
    digits = "".join(filter(str.isdigit, NUMBER))
    return next(uid for uid in iter(generate_uid, "") if digits not in uid)


def _contour(kind: str, data: Sequence[float]) -> Dataset:
    contour = Dataset()
    contour.ContourGeometricType = kind
    contour.NumberOfContourPoints = len(data) // 3
    contour.ContourData = [f"{value:.4f}" for value in data]
    return contour


def _patient_and_study(ct: CTFiles, sop_class: str) -> Dataset:
    content = Dataset()
    content.SpecificCharacterSet = "ISO_IR 100"
    content.SOPClassUID, content.SOPInstanceUID = sop_class, new_uid()
    content.PatientName, content.PatientID, content.PatientBirthDate = NAME, NUMBER, BIRTH_DATE
    content.PatientSex = "F"
    content.StudyInstanceUID = ct.study
    content.StudyDate, content.StudyTime, content.StudyID = "20240102", "101500", "1"
    content.AccessionNumber = content.ReferringPhysicianName = ""
    content.file_meta = FileMetaDataset()
    content.file_meta.MediaStorageSOPClassUID = sop_class
    content.file_meta.MediaStorageSOPInstanceUID = content.SOPInstanceUID
    content.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return content
