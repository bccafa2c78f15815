"""nnUNetv2_focusnet_convert on folders as users have them."""

import gzip
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import source_folders as sources
from commands_apart import ended, files_below, group_of, largest_file, start, wait_until
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO
from nnunetv2.utilities.utils import get_filenames_of_train_images_and_targets
from source_folders import ORIGIN, SPACING, box, ct, mask, save

from nnunetv2_focusnet.cli import convert
from nnunetv2_focusnet.convert import conversion

ORGANS = ("BrainStem", "Chiasm", "Mandible")
BOXES = sources.apart(ORGANS)
CASES = ("0522c0001", "0522c0329", "0522c0788", "0522c0555")  # train, additional, onsite, offsite
Run = Callable[..., Path]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A case of each part of PDDCA, in a folder with a space; the additional one has no mandible."""
    root = tmp_path / "my downloads"
    for case in CASES:
        boxes = {organ: b for organ, b in BOXES.items() if (case, organ) != ("0522c0329", "Mandible")}
        sources.pddca_case(root / "PDDCA", case, boxes)
    return root


@pytest.fixture
def run(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command in this process; returns the dataset's folder."""
    raw = tmp_path / "nnUNet_raw"
    raw.mkdir()
    monkeypatch.setenv("nnUNet_raw", str(raw))
    monkeypatch.delenv("nnUNet_preprocessed", raising=False)

    def run_command(*options: str, layout: str = "pddca", processes: str = "1") -> Path:
        arguments = [layout, str(source), "-d", "42", "-np", processes]
        monkeypatch.setattr("sys.argv", ["nnUNetv2_focusnet_convert", *arguments, *options])
        convert.main()
        return raw / "Dataset042_PDDCA"

    return run_command


def failure(run: Run, *options: str, **named: str) -> str:
    with pytest.raises(SystemExit) as stopped:
        run(*options, **named)
    assert isinstance(stopped.value.code, str)  # printed to stderr, with exit code 1
    return stopped.value.code


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


def labels_in(file: Path) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(str(file)))


def test_a_whole_data_set_is_written(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    folder = run()
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()) == [
        "conversion_report.md",
        "dataset.json",
        *(f"imagesTr/{case}_0000.nii.gz" for case in CASES[:3]),
        "imagesTs/0522c0555_0000.nii.gz",
        *(f"labelsTr/{case}.nii.gz" for case in CASES[:3]),
        "labelsTs/0522c0555.nii.gz",
        "splits_final.json",
    ]
    description = read(folder / "dataset.json")
    assert description["labels"] == {"background": 0, "BrainStem": 1, "Chiasm": 2, "Mandible": 3}
    assert description["channel_names"] == {"0": "CT"}
    assert description["numTraining"] == 3
    assert description["focusnet"] == {"annotated": {"0522c0329": ["BrainStem", "Chiasm"]}}
    assert description["licence"].startswith("CC BY 3.0")
    assert "Raudaschl" in description["citation"]
    assert read(folder / "splits_final.json") == [{"train": ["0522c0001", "0522c0329"], "val": ["0522c0788"]}]
    printed = capsys.readouterr().out
    assert "3 training and 1 test cases, 3 organs" in printed
    assert "1 of 3 training cases lack organs" in printed
    assert "Parotid_L isn't annotated in any training case and got no label" in printed


def test_nnunet_reads_what_the_source_had(run: Run) -> None:
    folder = run()
    files = get_filenames_of_train_images_and_targets(str(folder), read(folder / "dataset.json"))["0522c0329"]
    image, properties = SimpleITKIO().read_images(files["images"])
    np.testing.assert_array_equal(image[0], ct({organ: BOXES[organ] for organ in ORGANS[:2]}))
    assert properties["sitk_stuff"]["spacing"] == pytest.approx(SPACING)
    assert properties["sitk_stuff"]["origin"] == pytest.approx(ORIGIN)
    labels, of_labels = SimpleITKIO().read_seg(files["label"])
    np.testing.assert_array_equal(labels[0], mask(BOXES["BrainStem"]) + 2 * mask(BOXES["Chiasm"]))
    assert of_labels["sitk_stuff"] == properties["sitk_stuff"]


def test_several_processes_write_the_same(run: Run, tmp_path: Path) -> None:
    one = run()
    one.rename(tmp_path / "by one")
    two = run(processes="2")
    by_one, by_two = (
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in (tmp_path / "by one", two)
    )
    assert by_one.keys() == by_two.keys()
    for name, content in by_one.items():
        assert by_two[name] == content, name


def test_linked_images_keep_the_ending_of_the_source(run: Run, source: Path) -> None:
    folder = run("--symlink")
    image = folder / "imagesTr" / "0522c0001_0000.nrrd"
    assert image.is_symlink()
    assert image.resolve() == (source / "PDDCA" / "0522c0001" / "img.nrrd").resolve()
    assert not (folder / "labelsTr" / "0522c0001.nrrd").is_symlink()
    assert read(folder / "dataset.json")["file_ending"] == ".nrrd"
    assert set(get_filenames_of_train_images_and_targets(str(folder), read(folder / "dataset.json"))) == set(CASES[:3])


def test_organs_are_restricted_and_ordered(run: Run) -> None:
    folder = run("--organs", "mandible", "BrainStem", "-n", "Two-Organs").with_name("Dataset042_Two-Organs")
    assert read(folder / "dataset.json")["labels"] == {"background": 0, "Mandible": 1, "BrainStem": 2}
    expected = mask(BOXES["Mandible"]) + 2 * mask(BOXES["BrainStem"])
    np.testing.assert_array_equal(labels_in(folder / "labelsTr" / "0522c0001.nii.gz"), expected)


def test_a_data_set_with_all_organs_everywhere_says_nothing_about_annotation(run: Run) -> None:
    assert "focusnet" not in read(run("--organs", "BrainStem", "Chiasm") / "dataset.json")


def test_a_test_case_is_listed_if_it_has_a_label_map_and_lacks_organs(run: Run, source: Path) -> None:
    (source / "PDDCA" / "0522c0555" / "structures" / "Chiasm.nrrd").unlink()
    unlabelled = sources.pddca_case(source / "PDDCA", "0522c0598", BOXES)
    shutil.rmtree(unlabelled / "structures")
    folder = run()
    assert sorted(file.name for file in (folder / "imagesTs").iterdir()) == [
        "0522c0555_0000.nii.gz",
        "0522c0598_0000.nii.gz",
    ]
    assert read(folder / "dataset.json")["focusnet"] == {
        "annotated": {"0522c0329": ["BrainStem", "Chiasm"]},
        "annotated_test": {"0522c0555": ["BrainStem", "Mandible"]},
    }


def test_faulty_cases_are_left_out_and_named_and_the_others_are_done(run: Run, source: Path, tmp_path: Path) -> None:
    cases = source / "PDDCA"
    truncated = cases / "0522c0001" / "structures" / "Chiasm.nrrd"
    truncated.write_bytes(truncated.read_bytes()[:-20])
    shifted = save(
        cases / "0522c0329" / "structures" / "Chiasm.nrrd", mask(BOXES["Chiasm"]), origin=(ORIGIN[0] + 0.4, 5.0, -40.0)
    )
    lines = failure(run).splitlines()
    assert len(lines) == 2
    assert all(line.startswith("nnUNetv2_focusnet_convert: left out: ") for line in lines)
    assert f"{truncated} can't be read" in lines[0]
    assert f"{shifted} has origin (-9.6, 5, -40) where the image has (-10, 5, -40)" in lines[1]

    folder = tmp_path / "nnUNet_raw" / "Dataset042_PDDCA"
    assert [path.name for path in (folder / "imagesTr").iterdir()] == ["0522c0788_0000.nii.gz"]
    assert read(folder / "dataset.json")["numTraining"] == 1
    assert not (folder / "splits_final.json").exists()  # nothing is left to train on beside the validation
    report = (folder / "conversion_report.md").read_text()
    assert "| 0522c0001 | PDDCA/0522c0001/structures/Chiasm.nrrd can't be read" in report
    assert "| 0522c0329 | PDDCA/0522c0329/structures/Chiasm.nrrd has origin" in report
    assert "2 cases left out" in report


def test_a_report_names_files_from_the_source_folder_on(
    run: Run, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The source's name may be the end of another folder's: A/PDDCA/0522c0001."""
    source.rename(tmp_path / "A")
    (tmp_path / "A/PDDCA/0522c0001/structures/Chiasm.nrrd").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["nnUNetv2_focusnet_convert", "pddca", "A", "-d", "42", "-np", "1"])
    with pytest.raises(SystemExit, match=r"left out: A/PDDCA/0522c0001/structures/Chiasm\.nrrd"):
        convert.main()
    report = (tmp_path / "nnUNet_raw" / "Dataset042_PDDCA" / "conversion_report.md").read_text()
    assert "| 0522c0001 | PDDCA/0522c0001/structures/Chiasm.nrrd" in report


def test_folders_that_can_not_be_listed_are_named_and_the_other_cases_are_done(
    run: Run, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A case's own folder, the folder of its structures (without them it would be a test case), and one of neither."""
    forbidden = [source / "PDDCA" / "0522c0001", source / "PDDCA" / "0522c0555" / "structures", source / "part2"]
    forbidden[2].mkdir()
    sources.forbid(monkeypatch, *forbidden)
    lines = failure(run).splitlines()
    assert sorted(line.split(" can't be listed (Permission denied)")[0] for line in lines) == sorted(
        f"nnUNetv2_focusnet_convert: left out: {folder}" for folder in forbidden
    )
    folder = tmp_path / "nnUNet_raw" / "Dataset042_PDDCA"
    assert sorted(path.name for path in folder.glob("images*/*")) == ["0522c0329_0000.nii.gz", "0522c0788_0000.nii.gz"]


@pytest.mark.parametrize("layout", ["pddca", "tcia-deepmind", "hanseg", "structseg", "segrap", "dicom-rt"])
def test_no_layout_keeps_quiet_about_a_folder(
    run: Run, source: Path, monkeypatch: pytest.MonkeyPatch, layout: str
) -> None:
    sources.forbid(monkeypatch, source / "PDDCA")
    message = failure(run, layout=layout)
    assert "PDDCA can't be listed (Permission denied)" in message
    assert "\n" not in message


def test_linked_cases_are_found(run: Run, source: Path, tmp_path: Path) -> None:
    (source / "PDDCA").rename(tmp_path / "store")
    (source / "PDDCA").mkdir()
    for case in CASES:
        (source / "PDDCA" / case).symlink_to(tmp_path / "store" / case)
    assert len(list((run() / "imagesTr").iterdir())) == 3


@pytest.mark.parametrize("options", [(), ("--symlink",)])
def test_images_that_lack_a_part_or_hold_no_numbers_are_left_out(
    run: Run, source: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    """Its planner stops at NaN and names no file; from .nii.gz, its reader takes 0 for NaN, which is water."""
    truncated, nan = (source / "PDDCA" / case / "img.nrrd" for case in CASES[:2])
    truncated.write_bytes(truncated.read_bytes()[:-1])
    voxels = ct(BOXES).astype(np.float32)
    voxels[0, 0, 0] = np.nan
    save(nan, voxels)
    (source / "PDDCA" / CASES[2] / "._img.nrrd").write_bytes(b"of macOS")
    lines = failure(run, *options).splitlines()
    assert len(lines) == 2
    assert f"{truncated} can't be read, it is cut off" in lines[0]
    assert f"{nan} can't be read, it holds NaN or infinite values: replace them" in lines[1]
    (image,) = (tmp_path / "nnUNet_raw" / "Dataset042_PDDCA" / "imagesTr").iterdir()
    assert image.name.startswith(f"{CASES[2]}_0000.")


def test_an_error_of_simpleitk_is_put_down_to_its_case(run: Run, source: Path) -> None:
    """A segment in the fifth of two layers."""
    for case in ("case_01", "case_02"):
        folder = sources.hanseg_case(source, case, {"Lips": BOXES["Chiasm"]})
    layers = sitk.GetImageFromArray(np.zeros((*sources.SHAPE, 2), np.uint8), isVector=True)
    for key, text in {"Segment0_Name": "Lips", "Segment0_LabelValue": "1", "Segment0_Layer": "4"}.items():
        layers.SetMetaData(key, text)
    sitk.WriteImage(layers, str(folder / "case_02_OAR_Lips.seg.nrrd"))
    message = failure(run, layout="hanseg")
    assert message.startswith("nnUNetv2_focusnet_convert: left out: case_02: ")
    assert "\n" not in message


def test_masks_on_another_grid_are_resampled_if_allowed(run: Run, source: Path) -> None:
    file = source / "PDDCA" / "0522c0001" / "structures" / "Chiasm.nrrd"
    save(file, mask(BOXES["Chiasm"]), origin=(ORIGIN[0] + 0.4, 5.0, -40.0))
    folder = run("--resample_labels")
    labels = labels_in(folder / "labelsTr" / "0522c0001.nii.gz")
    np.testing.assert_array_equal(labels == 2, mask(BOXES["Chiasm"]) == 1)  # 0.4 of a voxel is nearest to where it was
    report = (folder / "conversion_report.md").read_text()
    assert report.count("resampled") == 1
    assert "| 0522c0001 | Chiasm resampled to the image's grid; it had origin" in report


def test_overlaps_empty_and_covered_structures_are_reported(run: Run, source: Path) -> None:
    """The mandible lies whole in the brain stem, of the chiasm half does; the other half is the brain stem's loss."""
    structures = source / "PDDCA" / "0522c0001" / "structures"
    save(structures / "BrainStem.nrrd", mask(box(0, 0, 0, (4, 4, 4))))  # 64 voxels
    save(structures / "Chiasm.nrrd", mask(box(3, 0, 0, (2, 2, 2))))  # 8, of which 4 in the brain stem
    save(structures / "Mandible.nrrd", mask(None))
    same = source / "PDDCA" / "0522c0788" / "structures"
    save(same / "Chiasm.nrrd", mask(BOXES["BrainStem"]))  # as large as the brain stem, and later in the order
    folder = run()
    assert np.bincount(labels_in(folder / "labelsTr" / "0522c0001.nii.gz").ravel())[1:].tolist() == [60, 8]
    # an empty mask is an answer, a mask that lost all of its voxels is none
    annotated = read(folder / "dataset.json")["focusnet"]["annotated"]
    assert annotated == {"0522c0329": ["BrainStem", "Chiasm"], "0522c0788": ["Chiasm", "Mandible"]}
    report = (folder / "conversion_report.md").read_text()
    assert "| BrainStem | Chiasm | 2 | 12 | 100.0 % |" in report
    assert "| 0522c0001 | Mandible is empty: the organ counts as annotated and absent |" in report


def test_an_organ_without_a_voxel_to_train_on_is_a_fault(
    run: Run, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is there in the test case alone; in training it is empty or not annotated."""
    for case in CASES[:3]:
        if case != "0522c0329":
            save(source / "PDDCA" / case / "structures" / "Mandible.nrrd", mask(None))
    message = failure(run)
    folder = source.parent / "nnUNet_raw" / "Dataset042_PDDCA"
    assert message.startswith("nnUNetv2_focusnet_convert: nothing can be trained on Mandible, ")
    assert f"delete {folder} and convert again" in message
    assert "\n" not in message
    assert "3 training and 1 test cases, 3 organs" in capsys.readouterr().out
    shutil.rmtree(folder)
    run("--organs", "BrainStem", "Chiasm")


def test_structures_of_unknown_name_are_ignored_and_named(
    run: Run, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(source / "PDDCA" / "0522c0001" / "structures" / "Tongue.nrrd", mask(box(1, 1, 1)))
    folder = run()
    assert "ignored structures, with the number of cases: Tongue (1)" in capsys.readouterr().out
    assert (
        "## Ignored structures\n\n| name | cases |\n| --- | --- |\n| Tongue | 1 |\n"
        in (folder / "conversion_report.md").read_text()
    )


def test_what_headers_and_paths_say_about_a_patient_is_left_behind(
    run: Run, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    private = {"PatientName": "DOE^JANE", "dicom_0010_0030": "19700131"}
    folder = source / "PDDCA" / "0522c0001"
    save(folder / "img.nrrd", ct(BOXES), metadata=private)
    for organ in ORGANS:
        save(folder / "structures" / f"{organ}.nrrd", mask(BOXES[organ]), metadata=private)
    broken = source / "PDDCA" / "0522c0329" / "img.nrrd"
    broken.write_bytes(b"NRRD0004\n")
    failure(run)
    written = [path for path in (tmp_path / "nnUNet_raw").rglob("*") if path.is_file()]
    assert written
    for path in written:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        for word in (b"DOE", b"JANE", b"19700131", b"my downloads"):
            assert word not in content, path
    assert "DOE" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["-d", "0"], "-d must be between 1 and 999, got 0"),
        (["-n", "my data"], "letters, digits, - and _ only, got 'my data'"),
        (["--organs", "Liver"], "--organs: Liver is none of the organs here: BrainStem, Chiasm, Mandible"),
        (["--organs", "Parotid_L"], "no training case has any of the organs Parotid_L"),
    ],
)
def test_one_line_says_what_is_wrong_with_an_option(run: Run, tmp_path: Path, options: list[str], words: str) -> None:
    message = failure(run, *options)
    assert message.startswith("nnUNetv2_focusnet_convert: ")
    assert words in message
    assert "\n" not in message
    assert not list((tmp_path / "nnUNet_raw").iterdir())


def test_the_wrong_layout_is_told_from_the_right_one(run: Run, source: Path) -> None:
    message = failure(run, layout="hanseg")
    assert f"{source} holds no case of the layout hanseg" in message
    assert message.endswith("it looks like pddca")


def test_an_empty_folder_is_no_data_set(run: Run, tmp_path: Path, source: Path) -> None:
    source.rename(tmp_path / "elsewhere")
    assert failure(run).endswith(f"{source} is no folder")
    source.mkdir()
    assert failure(run).endswith("0522cXXXX/structures/ORGAN.nrrd): check the folder")


def test_nnunet_raw_has_to_be_set(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("nnUNet_raw")
    assert "nnUNet_raw is not set" in failure(run)


def test_a_data_set_is_not_overwritten(run: Run, source: Path) -> None:
    image = run() / "imagesTr" / "0522c0001_0000.nii.gz"
    before = image.read_bytes()
    save(source / "PDDCA" / "0522c0001" / "img.nrrd", mask(None))
    assert "Dataset042_PDDCA exists already: delete it or choose another ID with -d" in failure(run)
    assert "ID 42 is taken by Dataset042_PDDCA" in failure(run, "-n", "Other")
    assert image.read_bytes() == before


def test_without_a_single_training_case_nothing_is_left(run: Run, source: Path, tmp_path: Path) -> None:
    for case in CASES[:3]:
        (source / "PDDCA" / case / "img.nrrd").unlink()
    assert "no training case could be converted: " in failure(run)
    assert not list((tmp_path / "nnUNet_raw").iterdir())


def test_an_interrupted_conversion_leaves_nothing(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(conversion, "write_report", interrupted)
    with pytest.raises(SystemExit) as stopped:
        run()
    assert stopped.value.code == 130
    line = "nnUNetv2_focusnet_convert: stopped by Ctrl-C; nothing unfinished is left\n"
    assert capsys.readouterr().err.endswith(line)
    assert not list((tmp_path / "nnUNet_raw").iterdir())


def test_a_killed_conversion_is_no_data_set_and_goes_with_the_next(run: Run, source: Path, tmp_path: Path) -> None:
    killed = """
import os, signal
from nnunetv2_focusnet.cli import convert
from nnunetv2_focusnet.convert import conversion
conversion.write_report = lambda *arguments: os.kill(os.getpid(), signal.SIGKILL)
convert.main()
"""
    command = [sys.executable, "-c", killed, "pddca", str(source), "-d", "42", "-np", "1"]
    assert subprocess.run(command, capture_output=True, check=False).returncode == -9
    raw = tmp_path / "nnUNet_raw"
    left = list(raw.iterdir())
    assert left
    assert all(path.name.startswith(".") for path in left)
    run()
    assert [path.name for path in raw.iterdir()] == ["Dataset042_PDDCA"]


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_full_disk_is_no_fault_of_a_case(run: Run, tmp_path: Path, processes: str) -> None:
    """Two images fit, and what doesn't isn't left out of the dataset: there is none."""
    run()
    raw = tmp_path / "nnUNet_raw"
    sizes = [file.stat().st_size for file in (raw / "Dataset042_PDDCA").rglob("*.nii.gz")]
    shutil.rmtree(raw / "Dataset042_PDDCA")
    with largest_file(max(sizes) - 1):
        message = failure(run, processes=processes)
    assert message.startswith(f"nnUNetv2_focusnet_convert: {raw}")
    assert "_0000.nii.gz can't be written (" in message
    assert "make room on that disk" in message
    assert "\n" not in message
    assert files_below(raw) == []


def test_a_stopped_conversion_ends_its_workers_and_leaves_nothing(run: Run, source: Path, tmp_path: Path) -> None:
    cases = source / "PDDCA"
    for number in range(100, 300):
        shutil.copytree(cases / "0522c0001", cases / f"0522c{number:04d}", copy_function=os.link)
    raw = tmp_path / "nnUNet_raw"
    command = ["-m", "nnunetv2_focusnet.cli.convert", "pddca", str(source), "-d", "42", "-np", "2"]
    with ended(start(*command)) as process:
        wait_until(lambda: any(path.name.endswith(".nii.gz") for path in raw.rglob("*")), "an image")
        process.terminate()
        _, err = process.communicate(timeout=60)
        assert group_of(process) == []
    assert process.returncode == 143
    assert err == "nnUNetv2_focusnet_convert: stopped by SIGTERM; nothing unfinished is left\n"
    assert files_below(raw) == []


@pytest.mark.parametrize("given", ["0", "-3"])
def test_a_conversion_takes_a_process_at_least(run: Run, given: str) -> None:
    assert failure(run, processes=given) == f"nnUNetv2_focusnet_convert: -np must be 1 or more, got {given}"


def test_nnunet_raw_may_not_be_a_file(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("nnUNet_raw", str(tmp_path / "file"))
    message = failure(run)
    assert "a file is where a folder should be" in message
    assert "\n" not in message
