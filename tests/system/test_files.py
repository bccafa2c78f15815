"""A file or a folder has its name only when it is complete."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from commands_apart import ended, files_below, largest_file, start
from matplotlib.figure import Figure

from nnunetv2_focusnet.images.writing import save_figure, write_image
from nnunetv2_focusnet.system.files import WriteError, is_unused, make_folder, naming, write_bytes, write_text
from nnunetv2_focusnet.system.new_folder import new_folder

HOLDER = """
import sys, time
from pathlib import Path
from nnunetv2_focusnet.system.new_folder import new_folder

with new_folder(Path(sys.argv[1])) as unfinished:
    (unfinished / "half").write_text("done")
    print("begun", flush=True)
    time.sleep(60)
"""


def test_a_full_disk_leaves_the_file_that_was_there_and_is_named(tmp_path: Path) -> None:
    file = tmp_path / "a name" / "Größen.json"
    make_folder(file.parent)
    write_bytes(file, b"old")
    with largest_file(1000), pytest.raises(WriteError) as error:
        write_bytes(file, bytes(2000))
    assert str(error.value).startswith(f"{file} can't be written (File too large): ")
    assert file.read_bytes() == b"old"
    assert files_below(file.parent) == [file.name]


def test_an_interrupt_while_writing_leaves_the_file_that_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_text(tmp_path / "file", "old")

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_text(tmp_path / "file", "new")
    assert files_below(tmp_path) == ["file"]
    assert (tmp_path / "file").read_text() == "old"


def test_text_is_utf8_and_names_that_are_no_text_are_escaped(tmp_path: Path) -> None:
    write_text(tmp_path / "file", "Müller \udcfc")
    assert (tmp_path / "file").read_bytes() == "Müller ".encode() + rb"\udcfc"


@pytest.mark.parametrize("ending", ["nii.gz", "nii", "nrrd", "mha"])
def test_an_image_that_does_not_fit_is_named_and_removed(tmp_path: Path, ending: str) -> None:
    """Of 16 bits of noise, 120 kB don't fit into 50 kB in any format; ITK itself says nothing where it writes NIfTI."""
    noise = np.random.default_rng(0).integers(0, 2**15, (10, 60, 100)).astype(np.int16)
    file = tmp_path / f"case.{ending}"
    with largest_file(50_000), pytest.raises(WriteError) as error:
        write_image(sitk.GetImageFromArray(noise), file)
    assert str(error.value).startswith(f"{file} can't be written (")
    assert "\n" not in str(error.value)
    assert files_below(tmp_path) == []
    write_image(sitk.GetImageFromArray(noise), file)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(file))), noise)


def test_a_picture_that_does_not_fit_is_named(tmp_path: Path) -> None:
    with largest_file(100), pytest.raises(WriteError, match=r"figure\.png can't be written \(File too large\)"):
        save_figure(Figure(figsize=(1, 1)), tmp_path / "figure.png", dpi=50)
    assert files_below(tmp_path) == []


def test_a_file_in_place_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "folder"):
        with pytest.raises(WriteError, match=r"can't be written \(.*\): a file is where a folder should be"):
            make_folder(path)
    with pytest.raises(WriteError, match="a file is where"), new_folder(tmp_path / "file" / "folder"):
        pass


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "No space left on device): make room on that disk"),
        (errno.EDQUOT, "): make room on that disk"),
        (errno.EROFS, "Read-only file system): name a place where you may write"),
        (errno.EACCES, "Permission denied): name a place where you may write"),
        (errno.EIO, "): check that place"),
    ],
)
def test_what_to_do_depends_on_the_reason(number: int, words: str) -> None:
    """Only one of these can be provoked everywhere, and by root, too."""
    with pytest.raises(WriteError) as error, naming(Path("a b/file")):
        raise OSError(number, os.strerror(number))
    assert str(error.value).startswith("a b/file can't be written (")
    assert words in str(error.value)


def test_a_folder_is_there_when_it_is_complete(tmp_path: Path) -> None:
    folder = tmp_path / "raw" / "Dataset001_A"
    with new_folder(folder) as unfinished:
        (unfinished / "file").touch()
        assert unfinished.name.startswith(".")
        assert not folder.exists()
    assert files_below(tmp_path) == ["raw", "raw/Dataset001_A", "raw/Dataset001_A/file"]
    with pytest.raises(FileExistsError), new_folder(folder):
        pass


def test_a_folder_that_fails_leaves_nothing(tmp_path: Path) -> None:
    for error in (ValueError, KeyboardInterrupt):
        with pytest.raises(error), new_folder(tmp_path / "a") as unfinished:  # noqa: PT012
            (unfinished / "file").touch()
            raise error
    assert files_below(tmp_path) == []


def test_what_a_killed_process_left_goes_and_what_a_running_one_writes_stays(tmp_path: Path) -> None:
    folder = tmp_path / "Dataset001_A"
    with ended(start("-c", HOLDER, str(folder))) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "begun\n"
        of_running = set(files_below(tmp_path))
        with ended(start("-c", HOLDER, str(folder))) as killed:
            assert killed.stdout is not None
            assert killed.stdout.readline() == "begun\n"
        assert killed.returncode == -signal.SIGKILL
        assert len(files_below(tmp_path)) == 2 * len(of_running)
        with new_folder(folder):
            pass
        assert set(files_below(tmp_path)) == {folder.name, *of_running}


def test_of_two_that_make_one_folder_the_second_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    with pytest.raises(WriteError, match=r"a can't be written \(.*\): somebody else has made it"):  # noqa: PT012, SIM117
        with new_folder(folder) as second:
            (second / "of second").touch()
            with new_folder(folder) as first:
                (first / "of first").touch()
    assert files_below(tmp_path) == ["a", "a/of first"]


def test_a_folder_in_which_a_killed_process_was_about_to_write_is_unused(tmp_path: Path) -> None:
    script = """
import os, signal, sys
from pathlib import Path
from nnunetv2_focusnet.system.files import write_text
Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
write_text(Path(sys.argv[1]), "state")
"""
    assert is_unused(tmp_path / "nothing")
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "state.json")], check=False)
    assert len(files_below(tmp_path)) == 1
    assert is_unused(tmp_path)
    write_text(tmp_path / "state.json", "state")
    assert not is_unused(tmp_path)


def test_a_folder_in_which_only_the_finder_has_been_is_unused(tmp_path: Path) -> None:
    (tmp_path / ".DS_Store").touch()
    assert is_unused(tmp_path)
    (tmp_path / "thesis.txt").touch()
    assert not is_unused(tmp_path)
