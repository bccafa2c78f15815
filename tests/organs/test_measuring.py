import gzip
import json
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
import tifffile
from batchgenerators.utilities.file_and_folder_operations import write_pickle

from nnunetv2_focusnet.organs.dataset_json import DatasetJson
from nnunetv2_focusnet.organs.measuring import measure_organs
from nnunetv2_focusnet.organs.organ import Organ

SHAPE = (8, 10, 12)  # (z, y, x)
SPACING = (2.0, 1.0, 0.5)  # (z, y, x) in mm: a voxel has 1 mm3
ORIGIN = (10.0, -250.0, 0.0)  # (x, y, z)
DATASET = DatasetJson("dataset.json", {"Brain": 1, "Lens": 2}, ".nii.gz", ignore_label=3)
CACHE = "focusnet_organs.json"


def plans(transpose_forward: Sequence[int] = (0, 1, 2)) -> dict:
    fullres = {
        "data_identifier": "nnUNetPlans_3d_fullres",
        "architecture": {},
        "spacing": [2.0, 1.0, 0.5],
        "patch_size": [7, 32, 32],
    }
    return {
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": list(transpose_forward),
        "configurations": {
            "2d": fullres | {"data_identifier": "nnUNetPlans_2d", "spacing": [1.0, 0.5], "patch_size": [32, 32]},
            "3d_fullres": fullres,
            "3d_large": {"inherits_from": "3d_fullres", "patch_size": [16, 32, 32]},
        },
    }


def write_label(
    folder: Path, case: str, boxes: dict[float, tuple[int, int, int]], corner: int = 1, **geometry: Sequence[float]
) -> Path:
    """A label file with one box of the given size (z, y, x) per label, side by side from the corner on along x."""
    labels = np.zeros(SHAPE, dtype=np.float32)
    x = corner
    for label, (dz, dy, dx) in boxes.items():
        labels[corner : corner + dz, corner : corner + dy, x : x + dx] = label
        x += dx
    image = sitk.GetImageFromArray(labels)
    image.SetSpacing(SPACING[::-1])
    image.SetOrigin(ORIGIN)
    for name, value in geometry.items():
        getattr(image, f"Set{name.capitalize()}")(value)
    path = folder / "gt_segmentations" / f"{case}.nii.gz"
    path.parent.mkdir(exist_ok=True)
    sitk.WriteImage(image, str(path))
    return path


def write_properties(folder: Path, case: str, transpose_forward: Sequence[int] = (0, 1, 2), **changed: object) -> None:
    """What preprocessing keeps of the image that fits :func:`write_label`."""
    properties = {
        "sitk_stuff": {"spacing": SPACING[::-1], "origin": ORIGIN, "direction": (1, 0, 0, 0, 1, 0, 0, 0, 1)},
        "spacing": list(SPACING),
        "shape_before_cropping": tuple(SHAPE[axis] for axis in transpose_forward),
    }
    (folder / "nnUNetPlans_3d_fullres").mkdir(exist_ok=True)
    write_pickle(properties | changed, str(folder / "nnUNetPlans_3d_fullres" / f"{case}.pkl"))


def measure(folder: Path, num_processes: int = 1) -> list[Organ]:
    return measure_organs(folder, plans(), DATASET, num_processes)


@pytest.fixture
def two_cases(tmp_path: Path) -> Path:
    write_label(tmp_path, "a", {1: (3, 4, 6), 2: (1, 2, 2)})
    write_label(tmp_path, "b", {1: (5, 6, 8)})
    return tmp_path


# ---- measuring ----


def test_boxes_of_known_size(two_cases: Path) -> None:
    brain, lens = measure(two_cases)
    # 3 x 4 x 6 and 5 x 6 x 8 voxels of 1 mm3, 2 x 1 x 0.5 mm each
    assert brain == Organ("Brain", 1, (72 + 240) / 2, ((6 + 10) / 2, (4 + 6) / 2, (3 + 4) / 2), 2, (72.0, 240.0))
    assert brain.diameter_mm == pytest.approx((8 + 5 + 3.5) / 3)
    assert lens == Organ("Lens", 2, 4.0, (2.0, 2.0, 1.0), 2, (4.0, 4.0))  # looked for in both cases, found in one


def test_cases_that_were_taken_out_of_the_dataset_do_not_count(two_cases: Path) -> None:
    """nnU-Net's preprocessing removes what it made of them, but not their labels; a fault in them doesn't matter."""
    for case in ("a", "b"):
        write_properties(two_cases, case)
    before = measure(two_cases)
    write_label(two_cases, "taken_out", {1: (9, 9, 9)})
    write_label(two_cases, "faulty", {77: (1, 1, 1)})
    assert measure(two_cases) == before


def test_an_organ_in_two_pieces_extends_over_both(tmp_path: Path) -> None:
    path = write_label(tmp_path, "a", {1: (1, 1, 1), 3: (1, 1, 6), 2: (1, 1, 1)})
    image = sitk.ReadImage(str(path))
    image[10, 1, 1] = 1  # x = 1 and x = 10
    sitk.WriteImage(image, str(path))
    assert measure(tmp_path)[0] == Organ("Brain", 1, 2.0, (2.0, 1.0, 5.0), 1, (2.0, 2.0))


def test_extents_are_in_the_order_of_the_networks_axes(two_cases: Path) -> None:
    for case in ("a", "b"):
        write_properties(two_cases, case, transpose_forward=(2, 0, 1))
    lens = measure_organs(two_cases, plans(transpose_forward=(2, 0, 1)), DATASET, 1)[1]
    assert lens.extent_mm == (1.0, 2.0, 2.0)  # x, z, y
    brain = measure_organs(two_cases, plans(transpose_forward=(2, 0, 1)), DATASET, 1)[0]
    assert brain.extent_mm == (3.5, 8.0, 5.0)


def test_a_case_of_background_only_is_fine(two_cases: Path) -> None:
    before = measure(two_cases)
    write_label(two_cases, "empty", {})
    assert measure(two_cases) == [replace(organ, num_cases=3) for organ in before]


def test_several_processes_measure_the_same(tmp_path: Path) -> None:
    for size in (3, 5, 7):
        write_label(tmp_path, f"case{size}", {1: (size, 4, 3), 2: (1, size, 2)}, Spacing=(1 / 3, 0.7, size / 9))
    alone = measure(tmp_path)
    cached = (tmp_path / CACHE).read_text()
    (tmp_path / CACHE).unlink()
    assert measure(tmp_path, num_processes=2) == alone
    assert (tmp_path / CACHE).read_text() == cached


def test_spacing_of_the_image_counts_where_the_label_files_format_keeps_none(two_cases: Path) -> None:
    tif = {"spacing": [4.0, 2.0, 1.0], "shape_before_cropping": SHAPE}
    write_pickle_without_orientation(two_cases, "a", tif)
    assert measure(two_cases)[1].volume_mm3 == 4 * 8
    write_pickle_without_orientation(two_cases, "a", tif | {"spacing": [1.0, 1.0, 1.0]})
    assert measure(two_cases)[1].volume_mm3 == 4  # not from the cache


def write_pickle_without_orientation(folder: Path, case: str, properties: dict) -> None:
    (folder / "nnUNetPlans_2d").mkdir(exist_ok=True)
    write_pickle(properties, str(folder / "nnUNetPlans_2d" / f"{case}.pkl"))


# ---- cache ----


def test_only_a_changed_file_is_measured_again(two_cases: Path) -> None:
    measure(two_cases)
    content = json.loads((two_cases / CACHE).read_text())
    for entry in content["files"].values():
        entry["labels"]["1"]["volume_mm3"] = 1000.0  # tells what came from the cache
    (two_cases / CACHE).write_text(json.dumps(content))
    assert measure(two_cases)[0].volume_mm3 == 1000.0

    write_label(two_cases, "b", {1: (1, 2, 3)})
    assert measure(two_cases)[0].volume_mm3 == (1000 + 6) / 2

    (two_cases / "gt_segmentations" / "b.nii.gz").unlink()
    write_label(two_cases, "c", {1: (1, 2, 3)})
    assert measure(two_cases)[0].volume_mm3 == (1000 + 6) / 2
    assert [p.name for p in two_cases.iterdir() if p.is_file()] == [CACHE]
    assert json.loads((two_cases / CACHE).read_text())["files"].keys() == {"a.nii.gz", "c.nii.gz"}


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"version": 2}', '{"version": 2, "files": {"a.nii.gz": {"key": 1}}}']
)
def test_a_damaged_cache_is_replaced(two_cases: Path, content: str) -> None:
    expected = measure(two_cases)
    intact = (two_cases / CACHE).read_text()
    (two_cases / CACHE).write_text(content)
    with pytest.warns(UserWarning, match=f"{CACHE} can't be used"):
        assert measure(two_cases) == expected
    assert (two_cases / CACHE).read_text() == intact


@pytest.mark.parametrize("size", ["0.0", "-72.0", "NaN", "Infinity", "1e999", '"72.0"', "null", "true", "[72.0]"])
@pytest.mark.parametrize("key", ["volume_mm3", "extent_mm"])
def test_sizes_that_cannot_be_are_measured_anew(two_cases: Path, key: str, size: str) -> None:
    expected = measure(two_cases)
    content = json.loads((two_cases / CACHE).read_text())
    sizes = content["files"]["b.nii.gz"]["labels"]["1"]
    sizes[key] = "SIZE" if key == "volume_mm3" else [10.0, "SIZE", 4.0]
    (two_cases / CACHE).write_text(json.dumps(content).replace('"SIZE"', size))
    with pytest.warns(UserWarning, match=f"{CACHE} can't be used"):
        assert measure(two_cases) == expected


@pytest.mark.parametrize("extent", [[], [10.0], [10.0, 6.0], [10.0, 6.0, 4.0, 1.0], {}, 3.0, None])
def test_extents_of_another_form_are_measured_anew(two_cases: Path, extent: object) -> None:
    expected = measure(two_cases)
    content = json.loads((two_cases / CACHE).read_text())
    content["files"]["b.nii.gz"]["labels"]["1"]["extent_mm"] = extent
    (two_cases / CACHE).write_text(json.dumps(content))
    with pytest.warns(UserWarning, match=f"{CACHE} can't be used"):
        assert measure(two_cases) == expected


def test_a_cache_that_cannot_be_written_stops_nothing(two_cases: Path) -> None:
    (two_cases / CACHE).mkdir()  # not even root can replace it by a file
    with pytest.warns(UserWarning, match="can't be used"), pytest.warns(UserWarning, match="can't be written"):
        assert measure(two_cases)[1].volume_mm3 == 4.0
    assert sorted(p.name for p in two_cases.iterdir()) == [CACHE, "gt_segmentations"]


def test_what_was_measured_before_a_faulty_file_is_kept(two_cases: Path) -> None:
    (two_cases / "gt_segmentations" / "b.nii.gz").write_bytes(b"no image")
    with pytest.raises(ValueError, match="can't be read"):
        measure(two_cases)
    assert json.loads((two_cases / CACHE).read_text())["files"].keys() == {"a.nii.gz"}


# ---- organs that aren't annotated ----


def annotated(**cases: tuple[str, ...]) -> DatasetJson:
    return replace(DATASET, annotated=cases)


def test_number_of_cases_an_organ_is_annotated_in(two_cases: Path) -> None:
    write_label(two_cases, "c", {2: (1, 2, 2)})
    complete = measure(two_cases)
    assert [organ.num_cases for organ in complete] == [3, 3]
    brain, lens = measure_organs(two_cases, plans(), annotated(b=("Brain",), c=("Lens",), a=("Lens", "Brain")), 1)
    assert (brain, lens) == (replace(complete[0], num_cases=2), replace(complete[1], num_cases=2))


def test_voxels_of_an_organ_that_is_not_annotated(two_cases: Path) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011
        measure_organs(two_cases, plans(), annotated(a=("Brain",)), 1)
    assert_one_line(error, f"{two_cases / 'gt_segmentations' / 'a.nii.gz'} holds Lens,", "for a:")


def test_annotations_of_test_cases_change_nothing_in_training(two_cases: Path) -> None:
    training = annotated(b=("Brain",))
    with_test_cases = replace(training, annotated_test={"test1": ("Brain",), "test2": ()})
    measured = measure_organs(two_cases, plans(), with_test_cases, 1)
    assert measured == measure_organs(two_cases, plans(), training, 1)
    assert [organ.num_cases for organ in measured] == [2, 1]


# ---- faulty labels ----


def assert_one_line(error: pytest.ExceptionInfo[ValueError], *parts: str) -> None:
    message = str(error.value)
    assert "\n" not in message
    for part in parts:
        assert part in message


@pytest.mark.parametrize("num_processes", [1, 2])
def test_unreadable_file(two_cases: Path, num_processes: int) -> None:
    path = two_cases / "gt_segmentations" / "b.nii.gz"
    path.write_bytes(b"no image")
    with pytest.raises(ValueError) as error:  # noqa: PT011
        measure(two_cases, num_processes)
    assert_one_line(error, str(path), "can't be read")


def without_its_last_byte(content: bytes) -> bytes:
    return content[:-1]


def three_quarters(content: bytes) -> bytes:
    return content[: len(content) * 3 // 4]


def compressed_when_it_was_cut_off(content: bytes) -> bytes:
    return gzip.compress(gzip.decompress(content)[:-1])


@pytest.mark.parametrize("reader", ["SimpleITKIO", "NibabelIO"])
@pytest.mark.parametrize("cut", [without_its_last_byte, three_quarters, compressed_when_it_was_cut_off])
def test_a_file_that_is_cut_off(two_cases: Path, reader: str, cut: Callable[[bytes], bytes]) -> None:
    """Of the first, both readers return all voxels; of the others, SimpleITK returns zeros in place of the last."""
    path = write_label(two_cases, "b", {1: (5, 6, 8)})
    path.write_bytes(cut(path.read_bytes()))
    with pytest.raises(ValueError) as error:  # noqa: PT011
        measure_organs(two_cases, plans() | {"image_reader_writer": reader}, DATASET, 1)
    assert_one_line(error, f"{path} can't be read, it is cut off", "labelsTr", "nnUNetv2_preprocess")


def test_a_tiff_without_its_last_pages(two_cases: Path) -> None:
    for case in ("a", "b"):
        (two_cases / "gt_segmentations" / f"{case}.nii.gz").unlink()
        labels = np.zeros(SHAPE, np.uint8)
        labels[1:4, 2:5, 2:5], labels[5, 5, 5] = 1, 2
        tifffile.imwrite(two_cases / "gt_segmentations" / f"{case}.tif", labels, compression="zlib")
    of_tiff = plans() | {"image_reader_writer": "Tiff3DIO"}, replace(DATASET, file_ending=".tif")
    assert [organ.volume_mm3 for organ in measure_organs(two_cases, *of_tiff, 1)] == [27, 1]
    path = two_cases / "gt_segmentations" / "b.tif"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError) as error:  # noqa: PT011
        measure_organs(two_cases, *of_tiff, 1)
    assert_one_line(error, f"{path} can't be read, it is cut off")


def test_a_file_with_sheared_axes(two_cases: Path) -> None:
    path = two_cases / "gt_segmentations" / "b.nii.gz"
    affine = np.diag([-0.5, -1, 2, 1])
    affine[0, 2] = 0.3
    image = nib.Nifti1Image(np.zeros(SHAPE[::-1], np.uint8), affine)
    image.header.set_qform(None, 0)
    nib.save(image, path)
    with pytest.raises(ValueError) as error:  # noqa: PT011
        measure(two_cases)
    assert_one_line(error, f"{path} can't be read as a label file, its axes aren't at right angles", "resample it")


def test_files_of_macos_are_no_label_files(two_cases: Path) -> None:
    (two_cases / "gt_segmentations" / "._a.nii.gz").write_bytes(b"of macOS")
    assert [organ.num_cases for organ in measure(two_cases)] == [2, 2]


@pytest.mark.parametrize("value", [0.5, -1, 70000])
def test_values_that_are_no_labels(two_cases: Path, value: float) -> None:
    path = write_label(two_cases, "b", {1: (1, 1, 1), value: (1, 1, 1)})
    with pytest.raises(ValueError) as error:  # noqa: PT011
        measure(two_cases)
    assert_one_line(error, f"{path} holds the value {value:g},")


@pytest.mark.parametrize("reader", ["SimpleITKIO", "NibabelIO"])
def test_values_that_are_no_numbers(two_cases: Path, reader: str) -> None:
    """SimpleITK reads 0 in their place."""
    path = write_label(two_cases, "b", {1: (1, 1, 1), float("nan"): (1, 1, 1)})
    with pytest.raises(ValueError) as error:  # noqa: PT011
        measure_organs(two_cases, plans() | {"image_reader_writer": reader}, DATASET, 1)
    assert_one_line(error, f"{path} can't be read, it holds NaN or infinite values")


def test_label_values_outside_dataset_json(two_cases: Path) -> None:
    path = write_label(two_cases, "b", {1: (1, 1, 1), 7: (1, 1, 1), 3: (1, 1, 1), 4: (1, 1, 1)})
    for _ in range(2):  # also when it comes from the cache
        with pytest.raises(ValueError) as error:  # noqa: PT011
            measure(two_cases)
        assert_one_line(error, f"{path} holds the label values 4, 7,")


def test_a_label_that_never_occurs(two_cases: Path) -> None:
    (two_cases / "gt_segmentations" / "a.nii.gz").unlink()
    with pytest.raises(ValueError) as error:  # noqa: PT011
        measure(two_cases)
    assert_one_line(error, "Lens (label 2)", str(two_cases / "gt_segmentations"))


def test_no_label_files(tmp_path: Path) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011
        measure(tmp_path)
    assert_one_line(error, str(tmp_path / "gt_segmentations"), "nnUNetv2_preprocess")


@pytest.mark.parametrize(
    ("name", "value"),
    [("spacing", (0.5, 1.0, 2.03)), ("origin", (12.0, -250.0, 0.0)), ("direction", (-1, 0, 0, 0, -1, 0, 0, 0, 1))],
)
def test_label_file_that_is_not_on_its_images_grid(two_cases: Path, name: str, value: tuple[float, ...]) -> None:
    path = write_label(two_cases, "b", {1: (1, 1, 1)}, **{name: value})
    write_properties(two_cases, "b")
    with pytest.raises(ValueError) as error:  # noqa: PT011
        measure(two_cases)
    assert_one_line(error, f"{path} has {name}")


def test_label_file_a_thin_slice_off_in_a_scanners_far_coordinates(two_cases: Path) -> None:
    thin = (0.5, 1.0, 1.0)
    write_label(two_cases, "b", {1: (1, 1, 1)}, spacing=thin, origin=(10.0, -250.0, -1201.0))
    far = {"spacing": thin, "origin": (10.0, -250.0, -1200.0), "direction": (1, 0, 0, 0, 1, 0, 0, 0, 1)}
    write_properties(two_cases, "b", sitk_stuff=far)
    with pytest.raises(ValueError) as error:  # noqa: PT011
        measure(two_cases)
    assert_one_line(error, "b.nii.gz has origin (10, -250, -1201), but its image has (10, -250, -1200)")


@pytest.mark.parametrize(("shift_mm", "same"), [(0.0, True), (1.0, False)])
def test_grids_of_nibabels_readers(two_cases: Path, shift_mm: float, same: bool) -> None:
    """NIfTI's axes point right, anterior, superior: x and y have the other sign than in SimpleITK."""
    write_label(two_cases, "b", {1: (1, 1, 1), 2: (1, 1, 1)}, origin=(10.0, -250.0, -1200.0))
    affine = np.diag([-0.5, -1.0, 2.0, 1.0])
    affine[:3, 3] = -10.0, 250.0, -1200.0 + shift_mm
    write_properties(two_cases, "b", sitk_stuff={}, nibabel_stuff={"original_affine": affine})
    with nullcontext() if same else pytest.raises(ValueError, match=r"b\.nii\.gz has origin .*-1200.*-1199"):
        assert measure_organs(two_cases, plans() | {"image_reader_writer": "NibabelIO"}, DATASET, 1)


def test_label_file_of_another_shape_than_its_image(two_cases: Path) -> None:
    write_properties(two_cases, "b", shape_before_cropping=(8, 12, 10))
    with pytest.raises(ValueError) as error:  # noqa: PT011
        measure(two_cases)
    assert_one_line(error, "b.nii.gz has shape [8, 10, 12], but its image has [8, 12, 10]")


def test_rounding_in_the_header_is_no_difference(two_cases: Path) -> None:
    write_label(two_cases, "b", {1: (1, 1, 1)}, origin=(10.00005, -250.0, 1e-5), spacing=(0.50001, 1.0, 2.0))
    for case in ("a", "b"):
        write_properties(two_cases, case)
    assert measure(two_cases)[0].num_cases == 2


def test_damaged_properties(two_cases: Path) -> None:
    write_properties(two_cases, "b")
    path = two_cases / "nnUNetPlans_3d_fullres" / "b.pkl"
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(ValueError) as error:  # noqa: PT011
        measure(two_cases)
    assert_one_line(error, str(path), "nnUNetv2_preprocess")
