"""A case's files: of the label map that is written, whole or not at all."""

import json
import pickle
import resource
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from nnunetv2.imageio.base_reader_writer import BaseReaderWriter
from nnunetv2.imageio.nibabel_reader_writer import NibabelIO, NibabelIOWithReorient
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO, SimpleITKIOWithReorient
from nnunetv2.inference import export_prediction
from nnunetv2.preprocessing.resampling.default_resampling import resample_data_or_seg_to_shape
from nnunetv2.utilities.label_handling.label_handling import LabelManager
from test_findings import ENTRY, GOOD, HERE, NAMES, labels_of

from nnunetv2_focusnet.inference.export import Export
from nnunetv2_focusnet.laterality import left_end
from nnunetv2_focusnet.system.files import WriteError

DATASET = {"file_ending": ".nii.gz", "labels": {"background": 0} | {name: i for i, name in enumerate(NAMES, 1)}}
ORDER = (2, 0, 1)  # the network's axes are (x, z, y) of the file


class Plans(SimpleNamespace):
    """What nnU-Net's export asks of plans."""

    transpose_forward, transpose_backward = ORDER, (1, 2, 0)
    image_reader_writer_class = SimpleITKIO

    def get_label_manager(self, dataset_json: dict[str, Any]) -> LabelManager:
        return LabelManager(dataset_json["labels"], None)


@pytest.fixture
def head(tmp_path: Path) -> tuple[sitk.Image, dict]:
    """An image of 40 x 8 x 20 voxels (x, y, z), and what preprocessing says of it: nothing was cropped."""
    image = sitk.GetImageFromArray(np.zeros((20, 8, 40), dtype=np.float32))
    image.SetSpacing((2.0, 1.0, 3.0))
    image.SetOrigin((-20.0, 30.0, 5.0))
    sitk.WriteImage(image, tmp_path / "head_0000.nii.gz")
    _, properties = SimpleITKIO().read_images([str(tmp_path / "head_0000.nii.gz")])
    return image, properties | {
        "shape_before_cropping": (40, 20, 8),
        "bbox_used_for_cropping": [[0, 40], [0, 20], [0, 8]],
        "shape_after_cropping_and_before_resampling": (40, 20, 8),
    }


def configuration(spacing: tuple[float, float, float]) -> SimpleNamespace:
    def resample(logits: np.ndarray, shape: Any, current: Any, new: Any) -> np.ndarray:
        return resample_data_or_seg_to_shape(logits, shape, current, new, is_seg=False, order=1, order_z=0)

    return SimpleNamespace(spacing=spacing, resampling_fn_probabilities=resample)


def logits_of(labels: np.ndarray, height: float = 1.0) -> np.ndarray:
    """In the network's axes."""
    return height * np.eye(1 + len(NAMES), dtype=np.float32)[:, labels.transpose(ORDER)]


def export(lens: Any = HERE, entry: Any = ENTRY, size: tuple[int, int, int] = (40, 20, 8)) -> Export:
    along_x = replace(entry, laterality=replace(entry.laterality, axis=0)) if entry else None
    return Export(along_x, {4: lens} if entry else {}, size)


def write(case: Export, logits: np.ndarray, properties: dict, folder: Path, *args: Any) -> None:
    spacing = (2.0, 3.0, 1.0)  # of the preprocessed image; the image's own voxels if it has as many
    case.write(logits, properties, configuration(spacing), Plans(), DATASET, str(folder / "Case_1"), *args)


def test_what_was_found_is_written_beside_the_prediction_and_printed(
    head: tuple[sitk.Image, dict], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image, properties = head
    out = tmp_path / "out"
    out.mkdir()
    lens = replace(HERE, found=False, position=[30, 17, 3])  # (x, z, y)
    sent = pickle.loads(pickle.dumps(export(lens).write))  # as nnU-Net sends it to another process
    write(sent.__self__, logits_of(labels_of(**GOOD)), properties, out)
    assert sorted(path.name for path in out.iterdir()) == ["Case_1.nii.gz", "Case_1_locations.json"]
    assert np.array_equal(sitk.GetArrayFromImage(sitk.ReadImage(out / "Case_1.nii.gz")), labels_of(**GOOD))
    written = json.loads((out / "Case_1_locations.json").read_text())
    assert written["warnings"] == ["Lens_L was not found: the peak of its heat map is 0.90"]
    assert "WARNING: Case_1: Lens_L was not found" in capsys.readouterr().out
    assert list(written["organs"]) == list(NAMES)
    organ = written["organs"]["Lens_L"]
    assert (organ["label"], organ["found"], organ["volume_mm3"]) == (4, False, 48.0)
    assert organ["volume_range_in_training_mm3"] == [40.0, 60.0]
    assert organ["peak"]["voxel"] == [30, 3, 17]
    assert organ["peak"]["mm"] == pytest.approx(image.TransformIndexToPhysicalPoint((30, 3, 17)), abs=0.1)
    assert "peak" not in written["organs"]["Brain"]


@pytest.mark.parametrize("reader", [SimpleITKIO, SimpleITKIOWithReorient, NibabelIO, NibabelIOWithReorient])
@pytest.mark.parametrize("direction", [(1, 0, 0, 0, 1, 0, 0, 0, 1), (0, 0, -1, 1, 0, 0, 0, -1, 0)])
def test_cropped_images_of_any_reader_are_told_of_in_the_network_s_axes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reader: type[BaseReaderWriter], direction: tuple[int, ...]
) -> None:
    monkeypatch.setattr(Plans, "image_reader_writer_class", reader)
    image = sitk.GetImageFromArray(labels_of(**GOOD).astype(np.float32))
    image.SetSpacing((2.0, 1.0, 3.0))
    image.SetDirection(direction)
    sitk.WriteImage(image, tmp_path / "head_0000.nii.gz")
    array, properties = reader().read_images([str(tmp_path / "head_0000.nii.gz")])
    in_network = array[0].transpose(ORDER)
    box = [[2, n] if n > 4 else [0, n] for n in in_network.shape]
    labels = in_network[tuple(slice(*ends) for ends in box)].astype(int)
    properties |= {
        "shape_before_cropping": in_network.shape,
        "bbox_used_for_cropping": box,
        "shape_after_cropping_and_before_resampling": labels.shape,
    }
    lens = np.argwhere(labels == 4)
    axis, at_end = left_end(properties, ORDER)
    entry = replace(ENTRY, laterality=replace(ENTRY.laterality, axis=axis, left_at_end=at_end))
    case = Export(entry, {4: replace(HERE, position=lens[0].tolist())}, labels.shape)
    logits = np.eye(1 + len(NAMES), dtype=np.float32)[:, labels]
    spacing = tuple(properties["spacing"][axis] for axis in ORDER)
    case.write(logits, properties, configuration(spacing), Plans(), DATASET, str(tmp_path / "Case_1"))
    assert np.array_equal(sitk.GetArrayFromImage(sitk.ReadImage(tmp_path / "Case_1.nii.gz")), labels_of(**GOOD))
    organs = json.loads((tmp_path / "Case_1_locations.json").read_text())["organs"]
    assert {organ["volume_mm3"] for organ in organs.values()} == {48.0}
    x, y, z = organs["Lens_L"]["peak"]["voxel"]
    assert labels_of(**GOOD)[z, y, x] == 4


def test_volumes_are_those_of_the_written_label_map(head: tuple[sitk.Image, dict], tmp_path: Path) -> None:
    """On finer voxels than the image's an organ may win one that it loses in the file."""
    _, properties = head
    labels = labels_of(**GOOD).repeat(2, axis=2)
    labels[labels == 4] = 0
    labels[17:19, 3:5, 61] = 4  # the second half of a voxel of the file, the other half being sure background
    logits = logits_of(labels, height=3.0)
    logits[0, 60] = 10.0
    write(export(size=(80, 20, 8)), logits, properties, tmp_path)
    assert not (sitk.GetArrayFromImage(sitk.ReadImage(tmp_path / "Case_1.nii.gz")) == 4).any()
    written = json.loads((tmp_path / "Case_1_locations.json").read_text())
    assert written["warnings"] == ["Lens_L has no voxel"]
    assert written["organs"]["Lens_L"]["volume_mm3"] == 0


@pytest.mark.parametrize(("left_at_end", "axis", "warned"), [(True, 0, False), (False, 0, True), (True, 2, True)])
def test_an_image_that_lies_another_way_than_in_training_is_named(
    head: tuple[sitk.Image, dict], capsys: pytest.CaptureFixture[str], left_at_end: bool, axis: int, warned: bool
) -> None:
    _, properties = head  # whose x runs to the left, the network's first axis
    entry = replace(ENTRY, laterality=replace(ENTRY.laterality, axis=axis, left_at_end=left_at_end))
    case, manager = Export(entry, {}, (40, 20, 8)), Plans().get_label_manager(DATASET)
    labels = case.convert(logits_of(labels_of(**GOOD)), Plans(), configuration((2.0, 3.0, 1.0)), manager, properties)
    assert np.array_equal(labels, labels_of(**GOOD))
    assert ("this image: the patient's left is on another side" in capsys.readouterr().out) == warned


def test_of_a_model_of_another_trainer_nothing_is_said_and_nothing_stays_of_the_model_before(
    head: tuple[sitk.Image, dict], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, properties = head
    write(export(), logits_of(labels_of(Brain=3)), properties, tmp_path, True)
    assert "Lens_L has no voxel" in capsys.readouterr().out
    files = ["Case_1.nii.gz", "Case_1.npz", "Case_1.pkl", "Case_1_locations.json"]
    assert sorted(path.name for path in tmp_path.glob("Case_1*")) == files
    write(export(entry=None), logits_of(labels_of(Brain=30)), properties, tmp_path, True)
    assert capsys.readouterr().out == ""
    assert sorted(path.name for path in tmp_path.glob("Case_1*")) == files[:3]


def test_a_full_disk_leaves_the_prediction_that_was_there(head: tuple[sitk.Image, dict], tmp_path: Path) -> None:
    _, properties = head
    write(export(), logits_of(labels_of(**GOOD)), properties, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    noise = np.random.default_rng(0).random((8, 40, 20, 8), dtype=np.float32)  # can't be compressed
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(WriteError, match=r"Case_1.nii.gz can't be written .* --continue_prediction"):
            write(export(), noise, properties, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_kill_while_writing_leaves_the_prediction_that_was_there(
    head: tuple[sitk.Image, dict], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, properties = head
    write(export(), logits_of(labels_of(**GOOD)), properties, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def begin(*args: Any) -> None:
        Path(f"{args[5]}.nii.gz").write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(export_prediction, "export_prediction_from_logits", begin)
    with pytest.raises(KeyboardInterrupt):
        write(export(), logits_of(labels_of(Brain=3)), properties, tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    monkeypatch.undo()
    write(export(), logits_of(labels_of(Brain=3)), properties, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == before.keys()
    assert (tmp_path / "Case_1.nii.gz").read_bytes() != before["Case_1.nii.gz"]


def test_what_a_killed_process_left_goes_when_the_case_is_predicted_again(
    head: tuple[sitk.Image, dict], tmp_path: Path
) -> None:
    _, properties = head
    out = tmp_path / "not there yet"
    left = out / ".Case_1.0123abcd.unfinished"
    left.mkdir(parents=True)
    (left / "Case_1.npz").write_bytes(b"half")
    write(export(), logits_of(labels_of(**GOOD)), properties, out)
    assert {path.name for path in out.iterdir()} == {"Case_1.nii.gz", "Case_1_locations.json"}
