"""The command on a tiny dataset, with registrations that find the identity: files, flags and faults.

What ANTs itself does is tested in test_ants.py, going on in test_going_on.py.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from heads import CASES, LABELS, head
from in_place_of_ants import Identity

from nnunetv2_focusnet.cli import compare
from nnunetv2_focusnet.images.grid import Grid
from nnunetv2_focusnet.system.json_files import read_json

Run = Callable[..., Path]


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


def test_what_is_no_terminal_gets_no_bars(run: Run, identity: Identity, capsys: pytest.CaptureFixture[str]) -> None:
    run("--interleaved", "--steps", "2")
    assert not any(unit in capsys.readouterr().err for unit in ("case", "step"))


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
