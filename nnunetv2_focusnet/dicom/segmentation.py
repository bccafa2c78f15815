"""Write a DICOM segmentation that belongs to a CT series."""

from __future__ import annotations

from collections.abc import Sequence

import highdicom
import numpy as np
from highdicom.color import CIELabColor
from highdicom.seg import SegmentAlgorithmTypeValues, SegmentationTypeValues, SegmentDescription
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid

from nnunetv2_focusnet import __version__
from nnunetv2_focusnet.dicom.headers import read_header, series_number
from nnunetv2_focusnet.dicom.organs import DicomOrgan
from nnunetv2_focusnet.dicom.tree import Series
from nnunetv2_focusnet.images.grid import Grid

CATEGORIES = {  # of DICOM PS3.16, CID 7150; all others are anatomy
    "GTV": codes.SCT.MorphologicallyAbnormalStructure,
    "CTV": codes.SCT.SpatialAndRelationalConcept,
    "PTV": codes.SCT.SpatialAndRelationalConcept,
}


def make_segmentation(series: Series, grid: Grid, labels: np.ndarray, organs: Sequence[DicomOrgan]) -> Dataset:
    """A binary segmentation with one segment for each organ.

    Args:
        series: the CT.
        grid: of the series.
        labels: label map (Z, Y, X) on the grid of the series.
        organs: each has voxels.

    Raises:
        ValueError: headers of the series lack what a segmentation needs.
    """
    values = [organ.label for organ in organs]
    numbers = np.zeros(max(values) + 1, np.uint8 if len(organs) < 256 else np.uint16)
    numbers[values] = np.arange(1, len(organs) + 1)
    descriptions = [_describe(number, organ) for number, organ in enumerate(organs, start=1)]
    try:
        return _segmentation(_sources(series, grid), numbers[labels], descriptions)
    except Exception:  # whatever is wrong with a header; the texts quote them, that is patients
        raise ValueError(
            f"{series.name} has headers that no segmentation can be made from: export it again, or write structure sets"
        ) from None


def _sources(series: Series, grid: Grid) -> list[Dataset]:
    headers = [read_header(slice_) for slice_ in series.slices]
    for header in headers:
        header.decode()
        header.SpecificCharacterSet = "ISO_IR 192"  # UTF-8, for names of organs in any script
        if not header.get("SliceThickness"):
            header.SliceThickness = grid.spacing[2]
    return headers


def _segmentation(sources: list[Dataset], numbers: np.ndarray, descriptions: list[SegmentDescription]) -> Dataset:
    return highdicom.seg.Segmentation(
        source_images=sources,
        pixel_array=numbers,
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=descriptions,
        series_instance_uid=generate_uid(),
        series_number=series_number(sources[0]),
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="nnunetv2-focusnet",
        manufacturer_model_name="nnUNetv2_focusnet_export",
        software_versions=__version__,
        device_serial_number="0",
        series_description="Automatic contours",
        content_label="AUTOMATIC",
    )


def _describe(number: int, organ: DicomOrgan) -> SegmentDescription:
    algorithm = highdicom.AlgorithmIdentificationSequence(
        name="nnunetv2-focusnet", family=codes.DCM.ArtificialIntelligence, version=__version__
    )
    return SegmentDescription(
        segment_number=number,
        segment_label=organ.name,
        segmented_property_category=CATEGORIES.get(organ.kind, codes.SCT.AnatomicalStructure),
        segmented_property_type=organ.concept,
        algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=algorithm,
        display_color=CIELabColor.from_rgb(*organ.colour),
    )
