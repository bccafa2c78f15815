"""Files as broken copies, full disks and aborted downloads leave them. What the readers below would make of them was
seen with SimpleITK 2.5: zeros, or what the memory held, in place of what is missing.
"""

import contextlib
import gzip
import logging
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
import tifffile

from nnunetv2_focusnet.images.reading import check_file, read_header, read_image, read_labels, read_volume

ARRAY = np.random.default_rng(0).integers(-1000, 1000, (6, 20, 24)).astype(np.int16)  # noise, so that it isn't packed
SPACING, ORIGIN = (0.5, 1.0, 2.5), (-10.0, 5.0, -40.0)


def write(path: Path, array: np.ndarray = ARRAY, compressed: bool = False) -> Path:
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(SPACING)
    image.SetOrigin(ORIGIN)
    sitk.WriteImage(image, str(path), useCompression=compressed)
    return path


def refusal(path: Path, read: Callable[[Path], object] = read_image) -> str:
    """The line, which must name the file, without a warning before it."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError) as error:  # noqa: PT011 - returned to be looked at
            read(path)
    message = str(error.value)
    assert "\n" not in message
    assert message.startswith(f"{path} ")
    return message.removeprefix(f"{path} ")


# name, compressed, file that holds the voxels
FILES = [
    ("a.nii", False, "a.nii"),
    ("a.nii.gz", True, "a.nii.gz"),
    ("a.hdr", False, "a.img"),
    ("a.img.gz", True, "a.img.gz"),
    ("a.nrrd", False, "a.nrrd"),
    ("a.nrrd", True, "a.nrrd"),
    ("a.nhdr", False, "a.raw"),
    ("a.nhdr", True, "a.raw.gz"),
    ("a.mha", False, "a.mha"),
    ("a.mha", True, "a.mha"),
    ("a.mhd", False, "a.raw"),
    ("a.mhd", True, "a.zraw"),
    ("a.gipl", False, "a.gipl"),
    ("a.gipl.gz", True, "a.gipl.gz"),
]


@pytest.mark.parametrize(("name", "compressed", "data"), FILES)
def test_a_whole_file_is_read_and_one_that_lacks_as_much_as_a_byte_is_refused(
    tmp_path: Path, name: str, compressed: bool, data: str
) -> None:
    file, holder = write(tmp_path / name, compressed=compressed), tmp_path / data
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read_volume(file)), ARRAY)
    assert read_header(file).GetSize() == (24, 20, 6)
    whole = holder.read_bytes()
    assert compressed == (len(whole) < ARRAY.nbytes)
    for kept in (len(whole) - 1, len(whole) - 4, len(whole) * 9 // 10, len(whole) // 2):
        holder.write_bytes(whole[:kept])
        for read in (read_image, read_header, check_file):
            assert refusal(file, read).startswith("can't be read, it is cut off: ")


@pytest.mark.parametrize(
    ("name", "data"), [("a.nii.gz", "a.nii.gz"), ("a.nhdr", "a.raw.gz"), ("a.nrrd", "a.nrrd"), ("a.mha", "a.mha")]
)
def test_a_checksum_that_is_wrong(tmp_path: Path, name: str, data: str) -> None:
    file, holder = write(tmp_path / name, compressed=True), tmp_path / data
    content = bytearray(holder.read_bytes())
    content[-1 if name == "a.mha" else -8] ^= 255  # zlib's stands at the end, gzip's before the length
    holder.write_bytes(content)
    assert "its compressed data is damaged" in refusal(file)


def test_compressed_data_that_ends_well_but_too_early(tmp_path: Path) -> None:
    """348 bytes of header and 4 without extensions, then 6 x 20 x 24 voxels of 2 bytes, less 10."""
    file = write(tmp_path / "a.nii.gz")
    file.write_bytes(gzip.compress(gzip.decompress(file.read_bytes())[:-10]))
    assert "its header asks for 5760 bytes of voxels, it holds 5750" in refusal(file)


def test_gzip_of_several_members_is_whole_if_all_of_them_are(tmp_path: Path) -> None:
    """As bgzip writes, and as two files that were concatenated."""
    file = write(tmp_path / "a.nii.gz")
    content = gzip.decompress(file.read_bytes())
    members = [gzip.compress(content[start : start + 100]) for start in range(0, len(content), 100)]
    file.write_bytes(b"".join(members))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read_volume(file)), ARRAY)
    file.write_bytes(b"".join(members[:-1]))
    assert "it is cut off" in refusal(file)
    file.write_bytes(b"".join(members)[:-1])
    assert "it is cut off" in refusal(file)


def test_padding_after_the_voxels_does_no_harm(tmp_path: Path) -> None:
    file = write(tmp_path / "a.nii")
    file.write_bytes(file.read_bytes() + bytes(512))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read_volume(file)), ARRAY)


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_tiff_whose_last_pages_are_missing(tmp_path: Path, compression: str | None) -> None:
    """tifffile, which nnU-Net reads with, returns the pages that are left."""
    file = tmp_path / "a.tif"
    tifffile.imwrite(file, ARRAY, compression=compression)
    assert read_volume(file).GetSize() == (24, 20, 6)
    whole = file.read_bytes()
    for kept in (len(whole) // 2, len(whole) * 9 // 10):
        file.write_bytes(whole[:kept])
        assert "it is cut off" in refusal(file, check_file)


def test_tiffs_that_are_checked_in_several_threads_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What tifffile misses is known from its log alone, which all threads share. Where they checked at the same time,
    logging now and then lost the filter of a file that was cut off, as it goes through a list that others changed.
    """
    files = [tmp_path / f"{name}.tif" for name in "abcdef"]
    for file in files:
        tifffile.imwrite(file, ARRAY)
    for file in files[::2]:
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    meeting = threading.Barrier(2)
    opened = tifffile.TiffFile

    def open_with_another(path: Path) -> tifffile.TiffFile:
        with contextlib.suppress(threading.BrokenBarrierError):
            meeting.wait(0.2)
        return opened(path)

    def is_refused(file: Path) -> bool:
        try:
            check_file(file)
        except ValueError:
            return True
        return False

    monkeypatch.setattr(tifffile, "TiffFile", open_with_another)
    with ThreadPoolExecutor(len(files)) as threads:
        assert list(threads.map(is_refused, files)) == [True, False] * 3
    assert meeting.broken  # no two of them were at it at the same time


def test_a_tiff_is_not_blamed_for_what_another_thread_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "a.tif"
    tifffile.imwrite(file, ARRAY)
    opened = tifffile.TiffFile

    def open_beside_another(path: Path) -> tifffile.TiffFile:
        other = threading.Thread(target=logging.getLogger("tifffile").error, args=["invalid page offset"])
        other.start()
        other.join()
        return opened(path)

    monkeypatch.setattr(tifffile, "TiffFile", open_beside_another)
    check_file(file)
    assert caplog.messages == ["invalid page offset"]


def test_a_tiff_without_its_last_byte(tmp_path: Path) -> None:
    """ITK writes a tag's value after the voxels."""
    file = write(tmp_path / "a.tif")
    assert read_volume(file).GetSize() == (24, 20, 6)
    file.write_bytes(file.read_bytes()[:-1])
    assert "it is cut off" in refusal(file, check_file)


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nrrd", "a.mha"])
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is empty"),
        (b"<!DOCTYPE html><html><title>Log in</title></html>", "it is neither NIfTI, NRRD, MetaImage, GIPL nor TIFF"),
        (b"zz", "it is neither NIfTI"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
            "pointer, not the file itself: run git",
        ),
        (gzip.compress(b"", mtime=0), "it is empty"),  # without the time, which would be in the name of the test
    ],
)
def test_files_that_are_no_images(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    assert reason in refusal(file)


def test_a_file_that_is_not_there_and_one_that_is_a_folder(tmp_path: Path) -> None:
    assert refusal(tmp_path / "a.nii.gz") == "can't be read, it doesn't exist: copy it there again"
    assert "Is a directory" in refusal(tmp_path)


def test_voxels_in_files_of_their_own_that_are_missing_or_several(tmp_path: Path) -> None:
    file = write(tmp_path / "a.nhdr")
    (tmp_path / "a.raw").unlink()
    assert "its voxels are in a.raw, which can't be read (No such file or directory)" in refusal(file)
    file.write_text(file.read_text().replace("data file: a.raw", "data file: a%02d.raw 1 6 1 2"))
    for page in range(6):
        ARRAY[page].tofile(tmp_path / f"a{page + 1:02d}.raw")
    assert "its voxels are in several files: save it as one file" in refusal(file)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.nrrd", "a.mha"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers(tmp_path: Path, name: str, value: float) -> None:
    """ITK reads 0, water in a CT, where a NIfTI file holds NaN."""
    array = ARRAY.astype(np.float32)
    file = write(tmp_path / name, array)
    assert read_volume(file).GetPixelID() == sitk.sitkFloat32
    array[-1, -1, -1] = value
    assert "it holds NaN or infinite values: replace them" in refusal(write(file, array))


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(
    ("written", "also"),
    [
        ("ElementDataFile = LOCAL", "ElementDataFile = Local"),
        ("CompressedData = True", "CompressedData = 1"),
        ("BinaryData = True", "BinaryData = T"),
        ("ObjectType = Image", "Modality = MET_MOD_CT\nObjectType = Image"),
    ],
)
def test_meta_image_headers_in_other_words(tmp_path: Path, written: str, also: str, compressed: bool) -> None:
    """SimpleITK's own reader takes all of these."""
    file = write(tmp_path / "a.mha", compressed=compressed)
    file.write_bytes(file.read_bytes().replace(written.encode(), also.encode()))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(file))), ARRAY)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read_volume(file)), ARRAY)
    file.write_bytes(file.read_bytes()[:-1])
    assert "it is cut off" in refusal(file)


def test_voxels_that_are_said_to_begin_within_the_header(tmp_path: Path) -> None:
    """ITK reads the header as the first voxels, nibabel what is meant; the standard wants 352 or more."""
    file = write(tmp_path / "a.nii")
    header = nib.Nifti1Header(file.read_bytes()[:348])
    header["vox_offset"] = 0
    file.write_bytes(header.binaryblock + file.read_bytes()[348:])
    assert (sitk.GetArrayFromImage(sitk.ReadImage(str(file))) != ARRAY).any()
    assert "its voxels are said to begin within its header (vox_offset 0): set vox_offset to 352" in refusal(file)


def test_nifti_of_the_second_version_is_not_called_broken(tmp_path: Path) -> None:
    nib.save(nib.Nifti2Image(ARRAY, np.eye(4)), tmp_path / "a.nii.gz")
    assert refusal(tmp_path / "a.nii.gz").endswith("save it again as NIfTI-1 (.nii.gz)")


def nifti(path: Path, affine: np.ndarray) -> Path:
    image = nib.Nifti1Image(np.zeros((4, 5, 6), np.uint8), affine)
    image.header.set_qform(None, 0)
    image.header.set_sform(affine, 1)
    nib.save(image, path)
    return path


def test_axes_that_are_not_at_right_angles(tmp_path: Path) -> None:
    """A step of 2.5 mm along z that goes 0.3 mm aside; ITK refuses NIfTI with such axes, and takes NRRD."""
    affine = np.diag([-1, -1, 2.5, 1])
    affine[0, 2] = 0.3
    header = b"NRRD0004\ntype: uchar\ndimension: 3\nspace: left-posterior-superior\nsizes: 2 2 2\n"
    header += b"space directions: (1,0,0) (0,1,0) (0.3,0,2.5)\nspace origin: (0,0,0)\nencoding: raw\n\n"
    (tmp_path / "a.nrrd").write_bytes(header + bytes(8))
    for file in (nifti(tmp_path / "a.nii.gz", affine), tmp_path / "a.nrrd"):
        for read in (read_image, read_header):
            assert "its axes aren't at right angles (sheared" in refusal(file, read)


def test_nifti_headers_without_a_voxel_size_or_place(tmp_path: Path) -> None:
    """ITK reads a voxel size of 0 or NaN as 1 mm."""
    file = nifti(tmp_path / "a.nii", np.diag([1.0, 1.0, 2.0, 1.0]))
    assert read_volume(file).GetSpacing() == (1.0, 1.0, 2.0)
    whole = file.read_bytes()
    for field, value in (("pixdim", 0), ("pixdim", np.nan), ("srow_x", np.nan)):
        header = nib.Nifti1Header(whole[:348])
        header[field][3] = value
        file.write_bytes(header.binaryblock + whole[348:])
        assert "voxel size of 0, or numbers that aren't finite: correct its header" in refusal(file)


@pytest.mark.parametrize(
    ("array", "kind"),
    [
        (ARRAY[0], "2 axes and 1 numbers"),
        (np.stack([ARRAY, ARRAY]), "4 axes and 1 numbers"),
        (ARRAY.astype(np.complex64), "3 axes and 2 numbers"),
    ],
)
def test_a_volume_has_three_axes_and_one_number_per_voxel(tmp_path: Path, array: np.ndarray, kind: str) -> None:
    file = tmp_path / "a.nrrd"
    image = sitk.JoinSeries([*map(sitk.GetImageFromArray, array)]) if array.ndim == 4 else sitk.GetImageFromArray(array)
    sitk.WriteImage(image, str(file))
    assert f"has {kind} per voxel, but 3 axes and 1 number are needed: replace it" in refusal(file, read_volume)


def test_other_readers_formats_are_left_to_them(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((4, 4), np.uint8)), str(file))
    check_file(file)
    assert "it is neither" in refusal(file)


def test_the_remedy_is_the_callers(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="it is empty: do this"):
        check_file(*(write_empty(tmp_path / "a.nii"), "do this"))


def write_empty(path: Path) -> Path:
    path.touch()
    return path


@pytest.mark.filterwarnings("error")  # NumPy's on casts
@pytest.mark.parametrize("value", [0.5, 1e20, -1e20])
def test_numbers_that_are_no_labels(tmp_path: Path, value: float) -> None:
    file = write(tmp_path / "a.nrrd", np.full((2, 3, 4), value, np.float32))
    with pytest.raises(ValueError, match=r"a\.nrrd holds values that aren't integers"):
        read_labels(file, {"Brain": 1})


def test_a_label_map_that_lacks_its_last_byte(tmp_path: Path) -> None:
    """A byte of gzip's own: SimpleITK reads all voxels."""
    array = np.random.default_rng(0).integers(0, 2, (8, 9, 10)).astype(np.uint8)
    file = write(tmp_path / "a.nii.gz", array)
    np.testing.assert_array_equal(read_labels(file, {"Brain": 1})[0], array)
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ValueError) as error:  # noqa: PT011
        read_labels(file, {"Brain": 1})
    assert str(error.value) == (
        f"{file} can't be read, it is cut off: its compressed data ends early: mend or replace it"
    )
