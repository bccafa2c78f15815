"""CT series with RT structure sets, as planning systems and archives export them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import SimpleITK as sitk

from nnunetv2_focusnet.convert.layouts.base import Channel, Layout, NoCaseError, SourceCase, Structure, UnusableCase
from nnunetv2_focusnet.dicom import SERIES_FILE, check_libraries

if TYPE_CHECKING:
    from nnunetv2_focusnet.dicom.structures import Roi
    from nnunetv2_focusnet.dicom.tree import Series, StructureSet

NAMED_SLICES = 5  # in one note

# The modules of the folder dicom are imported where they are used, as their libraries are an extra.


@dataclass(frozen=True)
class DicomCase(SourceCase):
    """A CT series with its structure set."""

    series: Series
    structure_set: StructureSet

    def structure_names(self) -> Sequence[str]:
        """Structures whose contours hold at least one voxel, or can't be filled, which `structures` complains of.

        Raises:
            ValueError: there is none.
        """
        names = list(dict.fromkeys(roi.name for roi, annotated in self._rois() if annotated))
        if not names:
            why = "; ".join(self.notes()) or "it lists none"
            raise ValueError(f"{self.structure_set.name} has no structure with a voxel on its CT ({why}): replace it")
        return names

    def channels(self) -> list[Channel]:
        """The CT in Hounsfield units."""
        from nnunetv2_focusnet.dicom.series_grid import series_grid
        from nnunetv2_focusnet.dicom.series_image import read_series

        return [Channel(read_series(self.series, series_grid(self.series)), None)]

    def structures(self, names: Sequence[str]) -> Iterator[Structure]:
        """Masks on the grid of the CT."""
        from nnunetv2_focusnet.dicom.series_grid import series_grid
        from nnunetv2_focusnet.dicom.structures import rasterise

        grid = series_grid(self.series)
        wanted = [roi for roi, annotated in self._rois() if annotated and roi.name in names]
        for name, count in Counter(roi.name for roi in wanted).items():
            if count > 1:
                raise ValueError(f"{self.structure_set.name} has {count} structures named {name}: rename all but one")
        for roi in wanted:
            if roi.problem:
                raise ValueError(roi.problem)
            mask = sitk.GetImageFromArray(rasterise(roi, grid))
            yield Structure(roi.name, grid.put(mask), self.structure_set.name)

    def notes(self) -> Sequence[str]:
        """What may not belong to this CT, or isn't there, and what of the structures may be meant otherwise."""
        from nnunetv2_focusnet.dicom.structures import missing_slices, patients_differ

        notes = []
        if patients_differ(self.structure_set, self.series):
            notes.append("the structure set names this CT, but another patient (PatientID)")
        if missing := missing_slices(self.structure_set, self.series):
            notes.append(f"the structure set refers to {missing} slices that aren't there")
        for roi, annotated in self._rois():
            notes += [f"{roi.name}: {remark}" for remark in (*roi.remarks, *self._oddities(roi))]
            if not annotated:  # what is there mustn't be trained as absent
                why = "contours around no voxel's centre" if roi.contours else "no closed contour on the CT"
                notes.append(f"{roi.name} has {why} and counts as not annotated")
        return notes

    def _oddities(self, roi: Roi) -> Iterator[str]:
        """Where several contours in a slice may mean something else together."""
        from nnunetv2_focusnet.dicom.series_grid import series_grid
        from nnunetv2_focusnet.dicom.structures import fill_slices

        overlaps, hollow = 0, []
        for index, area in fill_slices(roi, series_grid(self.series)):
            overlaps += area.overlaps
            hollow += [self.series.slices[index].name] if area.hollow else []
        if overlaps:
            yield f"contours that overlap in part were joined ({overlaps} pairs)"
        if hollow:
            listed = ", ".join(hollow if len(hollow) <= NAMED_SLICES else [*hollow[:NAMED_SLICES], "..."])
            yield (
                "contours within others cover more than half of their area, as contours drawn twice do "
                f"({len(hollow)} slices: {listed})"
            )

    def _rois(self) -> list[tuple[Roi, bool]]:
        """All structures, and whether each is annotated."""
        from nnunetv2_focusnet.dicom.series_grid import series_grid
        from nnunetv2_focusnet.dicom.structures import holds_voxel, read_rois

        grid = series_grid(self.series)
        rois = read_rois(self.structure_set, self.series, grid)
        return [(roi, bool(roi.problem) or holds_voxel(roi, grid)) for roi in rois]


class DicomRT(Layout):
    """Any folder with CT series and structure sets, told apart by their UIDs, however its files are named."""

    name: ClassVar[str] = "dicom-rt"
    title: ClassVar[str] = "DicomRT"
    about: ClassVar[str] = "a folder with DICOM CT series and one RT structure set for each, in any subfolders"
    licence: ClassVar[str] = "unknown"
    citation: ClassVar[str] = ""
    reference: ClassVar[str] = ""

    def find_cases(self, source: Path) -> list[SourceCase]:
        """Series that have a structure set, numbered in the order of their UIDs; then files and series of no use.

        Raises:
            ValueError: the DICOM libraries aren't installed, or the folder holds no CT slices.
        """
        check_libraries()
        from nnunetv2_focusnet.dicom.structures import match_structure_sets
        from nnunetv2_focusnet.dicom.tree import read_tree

        tree = read_tree(source)
        matched, problems = match_structure_sets(tree)
        drawn_on = [series for series in tree.series if series.uid in matched]
        cases = [_case(f"CT_{n:03d}", series, matched[series.uid]) for n, series in enumerate(drawn_on, start=1)]
        told = {series.problem for series in drawn_on}
        reasons = [ValueError(reason) for reason in (*tree.unreadable, *problems) if reason not in told]
        if cases or reasons:
            reasons += [
                NoCaseError(f"the CT series {series.uid} has no structure set and was passed over")
                for series in tree.series
                if series.uid not in matched
            ]
        return cases + [UnusableCase(f"unused_{n:03d}", "train", reason) for n, reason in enumerate(reasons, start=1)]

    def json_files(self, converted: Sequence[SourceCase]) -> dict[str, Any]:
        """The series of each case, for the way back to DICOM."""
        return {SERIES_FILE: {case.identifier: case.series.uid for case in converted if isinstance(case, DicomCase)}}


def _case(identifier: str, series: Series, structure_sets: Sequence[StructureSet]) -> SourceCase:
    if len(structure_sets) == 1:
        return DicomCase(identifier, "train", series, structure_sets[0])
    names = " and ".join(structure_set.name for structure_set in structure_sets)
    reason = f"{series.name} has {len(structure_sets)} structure sets, {names}: keep one in this folder"
    return UnusableCase(identifier, "train", ValueError(reason))
