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


def cut(file: str, name: str) -> Path:
    content = Path(file).read_bytes()
    path = Path(file).with_name(name)
    path.write_bytes(content[: len(content) // 2])
    return path


def test_whole_files_pass(whole: str) -> None:
    check_inputs([Path(whole)] * 3)
    check_inputs([])


def test_each_file_that_is_cut_off_is_named(whole: str) -> None:
    with pytest.raises(ValueError, match=r"b_0000.nii.gz can't be read, it is cut off.*; .*low.nii.gz can't be read"):
        check_inputs([Path(whole), cut(whole, "b_0000.nii.gz"), cut(whole, "low.nii.gz")])


@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd", ".tif"])
def test_what_is_no_image_is_named(tmp_path: Path, ending: str) -> None:
    page = tmp_path / f"page_0000{ending}"
    page.write_text("<html>Not found</html>")
    with pytest.raises(ValueError, match=rf"page_0000{ending} can't be read, it is neither NIfTI, NRRD"):
        check_inputs([page])


def test_of_many_the_first_are_named_and_counted(whole: str) -> None:
    with pytest.raises(ValueError, match=r"b4.nii.gz can't be read, it is cut off[^;]*; and 3 more$"):
        check_inputs([cut(whole, f"b{i}.nii.gz") for i in range(8)])


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (["a_0000", "b_0000", "b_0001"], "has 0000 of a, and the model takes 0000, 0001:"),
        (["b_0001"], "has 0001 of b, and the model takes 0000, 0001:"),
        (["head_0001", "head_0003"], "has 0001, 0003 of head, and the model takes 0000, 0001:"),
        (["head_0000", "head_0001", "head_0002"], "name patients otherwise"),
    ],
)
def test_cases_with_other_channels_than_the_model_s_are_named(tmp_path: Path, files: list[str], said: str) -> None:
    for name in files:
        (tmp_path / f"{name}.nii.gz").touch()
    with pytest.raises(ValueError, match=said) as raised:
        check_names(tmp_path, ".nii.gz", 2)
    assert " of b," not in str(raised.value) or "b_0000" not in files
    check_names(tmp_path, ".nii.gz", None)  # of readers that take several out of one


def test_a_folder_of_images_passes(whole: str) -> None:
    folder = Path(whole).parent
    (folder / "dataset.json").write_text("{}")
    check_names(folder, ".nii.gz", 1)


@pytest.mark.parametrize("name", ["Head_001.nii.gz", "Head_001_000.nii.gz", "._a_0000.nii.gz", "_0000.nii.gz"])
def test_files_that_are_not_named_as_images_are_named(whole: str, name: str) -> None:
    folder = Path(whole).parent
    (folder / name).touch()
    with pytest.raises(ValueError, match=rf"^{folder / name} isn't named as nnU-Net's images are \(CASE_0000.nii.gz\)"):
        check_names(folder, ".nii.gz", 1)


def test_a_folder_without_images_is_named(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(ValueError, match=rf"^{folder} has no images to predict \(CASE_0000.nrrd\)$"):
            check_names(folder, ".nrrd", 1)
