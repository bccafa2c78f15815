"""The same command again, after a stop or a change: what counts as finished, and what is refused.

All that is refused is so before a registration, as an atlas takes hours.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import SimpleITK as sitk
from heads import SPACING, head
from in_place_of_ants import Identity
from source_folders import save

from nnunetv2_focusnet.atlas import small_organs
from nnunetv2_focusnet.atlas.cases import Case, read_case_image

Run = Callable[..., Path]
NETWORKS = ["--interleaved", "--steps", "2"]
RAW = "raw/Dataset007_Heads"
TRAINING_FILES = [f"{RAW}/imagesTr/head_1_0000.nii.gz", f"{RAW}/labelsTr/head_1.nii.gz"]


def patient(folder: Path, number: int) -> Path:
    """A folder of images, with one of them; all patients have the same name."""
    return save(folder / "patient_0000.nii.gz", head(number)[0], SPACING).parent


def change(image: Path) -> None:
    """One voxel of it, in a corner."""
    array = sitk.GetArrayFromImage(read := sitk.ReadImage(str(image)))
    array[0, 0, 0] += 1
    changed = sitk.GetImageFromArray(array)
    changed.CopyInformation(read)
    sitk.WriteImage(changed, str(image))


@pytest.fixture
def refused(run: Run, identity: Identity) -> Callable[..., None]:
    def run_refused(*options: str, message: str, fold: str = "0") -> None:
        before = identity.registrations
        with pytest.raises(SystemExit) as stop:
            run(*options, fold=fold)
        assert message in str(stop.value.code)
        assert "\n" not in str(stop.value.code)
        assert identity.registrations == before

    return run_refused


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


def test_an_atlas_is_never_taken_for_one_with_other_settings(run: Run, refused: Callable[..., None]) -> None:
    run()
    message = "fold_0/atlas was made with other cases, unannotated, effort (see atlas.json)"
    refused("--spacing", "5", "--num_cases", "2", message=message)


def test_predictions_of_others_are_not_taken_for_finished_ones(folders: Path, refused: Callable[..., None]) -> None:
    (folders / "out").mkdir()
    (folders / "out" / "patient.nii.gz").touch()
    message = "patient.nii.gz is there already, and not by the atlas"
    refused("-i", str(patient(folders / "in", 3)), "-o", str(folders / "out"), message=message)


@pytest.mark.parametrize(("first", "then"), [(NETWORKS, []), ([], NETWORKS)])
def test_label_maps_of_the_atlas_and_of_networks_are_not_taken_for_each_other(
    run: Run, folders: Path, refused: Callable[..., None], first: list[str], then: list[str]
) -> None:
    """Even where there is no atlas any more, it isn't built before."""
    options = ["-i", str(patient(folders / "in", 3)), "-o", str(folders / "out")]
    run(*options, *first)
    shutil.rmtree(folders / "results")
    refused(*options, *then, message=f"{folders / 'out'} was made with other steps, regions (see atlas.json)")


def test_nor_are_label_maps_by_the_atlas_of_another_fold(run: Run, folders: Path, refused: Callable[..., None]) -> None:
    options = ["-i", str(patient(folders / "in", 3)), "-o", str(folders / "out")]
    run(*options)
    refused(*options, fold="all", message=f"{folders / 'out'} was made with other cases, unannotated (see atlas.json)")


@pytest.mark.parametrize("networks", [[], NETWORKS])
def test_label_maps_of_other_images_of_the_same_name_do_not_stay(
    run: Run, folders: Path, refused: Callable[..., None], networks: list[str]
) -> None:
    run("-i", str(patient(folders / "in", 3)), "-o", str(folders / "out"), *networks)
    options = ["-i", str(patient(folders / "others", 2)), "-o", str(folders / "out"), *networks]
    made = sorted((folders / "out").rglob("patient.nii.gz"))
    assert len(made) == (2 if networks else 1)
    for label_map in made:  # that by the atlas is looked at first
        image = folders / "others/patient_0000.nii.gz"
        refused(*options, message=f"{label_map} is there already, and not of {image} as it is now: delete")
        label_map.unlink()
    run(*options)
    assert sorted((folders / "out").rglob("patient.nii.gz")) == made


def test_images_may_move_and_others_may_join_them(run: Run, folders: Path, identity: Identity) -> None:
    run("-i", str(patient(folders / "in", 3)), "-o", str(folders / "out"))
    save(patient(folders / "elsewhere", 3) / "second_0000.nii.gz", head(2)[0], SPACING)
    before = identity.registrations
    run("-i", str(folders / "elsewhere"), "-o", str(folders / "out"))
    assert identity.registrations == before + 1


def test_an_image_that_was_left_out_is_segmented_once_it_is_mended(run: Run, folders: Path, identity: Identity) -> None:
    (folders / "in").mkdir()
    (folders / "in/patient_0000.nii.gz").symlink_to("nowhere")
    options = ["-i", str(folders / "in"), "-o", str(folders / "out")]
    with pytest.raises(SystemExit, match=r"left out: .*patient_0000"):
        run(*options)
    (folders / "in/patient_0000.nii.gz").unlink()
    patient(folders / "in", 3)
    run(*options)
    assert (folders / "out/patient.nii.gz").exists()


@pytest.mark.parametrize("file", TRAINING_FILES)
def test_a_corrected_training_case_makes_another_atlas_and_other_label_maps(
    run: Run, folders: Path, refused: Callable[..., None], file: str
) -> None:
    results = run()
    former = (folders / file).read_bytes()
    change(folders / file)
    fold = results / "Atlas__nnUNetPlans__3d_fullres/fold_0"
    for folder in (fold / "atlas", fold / "validation"):
        refused(message=f"{folder} was made with another image or label map of head_1: put that back, or delete")
        folder.rename(folder.with_name(f"former {folder.name}"))
    run()
    for folder in (fold / "atlas", fold / "validation"):
        shutil.rmtree(folder)
        folder.with_name(f"former {folder.name}").rename(folder)
    (folders / file).write_bytes(former)
    run()


@pytest.mark.parametrize("file", TRAINING_FILES)
def test_a_training_case_with_a_fault_is_no_other_one_when_it_is_mended(
    run: Run, folders: Path, refused: Callable[..., None], file: str
) -> None:
    former = (folders / file).read_bytes()
    (folders / file).write_bytes(b"")
    refused(message=str(folders / file))
    (folders / file).write_bytes(former)
    run()


def test_finished_networks_segment_others_without_the_training_images(
    run: Run, folders: Path, identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = run(*NETWORKS)

    def read(case: Case) -> sitk.Image:
        assert case.name == "patient"
        return read_case_image(case)

    monkeypatch.setattr(small_organs, "read_case_image", read)
    options = ["-i", str(patient(folders / "in", 3)), "-o", str(folders / "out"), *NETWORKS]
    run(*options)
    assert (folders / "out/patient.nii.gz").exists()
    (results / "AtlasInterleaved__nnUNetPlans__3d_fullres/fold_0/networks/002_second.pt").unlink()
    with pytest.raises(SystemExit, match="unexpected AssertionError"):
        run(*options)
