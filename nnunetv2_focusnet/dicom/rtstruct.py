"""Write an RT structure set that belongs to a CT series."""

from __future__ import annotations

from collections.abc import Mapping
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
from nnunetv2_focusnet.dicom.grid import Grid
from nnunetv2_focusnet.dicom.headers import repeated_header
from nnunetv2_focusnet.dicom.organ_codes import organ_code, organ_colour
from nnunetv2_focusnet.dicom.tree import Series

DETACHED_STUDY_MANAGEMENT = "1.2.840.10008.3.1.2.3.1"  # retired, but what stands for a study in references
DECIMALS = 3  # of mm


def make_rtstruct(series: Series, grid: Grid, labels: np.ndarray, organs: Mapping[str, int]) -> Dataset:
    """An RT structure set with one structure for each organ.

    Args:
        series: the CT.
        grid: of the series.
        labels: label map (Z, Y, X) on this grid.
        organs: name to label; each has voxels.

    Raises:
        ValueError: the series has no frame of reference to draw in.
    """
    if not series.frame_of_reference:
        raise ValueError(f"{series.name} has no frame of reference, which structure sets need: export the series again")
    result = _header(series)
    if not all(name.isascii() for name in organs):
        result.SpecificCharacterSet = "ISO_IR 192"
    result.StructureSetROISequence = [_roi(n, name, series) for n, name in enumerate(organs, start=1)]
    result.ROIContourSequence = [
        _roi_contour(number, organ_colour(label), labels == label, series, grid)
        for number, label in enumerate(organs.values(), start=1)
    ]
    result.RTROIObservationsSequence = [_observation(n, name) for n, name in enumerate(organs, start=1)]
    return result


def _header(series: Series) -> Dataset:
    result = repeated_header(series.slices[0])
    now = datetime.now()
    result.SOPClassUID = RTStructureSetStorage
    result.InstanceNumber = 1
    result.SOPInstanceUID = generate_uid()
    result.SeriesInstanceUID = generate_uid()
    result.SeriesNumber = None
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


def _roi_contour(number: int, colour: tuple[int, int, int], mask: np.ndarray, series: Series, grid: Grid) -> Dataset:
    item = Dataset()
    item.ReferencedROINumber = number
    item.ROIDisplayColor = list(colour)
    item.ContourSequence = []
    for z in np.flatnonzero(mask.any(axis=(1, 2))):
        for points in trace(mask[z]):
            points_mm = grid.points_mm(np.column_stack([points, np.full(len(points), z)]))
            item.ContourSequence.append(_contour(points_mm, series.slices[z].instance))
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


def _observation(number: int, name: str) -> Dataset:
    item = Dataset()
    item.ObservationNumber = number
    item.ReferencedROINumber = number
    item.RTROIIdentificationCodeSequence = [organ_code(name)]
    item.RTROIInterpretedType = "ORGAN"
    item.ROIInterpreter = ""
    return item
