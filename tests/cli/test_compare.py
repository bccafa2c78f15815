"""nnUNetv2_focusnet_compare on folders as users have them."""

import csv
import json
import math
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from nnunetv2_focusnet.cli import compare

LABELS = {"background": 0, "Brain": 1, "Lens_L": 2, "Lens_R": 3}
SPACING_XYZ = (1.0, 1.0, 2.0)
CASES = ("head_1", "head_2", "head_3")
Run = Callable[..., None]


def write(path: Path, shift: int = 0, dtype: type = np.uint8, spacing: tuple[float, ...] = SPACING_XYZ) -> Path:
    """A brain of 16 x 16 x 16 voxels and two lenses of 2 x 4 x 4, all but the brain shifted along x."""
    labels = np.zeros((24, 40, 48), dtype=dtype)
    labels[4:20, 12:28, 16:32] = 1
    labels[8:10, 4:8, 8 + shift : 12 + shift] = 2
    labels[8:10, 4:8, 36 + shift : 40 + shift] = 3
    return save(path, labels, spacing)


def save(path: Path, labels: np.ndarray, spacing: tuple[float, ...] = SPACING_XYZ) -> Path:
    image = sitk.GetImageFromArray(labels)
    image.SetSpacing(spacing)
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path))
    return path


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """References, a model that is right and one whose lenses are half a lens off, in a folder with a space."""
    root = tmp_path / "my comparison"
    for case in CASES:
        write(root / "labelsTs" / f"{case}.nii.gz")
        write(root / "right" / f"{case}.nii.gz")
        write(root / "shifted" / f"{case}.nii.gz", shift=2)
    (root / "dataset.json").write_text(json.dumps({"labels": LABELS, "file_ending": ".nii.gz"}))
    return root


@pytest.fixture
def run(folders: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command in this process, with the options that it always needs."""

    def run_command(*options: str, models: tuple[str, ...] = ("shifted", "right")) -> None:
        predictions = [f"{model}={folders / model}" for model in models]
        arguments = [
            "-ref",
            str(folders / "labelsTs"),
            "-pred",
            *predictions,
            "-o",
            str(folders / "report"),
            "-np",
            "1",
        ]
        monkeypatch.setattr("sys.argv", ["nnUNetv2_focusnet_compare", *arguments, *options])
        compare.main()

    return run_command


def metrics(folders: Path) -> list[dict[str, str]]:
    with (folders / "report" / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def failure(run: Run, *options: str, **models: tuple[str, ...]) -> str:
    with pytest.raises(SystemExit) as error:
        run(*options, **models)
    return str(error.value.code)


def test_everything_is_written_and_right(run: Run, folders: Path) -> None:
    run()
    rows = metrics(folders)
    assert len(rows) == 3 * 3 * 2
    for row in rows:
        shifted = row["model"] == "shifted" and row["organ"] != "Brain"
        assert float(row["dsc"]) == (0.5 if shifted else 1.0)
        assert float(row["hd95_mm"]) == pytest.approx(2.0 if shifted else 0.0)
        assert float(row["centroid_distance_mm"]) == pytest.approx(2.0 if shifted else 0.0)
    text = (folders / "report" / "summary.md").read_text()
    assert "| Lens_L | 0.500 ± 0.000 | **1.000 ± 0.000** |" in text
    assert "| mean, small organs | 0.500 | **1.000** |" in text
    assert "| Brain | **1.000 ± 0.000** | **1.000 ± 0.000** |" in text
    latex = (folders / "report" / "summary.tex").read_text()
    assert r"Lens\_L & 0.500 $\pm$ 0.000 & \textbf{1.000 $\pm$ 0.000} \\" in latex
    with (folders / "report" / "summary.csv").open() as file:
        summary = {(row["organ"], row["model"], row["metric"]): row for row in csv.DictReader(file)}
    moved = summary["Lens_L", "shifted", "centroid_distance_mm"]
    assert [float(moved[name]) for name in ("mean", "median", "q1", "q3", "n")] == pytest.approx([2, 2, 2, 2, 3])
    assert float(summary["Lens_L", "shifted", "volume_error_ml"]["mean"]) == 0
    page = (folders / "report" / "report.html").read_text()
    assert "Centroid distance (mm) in detail" in page
    assert re.search("Lens_L</th><td>shifted</td><td>3</td><td>2.00</td><td>0.00</td><td>2.00</td>", page)
    names = {path.name for path in (folders / "report").iterdir()}
    assert {"summary.csv", "paired.csv", "report.html", "boxes_dsc.png", "differences_hd95_mm_1.png"} <= names


def test_one_model_needs_no_statistics(run: Run, folders: Path) -> None:
    run(models=("shifted",))
    assert not (folders / "report" / "paired.csv").exists()
    assert "±" in (folders / "report" / "report.html").read_text()


def test_several_processes_find_the_same(run: Run, folders: Path) -> None:
    run()
    alone = metrics(folders)
    run("-np", "2")
    assert metrics(folders) == alone


def test_small_organs_are_those_of_the_model_that_has_its_plans(run: Run, folders: Path) -> None:
    plans = {"configurations": {"2d": {}, "3d_fullres": {"focusnet": {"small_organs": [{"name": "Brain"}]}}}}
    (folders / "right" / "plans.json").write_text(json.dumps(plans))
    run()
    with (folders / "report" / "summary.csv").open() as file:
        groups = {row["organ"]: row["group"] for row in csv.DictReader(file)}
    assert groups == {"Brain": "small", "Lens_L": "large", "Lens_R": "large"}


def test_missed_organs_and_false_positives_are_counted(run: Run, folders: Path) -> None:
    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(folders / "labelsTs" / "head_1.nii.gz")))
    save(folders / "right" / "head_1.nii.gz", np.where(labels == 2, 0, labels))
    save(folders / "labelsTs" / "head_2.nii.gz", np.where(labels == 3, 0, labels))
    run()
    text = (folders / "report" / "summary.md").read_text()
    assert "0.667 ± 0.577 (1 missed)" in text
    assert "0.667 ± 0.577 (1 false positive)" in text
    (missed,) = (row for row in metrics(folders) if row["missed"] == "True")
    assert (missed["case"], missed["organ"], missed["model"]) == ("head_1", "Lens_L", "right")
    assert math.isinf(float(missed["hd95_mm"]))


def test_organs_that_a_reference_does_not_have_annotated_are_not_counted(run: Run, folders: Path) -> None:
    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(folders / "labelsTs" / "head_1.nii.gz")))
    save(folders / "labelsTs" / "head_1.nii.gz", np.where(labels == 2, 0, labels))
    dataset = json.loads((folders / "dataset.json").read_text())
    annotated = {"head_1": ["Brain", "Lens_R"], "head_2": ["Brain", "Lens_L", "Lens_R"]}
    (folders / "dataset.json").write_text(json.dumps(dataset | {"focusnet": {"annotated": annotated}}))
    run()
    assert {row["organ"] for row in metrics(folders) if row["case"] == "head_1"} == {"Brain", "Lens_R"}
    assert len(metrics(folders)) == 2 * (3 * 3 - 1)
    text = (folders / "report" / "summary.md").read_text()
    assert "| Lens_L | 0.500 ± 0.000 | **1.000 ± 0.000** |" in text
    assert "false positive)" not in text
    (folders / "dataset.json").write_text(json.dumps(dataset | {"focusnet": {"annotated": {"head_1": ["Lense"]}}}))
    assert "has Lense for head_1" in failure(run)


def test_tolerances_per_organ(run: Run, folders: Path) -> None:
    file = folders / "tolerances.json"
    file.write_text(json.dumps({"Brain": 1, "Lens_L": 3.0, "Lens_R": 0.5}))
    run("--tolerance_mm", str(file), models=("shifted",))
    nsd = {row["organ"]: float(row["nsd"]) for row in metrics(folders)}
    assert nsd["Lens_L"] == 1
    assert nsd["Lens_R"] < 1
    file.write_text(json.dumps({"Brain": 1, "Lens_L": 0}))
    assert "above 0 for Lens_L, got 0" in failure(run, "--tolerance_mm", str(file))


def test_published_figures_are_marked(run: Run, folders: Path) -> None:
    labels = LABELS | {"Brain-Stem": 1, "optic_nerve_left": 2, "Lens_R": 3}
    labels = {name: value for name, value in labels.items() if name not in ("Brain", "Lens_L")}
    (folders / "dataset.json").write_text(json.dumps({"labels": labels, "file_ending": ".nii.gz"}))
    run("--published", "pddca")
    text = (folders / "report" / "summary.md").read_text()
    assert "FocusNet (published, not measured)" in text
    (stem,) = (line for line in text.splitlines() if line.startswith("| Brain-Stem") and "0.875" in line)
    assert stem.endswith("| 0.880 | 0.867 | 0.868 | 0.875 |")
    assert re.search(r"\| optic_nerve_left \|.*\| 0.735 \|", text)
    assert re.search(r"\| Brain-Stem \|.*\| 4.59 \| 6.42 \| 2.14 \|", text)  # HD95, which S-Net has none of
    assert re.search(r"\| Lens_R \|.*\| - \| - \| - \| - \|", text)
    assert re.search(r"\| mean, all organs \|[^|]*\|[^|]*\|  \|  \|  \|  \|", text)  # the lens was not published


def test_published_means_are_over_the_same_organs(run: Run, folders: Path) -> None:
    labels = {"background": 0, "Brainstem": 1, "OpticNerve_L": 2, "OpticNerve_R": 3}
    (folders / "dataset.json").write_text(json.dumps({"labels": labels, "file_ending": ".nii.gz"}))
    run("--published", "pddca")
    text = (folders / "report" / "summary.md").read_text()
    mean = (0.875 + 0.735 + 0.744) / 3
    assert re.search(rf"\| mean, all organs \|.*\| {mean:.3f} \|", text)


def break_geometry(folders: Path) -> None:
    write(folders / "right" / "head_2.nii.gz", spacing=(1.0, 1.0, 2.5))


def break_file(folders: Path) -> None:
    (folders / "right" / "head_2.nii.gz").write_bytes(b"no image")


def break_values(folders: Path) -> None:
    save(folders / "right" / "head_2.nii.gz", np.full((24, 40, 48), 7, dtype=np.uint8))


def break_type(folders: Path) -> None:
    save(folders / "right" / "head_2.nii.gz", np.full((24, 40, 48), 0.5, dtype=np.float32))


def remove(folders: Path) -> None:
    (folders / "right" / "head_2.nii.gz").unlink()


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (break_geometry, ("spacing (1, 1, 2.5)", "labelsTs")),
        (break_file, ("can't be read",)),
        (break_values, ("label values 7",)),
        (break_type, ("aren't integers",)),
        (remove, ("no prediction of head_2 by right",)),
    ],
)
def test_a_bad_case_is_named_and_the_others_are_compared(
    run: Run, folders: Path, fault: Callable[[Path], None], words: tuple[str, ...]
) -> None:
    fault(folders)
    message = failure(run)
    for word in ("left out", "head_2", *words):
        assert word in message
    assert "\n" not in message
    assert {row["case"] for row in metrics(folders)} == {"head_1", "head_3"}
    assert "head_2" in (folders / "report" / "report.html").read_text()


def test_labels_stored_as_float_are_compared(run: Run, folders: Path) -> None:
    write(folders / "right" / "head_2.nii.gz", dtype=np.float32)
    run()
    assert len(metrics(folders)) == 18


def test_extra_predictions_are_named(run: Run, folders: Path) -> None:
    shutil.copy(folders / "right" / "head_1.nii.gz", folders / "right" / "head_9.nii.gz")
    assert "head_9.nii.gz has no reference" in failure(run)
    assert len(metrics(folders)) == 18


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--dataset_json", "nowhere.json"), "nowhere.json doesn't exist"),
        (("--tolerance_mm", "-1"), "above 0"),
        (("-pred", "right"), "NAME=FOLDER, got right"),
        (("-pred", "a=nowhere"), "nowhere is no folder"),
        (("--cv", "1"), "name them with -tr"),
    ],
)
def test_options_that_make_no_sense(run: Run, options: tuple[str, ...], words: str) -> None:
    message = failure(run, *options)
    assert words in message
    assert "\n" not in message


def test_images_are_drawn_below_the_contours(run: Run, folders: Path) -> None:
    for case in CASES:
        save(folders / "imagesTs" / f"{case}_0000.nii.gz", np.random.default_rng(0).normal(0, 100, (24, 40, 48)))
    run()
    plain = (folders / "report" / "overlay_00.png").read_bytes()
    run("--images", str(folders / "imagesTs"))
    assert (folders / "report" / "overlay_00.png").read_bytes() != plain
    save(folders / "imagesTs" / "head_2_0000.nii.gz", np.zeros((24, 40, 47)))
    assert "head_2_0000.nii.gz isn't on the grid" in failure(run, "--images", str(folders / "imagesTs"))
    (folders / "imagesTs" / "head_3_0000.nii.gz").unlink()
    assert "head_3_0000.nii.gz doesn't exist" in failure(run, "--images", str(folders / "imagesTs"))


def test_cross_validation_folders_are_found(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "Dataset042_Heads"
    preprocessed, results = folders / "preprocessed", folders / "results"
    shutil.copytree(folders / "labelsTs", preprocessed / name / "gt_segmentations")
    write(preprocessed / name / "gt_segmentations" / "head_4.nii.gz")  # in no validation yet
    shutil.copy(folders / "dataset.json", preprocessed / name / "dataset.json")
    for trainer, predictions in (("Stock", "shifted"), ("Ours", "right")):
        model = results / name / f"{trainer}__nnUNetPlans__3d_fullres"
        for fold, case in enumerate(CASES):
            (model / f"fold_{fold}" / "validation").mkdir(parents=True)
            shutil.copy(folders / predictions / f"{case}.nii.gz", model / f"fold_{fold}" / "validation")
        (model / "plans.json").write_text(json.dumps({"configurations": {"3d_fullres": {}}}))
    monkeypatch.setattr("nnunetv2.paths.nnUNet_preprocessed", str(preprocessed))
    monkeypatch.setattr("nnunetv2.paths.nnUNet_results", str(results))
    monkeypatch.setattr(
        "nnunetv2_focusnet.cli.compare_inputs.maybe_convert_to_dataset_name", lambda given: f"Dataset0{given}_Heads"
    )
    arguments = ["--cv", "42", "-tr", "Stock", "Ours", "-o", str(folders / "report"), "-np", "1"]
    monkeypatch.setattr("sys.argv", ["nnUNetv2_focusnet_compare", *arguments])
    compare.main()
    rows = metrics(folders)
    assert {row["model"] for row in rows} == {"Stock", "Ours"}
    assert {row["case"] for row in rows} == set(CASES)
    assert {row["dsc"] for row in rows if row["model"] == "Ours"} == {"1.0"}


def test_report_needs_nothing_from_elsewhere_and_describes_its_pictures(run: Run, folders: Path) -> None:
    run()
    page = (folders / "report" / "report.html").read_text()
    assert "http" not in page
    images = re.findall(r"<img [^>]*>", page)
    assert len(images) >= 4 + 2
    for image in images:
        assert 'src="data:image/png;base64,' in image
        assert re.search(r'alt="[^"]{20,}"', image)


BROWSER = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
def test_a_browser_sorts_the_table_and_fits_it_to_a_phone(run: Run, folders: Path) -> None:
    run("--published", "pddca")
    page = folders / "report" / "report.html"
    probe = """<script>
const heads = document.querySelectorAll("table")[0].querySelectorAll("thead button");
heads[1].click(); heads[1].click();
const order = [...document.querySelectorAll("table")[0].tBodies[0].rows].map((row) => row.cells[0].textContent);
const broken = [...document.images].filter((image) => !(image.complete && image.naturalWidth > 0)).length;
const wide = document.documentElement.scrollWidth > document.documentElement.clientWidth;
document.title = JSON.stringify({order, broken, wide});
</script></body>"""
    page.write_text(page.read_text().replace("</body>", probe))
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--window-size=390,800", "--virtual-time-budget=5000"]
    dump = subprocess.run(
        [BROWSER, *options, "--dump-dom", page.as_uri()], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    title = re.search(r"<title>(.*?)</title>", dump)
    assert title is not None
    seen = json.loads(title[1].replace("&quot;", '"'))
    assert seen == {"order": ["Brain", "Lens_L", "Lens_R"], "broken": 0, "wide": False}
