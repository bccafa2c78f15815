"""Files that aren't whole are named before anything is predicted."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from nnunetv2_focusnet.inference.inputs import check_inputs


@pytest.fixture
def whole(tmp_path: Path) -> str:
    """An image that isn't compressed to next to nothing."""
    noise = np.random.default_rng(0).random((8, 9, 10), dtype=np.float32)
    sitk.WriteImage(sitk.GetImageFromArray(noise), tmp_path / "a_0000.nii.gz")
    return str(tmp_path / "a_0000.nii.gz")


def cut(file: str, name: str) -> str:
    content = Path(file).read_bytes()
    path = Path(file).with_name(name)
    path.write_bytes(content[: len(content) // 2])
    return str(path)


def test_whole_files_pass_and_so_do_pictures_of_several_channels_in_one_file(whole: str) -> None:
    check_inputs([[whole, whole], [whole, whole]], [whole])
    check_inputs([[whole]], [])
    check_inputs([], [])


def test_each_file_that_is_cut_off_is_named_and_so_are_those_of_the_stage_before(whole: str) -> None:
    with pytest.raises(ValueError, match=r"b_0000.nii.gz can't be read, it is cut off.*; .*low.nii.gz can't be read"):
        check_inputs([[whole], [cut(whole, "b_0000.nii.gz")]], [cut(whole, "low.nii.gz")])


def test_of_many_the_first_are_named_and_counted(whole: str) -> None:
    with pytest.raises(ValueError, match=r"b4.nii.gz can't be read, it is cut off[^;]*; and 3 more$"):
        check_inputs([[cut(whole, f"b{i}.nii.gz")] for i in range(8)], [])


def test_a_case_with_fewer_channels_than_others_is_named(whole: str) -> None:
    with pytest.raises(ValueError, match=r"lacks channels of a case: it has a_0000.nii.gz alone, but 2 of others"):
        check_inputs([[whole, whole], [whole]], [])
