"""DICOM in and out: CT series, RT structure sets, segmentations. Its libraries are an extra of this package."""

from importlib.util import find_spec

SERIES_FILE = "dicom_series.json"  # in a converted dataset: the SeriesInstanceUID of each case
LIBRARIES = ("pydicom", "highdicom", "contourpy")


def check_libraries() -> None:
    """Call this before any module of this folder is imported.

    Raises:
        ValueError: a library of the extra is missing.
    """
    if missing := [library for library in LIBRARIES if find_spec(library) is None]:
        raise ValueError(f'DICOM needs {", ".join(missing)}: run pip install "nnunetv2-focusnet[dicom]"')
