import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from commands_apart import files_below, largest_file, stopped

from nnunetv2_focusnet.demo.phantom import LABELS, SHAPE_ZYX, SPACING_MM_ZYX, make_case, write_phantom_dataset
from nnunetv2_focusnet.system.files import WriteError

PAIRED = [name[:-2] for name in LABELS if name.endswith("_L")]
SEEDS = range(4)


@pytest.fixture(scope="module")
def cases() -> list[tuple[np.ndarray, np.ndarray]]:
    return [make_case(seed=7, index=index) for index in SEEDS]


def run_cli(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    env = {k: v for k, v in os.environ.items() if k not in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")}
    command = [sys.executable, "-m", "nnunetv2_focusnet.cli.phantom", *arguments]
    return subprocess.run(command, env=env | variables, capture_output=True, text=True, check=False)


def test_a_case_depends_on_seed_and_index_alone() -> None:
    hu, labels = make_case(3, 1)
    make_case(3, 0)
    again_hu, again_labels = make_case(3, 1)
    np.testing.assert_array_equal(hu, again_hu)
    np.testing.assert_array_equal(labels, again_labels)
    for other in (make_case(3, 2), make_case(4, 1)):
        assert (other[0] != hu).any()
        assert (other[1] != labels).any()


def test_every_organ_lies_whole_inside_the_image(cases: list[tuple[np.ndarray, np.ndarray]]) -> None:
    for hu, labels in cases:
        assert hu.shape == labels.shape == SHAPE_ZYX
        assert (hu.dtype.name, labels.dtype.name) == ("int16", "uint8")
        assert set(np.unique(labels)) == set(LABELS.values())
        inside = np.zeros(SHAPE_ZYX, bool)
        inside[1:-1, 1:-1, 1:-1] = True
        assert not labels[~inside].any()


def test_lenses_are_tiny_and_the_imbalance_is_honest(cases: list[tuple[np.ndarray, np.ndarray]]) -> None:
    for _, labels in cases:
        for lens in ("Lens_L", "Lens_R"):
            voxels = (labels == LABELS[lens]).sum()
            assert 10 <= voxels < 100
            assert (labels == 0).sum() > 1e4 * voxels


def test_size_classes_follow_the_rule_of_1000_voxels(cases: list[tuple[np.ndarray, np.ndarray]]) -> None:
    mean = {name: np.mean([(labels == value).sum() for _, labels in cases]) for name, value in LABELS.items()}
    small = {name for name, voxels in mean.items() if voxels < 1000}
    assert small == {"Lens_L", "Lens_R", "OpticNerve_L", "OpticNerve_R"}


@pytest.mark.parametrize("organ", PAIRED)
def test_the_left_organ_has_the_higher_x(cases: list[tuple[np.ndarray, np.ndarray]], organ: str) -> None:
    for _, labels in cases:
        left, right = (np.argwhere(labels == LABELS[f"{organ}_{side}"])[:, 2] for side in "LR")
        assert left.min() > right.max()


def test_tissues_look_as_on_ct(cases: list[tuple[np.ndarray, np.ndarray]]) -> None:
    for hu, labels in cases:
        mean = {name: hu[labels == value].mean() for name, value in LABELS.items()}
        assert hu[:, :2, :2].mean() < -900
        assert 20 < mean["Brain"] < 50
        for side in "LR":
            assert mean[f"Lens_{side}"] > mean[f"Eye_{side}"] + 30
            assert mean[f"OpticNerve_{side}"] > -90


def test_writes_a_dataset_that_nnunet_reads(tmp_path: Path) -> None:
    folder = tmp_path / "Dataset901_HeadPhantom"
    write_phantom_dataset(folder, num_training_cases=2, num_test_cases=1, seed=5)
    parts = [path for path in folder.iterdir() if path.is_dir()]
    names = {part.name: sorted(path.name for path in part.iterdir()) for part in parts}
    assert names == {
        "imagesTr": ["Head_000_0000.nii.gz", "Head_001_0000.nii.gz"],
        "labelsTr": ["Head_000.nii.gz", "Head_001.nii.gz"],
        "imagesTs": ["Head_002_0000.nii.gz"],
        "labelsTs": ["Head_002.nii.gz"],
    }
    description = json.loads((folder / "dataset.json").read_text())
    assert description["labels"] == LABELS
    assert description["numTraining"] == 2
    assert description["file_ending"] == ".nii.gz"
    assert description["overwrite_image_reader_writer"] == "SimpleITKIO"
    assert description["channel_names"] == {"0": "CT"}

    image = sitk.ReadImage(str(folder / "imagesTs" / "Head_002_0000.nii.gz"))
    labels = sitk.ReadImage(str(folder / "labelsTs" / "Head_002.nii.gz"))
    hu, expected = make_case(5, 2)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), hu)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(labels), expected)
    for written in (image, labels):
        assert written.GetSpacing() == pytest.approx(SPACING_MM_ZYX[::-1])
        assert written.GetDirection() == pytest.approx((1, 0, 0, 0, 1, 0, 0, 0, 1))
        assert written.GetOrigin() == pytest.approx((-69.85, -69.85, -58.75))


def test_refuses_to_write_over_a_dataset(tmp_path: Path) -> None:
    (tmp_path / "Dataset901_HeadPhantom").mkdir()
    with pytest.raises(FileExistsError):
        write_phantom_dataset(tmp_path / "Dataset901_HeadPhantom", 1, 0)


def test_command_writes_into_nnunet_raw(tmp_path: Path) -> None:
    done = run_cli("-d", "7", "-n", "5", "--test", "1", "--seed", "2", nnUNet_raw=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "Dataset007_HeadPhantom" / "labelsTr").iterdir())) == 5
    assert len(list((tmp_path / "Dataset007_HeadPhantom" / "labelsTs").iterdir())) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-d", "7", "-n", "5"], "nnUNet_raw is not set"),
        (["-d", "7", "-n", "4", "-o", "RAW"], "5-fold cross-validation needs at least 5 cases, got -n 4"),
        (["-d", "0", "-n", "5", "-o", "RAW"], "between 1 and 999, got 0"),
        (["-d", "8", "-n", "5", "-o", "RAW"], "ID 8 is taken by Dataset008_Other"),
        (["-d", "9", "-n", "5", "-o", "RAW"], "Dataset009_HeadPhantom exists already"),
        (["-d", "7", "-n", "5", "--test", "-1", "-o", "RAW"], "must not be negative, got --test -1"),
    ],
)
def test_command_says_in_one_line_what_is_wrong(tmp_path: Path, arguments: list[str], words: str) -> None:
    for taken in ("Dataset008_Other", "Dataset009_HeadPhantom"):
        (tmp_path / taken).mkdir()
    done = run_cli(*[str(tmp_path) if argument == "RAW" else argument for argument in arguments])
    assert done.returncode == 1
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} == {"Dataset008_Other", "Dataset009_HeadPhantom"}


def test_an_id_taken_in_the_results_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "results" / "Dataset007_Other").mkdir(parents=True)
    done = run_cli("-d", "7", "-n", "5", "-o", str(tmp_path / "raw"), nnUNet_results=str(tmp_path / "results"))
    assert done.returncode == 1
    assert "ID 7 is taken by Dataset007_Other" in done.stderr


def test_a_stopped_command_leaves_nothing(tmp_path: Path) -> None:
    command = ("-m", "nnunetv2_focusnet.cli.phantom", "-d", "7", "-n", "99", "-o", str(tmp_path))
    _, err, status = stopped(signal.SIGINT, "simulated case 1 of 99 (training)\n", *command)
    assert err == "nnUNetv2_focusnet_phantom: stopped by Ctrl-C; nothing unfinished is left\n"
    assert status == 130
    assert files_below(tmp_path) == []


def test_a_full_disk_leaves_nothing_and_is_named(tmp_path: Path) -> None:
    """The image of 0.9 MB doesn't fit, its label map would."""
    with (
        largest_file(100_000),
        pytest.raises(WriteError, match=r"Head_000_0000\.nii\.gz can't be written \(.*make room"),
    ):
        write_phantom_dataset(tmp_path / "Dataset901_HeadPhantom", num_training_cases=1, num_test_cases=0)
    assert files_below(tmp_path) == []
