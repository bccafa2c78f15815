"""Files that aren't whole are named before anything is predicted."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from nnunetv2_focusnet.inference.inputs import check_inputs, check_names


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
    check_inputs([[whole, whole], [whole, whole]], [whole], 2)
    check_inputs([[whole]], [], None)
    check_inputs([], [], 1)


def test_each_file_that_is_cut_off_is_named_and_so_are_those_of_the_stage_before(whole: str) -> None:
    with pytest.raises(ValueError, match=r"b_0000.nii.gz can't be read, it is cut off.*; .*low.nii.gz can't be read"):
        check_inputs([[whole], [cut(whole, "b_0000.nii.gz")]], [cut(whole, "low.nii.gz")], 1)


def test_what_is_no_image_is_named(whole: str) -> None:
    page = Path(whole).with_name("page_0000.nii.gz")
    page.write_text("<html>Not found</html>")
    with pytest.raises(ValueError, match=r"page_0000.nii.gz can't be read, it is neither NIfTI, NRRD"):
        check_inputs([[str(page)]], [], 1)


def test_of_many_the_first_are_named_and_counted(whole: str) -> None:
    with pytest.raises(ValueError, match=r"b4.nii.gz can't be read, it is cut off[^;]*; and 3 more$"):
        check_inputs([[cut(whole, f"b{i}.nii.gz")] for i in range(8)], [], 1)


@pytest.mark.parametrize("others", [0, 1])
def test_a_case_that_lacks_a_channel_is_named(whole: str, others: int) -> None:
    with pytest.raises(ValueError, match=r"has a_0000.nii.gz alone, of 2 channels of that case: put the others there"):
        check_inputs([[whole], *[[whole, whole]] * others], [], 2)


def test_a_folder_of_images_passes(whole: str) -> None:
    folder = Path(whole).parent
    (folder / "dataset.json").write_text("{}")
    check_names(folder, ".nii.gz")


@pytest.mark.parametrize("name", ["Head_001.nii.gz", "Head_001_000.nii.gz", "._a_0000.nii.gz", "_0000.nii.gz"])
def test_files_that_are_not_named_as_images_are_named(whole: str, name: str) -> None:
    folder = Path(whole).parent
    (folder / name).touch()
    with pytest.raises(ValueError, match=rf"^{folder / name} isn't named as nnU-Net's images are \(CASE_0000.nii.gz\)"):
        check_names(folder, ".nii.gz")


def test_a_folder_without_images_is_named(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(ValueError, match=rf"^{folder} has no images to predict \(CASE_0000.nrrd\)$"):
            check_names(folder, ".nrrd")
