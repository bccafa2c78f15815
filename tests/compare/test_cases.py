"""Label maps that aren't what their names say."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from nnunetv2_focusnet.compare.cases import read_labels


def save(path: Path, array: np.ndarray) -> Path:
    sitk.WriteImage(sitk.GetImageFromArray(array), str(path), useCompression=True)
    return path


@pytest.mark.filterwarnings("error")  # NumPy's on casts
@pytest.mark.parametrize("value", [0.5, 1e20, -1e20])
def test_numbers_that_are_no_labels(tmp_path: Path, value: float) -> None:
    file = save(tmp_path / "a.nrrd", np.full((2, 3, 4), value, np.float32))
    with pytest.raises(ValueError, match=r"a\.nrrd holds values that aren't integers"):
        read_labels(file, {"Brain": 1})


def test_a_label_map_that_lacks_its_last_byte(tmp_path: Path) -> None:
    """A byte of gzip's own: SimpleITK reads all voxels."""
    array = np.random.default_rng(0).integers(0, 2, (8, 9, 10)).astype(np.uint8)
    file = save(tmp_path / "a.nii.gz", array)
    np.testing.assert_array_equal(read_labels(file, {"Brain": 1})[0], array)
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ValueError) as error:  # noqa: PT011
        read_labels(file, {"Brain": 1})
    assert str(error.value) == (
        f"{file} can't be read, it is cut off: its compressed data ends early: mend or replace it"
    )
