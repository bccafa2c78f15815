"""The command on a tiny dataset, with registrations that find the identity: files, flags, faults, and going on.

What ANTs itself does is tested in test_ants.py.
"""

import json
import pickle
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from heads import CASES, LABELS, head, write_dataset

from nnunetv2_focusnet.atlas import registration, template
from nnunetv2_focusnet.cli import atlas, compare
from nnunetv2_focusnet.images.grid import Grid
from nnunetv2_focusnet.system.json_files import read_json

Run = Callable[..., Path]


class Identity:
    """In place of ANTs: whatever is registered stays where it is. Counts the registrations."""

    def __init__(self) -> None:
        self.registrations = 0
        self.fail_after = 10**6

    def register(self, fixed: sitk.Image, moving: sitk.Image, folder: Path, *_: Any, **__: Any) -> list[Path]:
        self.registrations += 1
        if self.registrations > self.fail_after:
            raise KeyboardInterrupt
        (folder / registration.AFFINE).touch()
        return [folder / registration.AFFINE]

    def warp(self, moving: sitk.Image, grid: Grid, interpolator: str, outside: float) -> sitk.Image:
        assert interpolator in ("linear", "nearestNeighbor", "genericLabel")
        onto = grid.put(sitk.Image(grid.size, sitk.sitkFloat32))
        return sitk.Resample(moving, onto, sitk.Transform(), sitk.sitkNearestNeighbor, outside)


@pytest.fixture
def identity(monkeypatch: pytest.MonkeyPatch) -> Identity:
    fake = Identity()

    def in_this_process(work: Callable[[Any], Any], items: Sequence[Any], _: int, *, apart: bool) -> Iterator[Any]:
        assert apart
        work = pickle.loads(pickle.dumps(work))  # as on its way into another process
        return (work(item) for item in items)

    def warp(moving: sitk.Image, grid: Grid, _: Any, __: Any, interpolator: str, outside: float) -> sitk.Image:
        return fake.warp(moving, grid, interpolator, outside)

    def touch(_: Iterable[Path], to: Path) -> None:
        to.touch()

    monkeypatch.setattr(atlas, "check_library", lambda: None)
    monkeypatch.setattr(template, "map_in_processes", in_this_process)
    monkeypatch.setattr(registration, "register", fake.register)
    monkeypatch.setattr(registration, "_warp", warp)
    monkeypatch.setattr(registration, "write_mean_affine", touch)
    monkeypatch.setattr(registration, "sharpen", lambda image, _: image)
    return fake


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("raw", "preprocessed", "results"):
        monkeypatch.setenv(f"nnUNet_{name}", str(tmp_path / name))
    monkeypatch.setattr("nnunetv2_focusnet.planning.preparation.nnUNet_raw", str(tmp_path / "raw"))
    raw = write_dataset(tmp_path / "raw")
    splits = tmp_path / "preprocessed" / raw.name / "splits_final.json"
    splits.parent.mkdir(parents=True)
    splits.write_text(json.dumps([{"train": CASES[:3], "val": CASES[3:]}]))
    return tmp_path


@pytest.fixture
def run(folders: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command in this process, on fold 0; returns the folder of the results."""

    def run_command(*options: str, fold: str = "0") -> Path:
        arguments = ["-d", "Dataset007_Heads", "-f", fold, "--iterations", "1", "-np", "1", "--disable_progress_bar"]
        monkeypatch.setattr(sys, "argv", ["nnUNetv2_focusnet_atlas", *arguments, *options])
        atlas.main()
        return folders / "results" / "Dataset007_Heads"

    return run_command


def test_validation_is_laid_out_as_compare_cv_reads_it(
    run: Run, folders: Path, identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = run()
    validation = results / "Atlas__nnUNetPlans__3d_fullres" / "fold_0" / "validation"
    assert {path.name for path in validation.iterdir()} == {"head_3.nii.gz", "dataset.json", "atlas.json"}
    assert read_json(validation / "dataset.json")["labels"] == LABELS
    image = sitk.ReadImage(str(folders / "raw/Dataset007_Heads/imagesTr/head_3_0000.nii.gz"))
    predicted = sitk.ReadImage(str(validation / "head_3.nii.gz"))
    assert Grid.of(predicted) == Grid.of(image)
    assert predicted.GetPixelID() == sitk.sitkUInt8
    majority = sum((head(number)[1] == 1).astype(int) for number in range(3)) > 1  # of three, on one grid
    np.testing.assert_array_equal(sitk.GetArrayFromImage(predicted) == 1, majority)

    references = folders / "preprocessed" / "Dataset007_Heads"
    (references / "gt_segmentations").symlink_to(folders / "raw/Dataset007_Heads/labelsTr")
    (references / "dataset.json").symlink_to(folders / "raw/Dataset007_Heads/dataset.json")
    monkeypatch.setattr("nnunetv2.utilities.dataset_name_id_conversion.nnUNet_raw", str(folders / "raw"))
    options = ["--cv", "Dataset007_Heads", "-tr", "Atlas", "-o", str(folders / "report"), "-np", "1"]
    monkeypatch.setattr(sys, "argv", ["nnUNetv2_focusnet_compare", *options])
    compare.main()
    assert "Brain" in (folders / "report" / "summary.md").read_text()


def test_a_stopped_run_goes_on_where_it_was(run: Run, identity: Identity) -> None:
    """Three affine registrations, three by SyN, one for the validation case: 7."""
    identity.fail_after = 4
    with pytest.raises(SystemExit) as stop:
        run()
    assert stop.value.code == 130
    identity.fail_after = 10**6
    results = run()
    assert identity.registrations == 7 + 1  # the one that was interrupted
    run()
    assert identity.registrations == 7 + 1
    (results / "Atlas__nnUNetPlans__3d_fullres/fold_0/validation/head_3.nii.gz").unlink()
    run()
    assert identity.registrations == 7 + 2
    assert not (results / "Atlas__nnUNetPlans__3d_fullres/fold_0/atlas/progress").exists()


def test_an_atlas_is_never_taken_for_one_with_other_settings(
    run: Run, identity: Identity, capsys: pytest.CaptureFixture[str]
) -> None:
    run()
    with pytest.raises(SystemExit) as stop:
        run("--spacing", "5", "--num_cases", "2")
    assert "fold_0/atlas was made with other cases, unannotated, effort (see atlas.json)" in str(stop.value.code)


def test_a_faulty_image_is_left_out_and_named(run: Run, folders: Path, identity: Identity) -> None:
    images = folders / "new"
    images.mkdir()
    for name in ("a", "b"):
        source = folders / "raw/Dataset007_Heads/imagesTr/head_0_0000.nii.gz"
        (images / f"{name}_0000.nii.gz").write_bytes(source.read_bytes())
    (images / "a_0000.nii.gz").write_bytes(b"")
    with pytest.raises(SystemExit) as stop:
        run("-i", str(images), "-o", str(folders / "out"), fold="all")
    assert str(stop.value.code).startswith(f"nnUNetv2_focusnet_atlas: left out: {images / 'a_0000.nii.gz'}")
    assert sorted(path.name for path in (folders / "out").iterdir()) == ["atlas.json", "b.nii.gz", "dataset.json"]


def test_predictions_of_others_are_not_taken_for_finished_ones(run: Run, folders: Path, identity: Identity) -> None:
    images = folders / "raw" / "Dataset007_Heads" / "imagesTr"
    (folders / "out").mkdir()
    (folders / "out" / "head_0.nii.gz").touch()
    with pytest.raises(SystemExit, match=r"head_0.nii.gz is there already, and not by the atlas"):
        run("-i", str(images), "-o", str(folders / "out"))
    assert identity.registrations == 0


def test_splits_of_the_raw_dataset_count_before_it_is_planned(run: Run, folders: Path, identity: Identity) -> None:
    """nnU-Net copies them when it plans."""
    (folders / "preprocessed/Dataset007_Heads/splits_final.json").unlink()
    splits = folders / "raw/Dataset007_Heads/splits_final.json"
    splits.write_text(json.dumps([{"train": CASES[1:], "val": CASES[:1]}]))
    validation = run() / "Atlas__nnUNetPlans__3d_fullres" / "fold_0" / "validation"
    assert [path.name for path in validation.glob("*.nii.gz")] == ["head_0.nii.gz"]


def test_an_organ_that_no_training_case_of_the_fold_has_is_named(run: Run, folders: Path, identity: Identity) -> None:
    """It occurs in the dataset, so that its region can be measured."""
    for number in range(3):
        file = folders / "raw/Dataset007_Heads/labelsTr" / f"{CASES[number]}.nii.gz"
        labels = sitk.ReadImage(str(file))
        sitk.WriteImage(labels * sitk.Cast(labels == 1, labels.GetPixelID()), str(file))
    with pytest.raises(SystemExit, match="the atlas has no voxel of Lens: build it of more cases or with finer voxels"):
        run("--interleaved", "--steps", "2")


def test_a_faulty_training_case_ends_it_before_a_registration(run: Run, folders: Path, identity: Identity) -> None:
    labels = folders / "raw/Dataset007_Heads/labelsTr/head_1.nii.gz"
    turned = sitk.ReadImage(str(labels))
    turned.SetOrigin((0, 0, 50))
    sitk.WriteImage(turned, str(labels))
    with pytest.raises(SystemExit) as stop:
        run()
    assert f"{labels} has origin" in str(stop.value.code)
    assert "\n" not in str(stop.value.code)
    assert identity.registrations == 0


def test_small_organs_come_from_networks(run: Run, identity: Identity) -> None:
    results = run("--interleaved", "--steps", "2")
    fold = results / "AtlasInterleaved__nnUNetPlans__3d_fullres" / "fold_0"
    assert {path.name for path in (fold / "networks").iterdir()} == {"002_first.pt", "002_second.pt", "atlas.json"}
    assert {path.name for path in (fold / "validation").iterdir()} == {"head_3.nii.gz", "dataset.json", "atlas.json"}
    label_maps = (
        sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "validation" / "head_3.nii.gz")))
        for folder in (fold, results / "Atlas__nnUNetPlans__3d_fullres" / "fold_0")
    )
    with_networks, of_atlas = label_maps
    np.testing.assert_array_equal(with_networks == 1, (of_atlas == 1) & (with_networks != 2))
    with pytest.raises(SystemExit, match="was made with other steps"):
        run("--interleaved", "--steps", "3")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-i", "in"], "-i and -o belong together"),
        (["-f", "all"], "-f all leaves no case to validate"),
        (["-f", "7"], "-f 7: give 0 to 0, or all"),
        (["-d", "Dataset008_Tails"], "-d Dataset008_Tails: nnUNet_raw has no such dataset"),
        (["--spacing", "0"], "--spacing must be above 0, got 0"),
        (["--syn_iterations", "10", "-1"], "--syn_iterations must be 0 or more, got -1"),
        (["--num_cases", "0"], "--num_cases must be 1 or more, got 0"),
        (["-np", "0"], "-np must be 1 or more, got 0"),
    ],
)
def test_a_wrong_flag_is_one_line(run: Run, identity: Identity, options: list[str], message: str) -> None:
    with pytest.raises(SystemExit) as stop:
        run(*options)
    assert str(stop.value.code).startswith(f"nnUNetv2_focusnet_atlas: {message}")
    assert "\n" not in str(stop.value.code)


def test_without_ants_the_remedy_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ants", None)
    with pytest.raises(SystemExit) as stop:
        run()
    assert stop.value.code == (
        'nnUNetv2_focusnet_atlas: the atlas needs antspyx: run pip install "nnunetv2-focusnet[atlas]"'
    )
