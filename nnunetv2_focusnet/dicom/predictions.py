"""Which CT series a predicted label map belongs to, and the label map on the grid of that series."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from nnunetv2_focusnet.dicom import SERIES_FILE
from nnunetv2_focusnet.dicom.grid import Grid, grid_of
from nnunetv2_focusnet.dicom.tree import Series
from nnunetv2_focusnet.images.reading import read_header


class Matcher:
    """Finds the series of predictions.

    A case that the dataset's list of series has belongs to the series named there. Otherwise one prediction and one
    series belong together; and of several, a prediction belongs to the only series with the same voxels, as long as no
    other prediction has them, too.

    Args:
        series: of the DICOM folder.
        predictions: all that are exported.
        uids: SeriesInstanceUID by case, of the dataset that was converted from DICOM; may be empty.
    """

    def __init__(self, series: Sequence[Series], predictions: Mapping[str, Path], uids: Mapping[str, str]) -> None:
        self._series = series
        self._uids = uids
        self._predictions = list(predictions)
        self._only = len(series) == len(predictions) == 1
        self._grids: dict[str, Grid | str] = {item.uid: _grid_or_problem(item) for item in series}
        self._predicted = {case: _grid_or_problem(file) for case, file in predictions.items() if case not in uids}

    def find(self, case: str, file: Path) -> tuple[Series, Grid]:
        """The series of a case, and its grid.

        Raises:
            ValueError: the file can't be read, no series fits, several do, or several predictions fit one.
        """
        predicted = self._known(_grid_or_problem(file))
        if case in self._uids:
            series = self._by_uid(case)
        elif self._only:
            series = self._series[0]
        else:
            series = self._by_voxels(case, file, predicted)
        grid = self._known(self._grids[series.uid])
        if not grid.has_voxels_of(predicted):
            raise ValueError(
                f"{file} has {predicted}, but {series.name} has {grid}: predict this series, not a changed copy"
            )
        return series, grid

    def _by_uid(self, case: str) -> Series:
        if also := [
            other for other in self._predictions if other != case and self._uids.get(other) == self._uids[case]
        ]:
            raise ValueError(f"{SERIES_FILE} has one series for {case} and {', '.join(also)}: correct it")
        for series in self._series:
            if series.uid == self._uids[case]:
                return series
        raise ValueError(f"{SERIES_FILE} has a series for {case} that isn't in the DICOM folder: add it there")

    def _by_voxels(self, case: str, file: Path, predicted: Grid) -> Series:
        fitting = [
            series
            for series in self._series
            if isinstance(grid := self._grids[series.uid], Grid) and grid.has_voxels_of(predicted)
        ]
        if not fitting:
            raise ValueError(f"{file} has {predicted}, as none of the {len(self._series)} CT series: add its series")
        rivals = [
            other
            for other, grid in self._predicted.items()
            if other != case and isinstance(grid, Grid) and grid.has_voxels_of(predicted)
        ]
        if len(fitting) > 1 or rivals:
            what = [series.name for series in fitting] if len(fitting) > 1 else [*rivals, "it"]
            raise ValueError(
                f"{file} can't be told apart by its voxels, which {', '.join(what)} share: "
                "export it alone, with the folder of its series"
            )
        return fitting[0]

    @staticmethod
    def _known(grid: Grid | str) -> Grid:
        if isinstance(grid, str):
            raise ValueError(grid)
        return grid


def on_grid(prediction: sitk.Image, grid: Grid) -> np.ndarray:
    """The labels (Z, Y, X) on the grid of a series that has the same voxels."""
    x, y, z = grid.size
    reference = grid.put(sitk.Image(x, y, z, sitk.sitkUInt8))
    nearest = sitk.Resample(
        prediction, reference, sitk.Transform(), sitk.sitkNearestNeighbor, 0, prediction.GetPixelID()
    )
    return sitk.GetArrayFromImage(nearest)


def _grid_or_problem(source: Series | Path) -> Grid | str:
    """A case's problem is its own: it must not end the export of the others."""
    if isinstance(source, Series):
        try:
            return grid_of(source)
        except ValueError as error:
            return str(error)
    try:
        reader = read_header(source, "mend or replace it")
    except ValueError as error:
        return str(error)
    if reader.GetDimension() != 3:
        return f"{source} has {reader.GetDimension()} axes, but label maps have 3: replace it"
    return Grid.of(reader)
