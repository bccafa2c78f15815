"""Write an RT structure set that belongs to a CT series."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    ImplicitVRLittleEndian,
    RTStructureSetStorage,
    generate_uid,
)

from nnunetv2_focusnet import __version__
from nnunetv2_focusnet.dicom.contours import trace
from nnunetv2_focusnet.dicom.headers import repeated_header
from nnunetv2_focusnet.dicom.organs import DicomOrgan
from nnunetv2_focusnet.dicom.tree import Series
from nnunetv2_focusnet.images.grid import Grid

DETACHED_STUDY_MANAGEMENT = "1.2.840.10008.3.1.2.3.1"  # retired, but what stands for a study in references
DECIMALS = 3  # of mm


def make_rtstruct(series: Series, grid: Grid, labels: np.ndarray, organs: Sequence[DicomOrgan]) -> Dataset:
    """An RT structure set with one structure for each organ.

    Args:
        series: the CT.
        grid: of the series.
        labels: label map (Z, Y, X) on this grid.
        organs: each has voxels.

    Raises:
        ValueError: the series has no study to belong to, or no frame of reference to draw in.
    """
    if not series.study:
        raise ValueError(f"{series.name} has no StudyInstanceUID, which structure sets need: export the series again")
    if not series.frame_of_reference:
        raise ValueError(f"{series.name} has no frame of reference, which structure sets need: export the series again")
    result = _header(series)
    if not all((organ.name + organ.code.meaning).isascii() for organ in organs):
        result.SpecificCharacterSet = "ISO_IR 192"
    numbered = list(enumerate(organs, start=1))
    result.StructureSetROISequence = [_roi(number, organ.name, series) for number, organ in numbered]
    result.ROIContourSequence = [
        _roi_contour(number, organ.colour, labels == organ.label, series) for number, organ in numbered
    ]
    result.RTROIObservationsSequence = [_observation(number, organ) for number, organ in numbered]
    return result


def _header(series: Series) -> Dataset:
    result = repeated_header(series.slices[0])
    now = datetime.now()
    result.SOPClassUID = RTStructureSetStorage
    result.InstanceNumber = 1
    result.SOPInstanceUID = generate_uid()
    result.SeriesInstanceUID = generate_uid()
    result.Modality = "RTSTRUCT"
    result.OperatorsName = ""
    result.SeriesDescription = "Automatic contours"
    result.Manufacturer = "nnunetv2-focusnet"
    result.ManufacturerModelName = "nnUNetv2_focusnet_export"
    result.SoftwareVersions = __version__
    result.InstanceCreationDate = result.StructureSetDate = now.strftime("%Y%m%d")
    result.InstanceCreationTime = result.StructureSetTime = now.strftime("%H%M%S")
    result.StructureSetLabel = "Automatic"
    result.ApprovalStatus = "UNAPPROVED"
    result.FrameOfReferenceUID = series.frame_of_reference
    result.ReferencedFrameOfReferenceSequence = [_referenced_frame(series)]
    result.file_meta = FileMetaDataset()
    result.file_meta.MediaStorageSOPClassUID = result.SOPClassUID
    result.file_meta.MediaStorageSOPInstanceUID = result.SOPInstanceUID
    # Explicit VR ends values after 64 kB, which long contours exceed.
    result.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    return result


def _referenced_frame(series: Series) -> Dataset:
    referenced_series = Dataset()
    referenced_series.SeriesInstanceUID = series.uid
    referenced_series.ContourImageSequence = [_reference(CTImageStorage, s.instance) for s in series.slices]
    study = _reference(DETACHED_STUDY_MANAGEMENT, series.study)
    study.RTReferencedSeriesSequence = [referenced_series]
    frame = Dataset()
    frame.FrameOfReferenceUID = series.frame_of_reference
    frame.RTReferencedStudySequence = [study]
    return frame


def _reference(sop_class: str, instance: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = sop_class
    item.ReferencedSOPInstanceUID = instance
    return item


def _roi(number: int, name: str, series: Series) -> Dataset:
    item = Dataset()
    item.ROINumber = number
    item.ReferencedFrameOfReferenceUID = series.frame_of_reference
    item.ROIName = name
    item.ROIGenerationAlgorithm = "AUTOMATIC"
    return item


def _roi_contour(number: int, colour: tuple[int, int, int], mask: np.ndarray, series: Series) -> Dataset:
    item = Dataset()
    item.ReferencedROINumber = number
    item.ROIDisplayColor = list(colour)
    item.ContourSequence = []
    for z in np.flatnonzero(mask.any(axis=(1, 2))):
        for points in trace(mask[z]):
            # In the plane of this slice, not of the grid: where slices are a bit unevenly spaced, these differ.
            slice_ = series.slices[z]
            item.ContourSequence.append(_contour(slice_.points_mm(points), slice_.instance))
    for contour_number, contour in enumerate(item.ContourSequence, start=1):
        contour.ContourNumber = contour_number
    return item


def _contour(points_mm: np.ndarray, instance: str) -> Dataset:
    item = Dataset()
    item.ContourImageSequence = [_reference(CTImageStorage, instance)]
    item.ContourGeometricType = "CLOSED_PLANAR"
    item.NumberOfContourPoints = len(points_mm)
    item.ContourData = [f"{value:.{DECIMALS}f}" for value in points_mm.ravel()]
    return item


def _observation(number: int, organ: DicomOrgan) -> Dataset:
    item = Dataset()
    item.ObservationNumber = number
    item.ReferencedROINumber = number
    item.RTROIIdentificationCodeSequence = [organ.concept]
    item.RTROIInterpretedType = organ.kind
    item.ROIInterpreter = ""
    return item
