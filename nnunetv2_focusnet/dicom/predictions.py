"""Which CT series a predicted label map belongs to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from nnunetv2_focusnet.dicom import SERIES_FILE
from nnunetv2_focusnet.dicom.series_grid import series_grid
from nnunetv2_focusnet.dicom.tree import Series
from nnunetv2_focusnet.images.grid import Grid
from nnunetv2_focusnet.images.reading import read_header


class Matcher:
    """Finds the series of predictions.

    A case that the dataset's list of series has belongs to the series named there. Otherwise one prediction and one
    series belong together; and of several, a prediction belongs to the only series with the same voxels, as long as no
    other prediction has them, too. A series that the list gives to a case is no other case's.

    Args:
        series: of the DICOM folder.
        predictions: all that are exported.
        uids: SeriesInstanceUID by case, of the dataset that was converted from DICOM; may be empty.
    """

    def __init__(self, series: Sequence[Series], predictions: Mapping[str, Path], uids: Mapping[str, str]) -> None:
        self._series = series
        self._uids = uids
        self._only = len(series) == len(predictions) == 1
        self._grids: dict[str, Grid | str] = {item.uid: _grid_or_problem(item) for item in series}
        self._predicted = {case: _grid_or_problem(file) for case, file in predictions.items()}

    def find(self, case: str, file: Path) -> tuple[Series, Grid]:
        """The series of a case, and its grid.

        Raises:
            ValueError: the file can't be read, no series fits, several do, several predictions fit one, or the list
                gives it to another case.
        """
        predicted = self._known(self._predicted[case])
        series = self._by_uid(case) if case in self._uids else self._unlisted(case, file, predicted)
        grid = self._known(self._grids[series.uid])
        if not grid.has_voxels_of(predicted):
            raise ValueError(
                f"{file} has {predicted}, but {series.name} has {grid}: predict this series, not a changed copy"
            )
        return series, grid

    def _by_uid(self, case: str) -> Series:
        if also := [other for other in self._predicted if other != case and self._uids.get(other) == self._uids[case]]:
            raise ValueError(f"{SERIES_FILE} has one series for {case} and {', '.join(also)}: correct it")
        for series in self._series:
            if series.uid == self._uids[case]:
                return series
        raise ValueError(f"{SERIES_FILE} has a series for {case} that isn't in the DICOM folder: add it there")

    def _unlisted(self, case: str, file: Path, predicted: Grid) -> Series:
        fitting = [
            series
            for series in self._series
            if self._only or (isinstance(grid := self._grids[series.uid], Grid) and grid.has_voxels_of(predicted))
        ]
        if not fitting:
            raise ValueError(f"{file} has {predicted}, as none of the {len(self._series)} CT series: add its series")
        # Those of other cases count among the fitting: else what is left would be taken, right or wrong.
        if owners := [other for other, uid in self._uids.items() if all(series.uid == uid for series in fitting)]:
            raise ValueError(
                f"{file} can't have {fitting[0].name}, which {SERIES_FILE} gives to {' and '.join(owners)}: "
                f"add the series of {case} to the DICOM folder, or name the file by its case in that list"
            )
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


def _grid_or_problem(source: Series | Path) -> Grid | str:
    """A case's problem is its own: it must not end the export of the others."""
    try:
        if isinstance(source, Series):
            return series_grid(source)
        reader = read_header(source, "mend or replace it")
    except ValueError as error:
        return str(error)
    if reader.GetDimension() != 3:
        return f"{source} has {reader.GetDimension()} axes, but label maps have 3: replace it"
    return Grid.of(reader)
