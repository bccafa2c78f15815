"""Listings of folders, with what glob keeps quiet about."""

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from source_folders import forbid

from nnunetv2_focusnet.system.folders import files_with_ending, folder_from_environment, list_below, list_folder


def touch(*files: Path) -> None:
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()


def relative(paths: list[Path], folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in paths]


def test_files_and_folders_by_their_names(tmp_path: Path) -> None:
    for name in ("b/img.nrrd", "a/img.nrrd", "a/.img.nrrd", "__MACOSX/a/img.nrrd", "a/img.nrrd.txt"):
        touch(tmp_path / name)
    listing = list_below(tmp_path)
    assert relative(listing.matching("img.*rd"), tmp_path) == ["a/img.nrrd", "b/img.nrrd"]
    assert relative(listing.files, tmp_path) == ["a/img.nrrd", "a/img.nrrd.txt", "b/img.nrrd"]
    assert listing.problems() == []


def test_hidden_files_are_no_files_of_a_data_set(tmp_path: Path) -> None:
    touch(*(tmp_path / name for name in ("b.nii.gz", "a.nii.gz", "._a.nii.gz", ".c.nii.gz", "a.nii", ".DS_Store")))
    assert files_with_ending(tmp_path, ".nii.gz") == [tmp_path / "a.nii.gz", tmp_path / "b.nii.gz"]
    assert files_with_ending(tmp_path, ".nii.gz", "b") == [tmp_path / "b.nii.gz"]
    assert relative(list_folder(tmp_path), tmp_path) == ["a.nii", "a.nii.gz", "b.nii.gz"]


def test_nor_are_those_in_hidden_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even where nobody may look into them, as into those of a disk from a Mac."""
    source = tmp_path / ".cache" / "__MACOSX"  # above what is listed, they are the user's choice
    touch(*(source / folder / "img.nrrd" for folder in ("1", "2/deep", ".Trashes/1", "__MACOSX/1", "3/.git")))
    touch(source / "1" / "._img.nrrd")
    forbid(monkeypatch, source / ".Trashes")
    listing = list_below(source)
    assert relative(listing.matching("*img.nrrd"), source) == ["1/img.nrrd", "2/deep/img.nrrd"]
    assert listing.problems() == []


def test_one_folder_that_can_not_be_listed_and_others_that_are_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path / "a" / "file", tmp_path / "file")
    forbid(monkeypatch, tmp_path / "a")
    for look in (list_folder, lambda folder: files_with_ending(folder, "file")):
        with pytest.raises(ValueError, match=r"/a can't be listed \(Permission denied\): change its permissions"):
            look(tmp_path / "a")
        assert look(tmp_path / "b") == []
        assert look(tmp_path / "file") == []


def test_folders_that_can_not_be_listed_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a/x", "a/y", "b"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "file").touch()
    forbid(monkeypatch, tmp_path / "a" / "x", tmp_path / "b")
    listing = list_below(tmp_path)
    assert relative(listing.files, tmp_path) == ["a/y/file"]
    lines = [f"{tmp_path / name} can't be listed (Permission denied): " for name in ("a/x", "b")]
    assert [line.split("change")[0] for line in listing.problems()] == lines
    assert [line.split("change")[0] for line in listing.problems(tmp_path / "a")] == lines[:1]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_folders_of_another_user() -> None:
    """The real thing: permissions, and a user whom they apply to, whom pytest's own folders keep out."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "mine").mkdir()
        (folder / "theirs").mkdir(mode=0o700)
        code = f"""
import os
from pathlib import Path
from nnunetv2_focusnet.system.folders import list_below
os.setuid(65534)
print(*list_below(Path({name!r})).problems())
"""
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.startswith(f"{folder / 'theirs'} can't be listed (Permission denied)")


def test_linked_folders_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    (tmp_path / "elsewhere" / "case").mkdir(parents=True)
    (tmp_path / "elsewhere" / "case" / "img.nrrd").touch()
    source = tmp_path / "source"
    source.mkdir()
    (source / "linked").symlink_to(tmp_path / "elsewhere" / "case")
    (source / "back").symlink_to(source)
    (source / "self").symlink_to(source / "self")
    (source / "nowhere").symlink_to(source / "gone")
    listing = list_below(source)
    assert relative(listing.files, source) == ["linked/img.nrrd", "nowhere", "self"]
    assert listing.problems() == []


@pytest.mark.parametrize("value", [None, ""])
def test_a_variable_has_to_be_set(value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("nnUNet_raw", raising=False)
    if value is not None:
        monkeypatch.setenv("nnUNet_raw", value)
    with pytest.raises(ValueError, match=r"^nnUNet_raw is not set: set it"):
        folder_from_environment("nnUNet_raw")
