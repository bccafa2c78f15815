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
from matplotlib.figure import Figure
from nnunetv2.evaluation.evaluate_predictions import compute_metrics
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO

import nnunetv2_focusnet
from nnunetv2_focusnet.cli import compare
from nnunetv2_focusnet.compare import comparison, pictures, style
from nnunetv2_focusnet.images import writing

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
    """References, a model that is right and one whose lenses are half a lens off, in a folder with a space.

    macOS has put a file of its own beside one of each.
    """
    root = tmp_path / "my comparison"
    for case in CASES:
        write(root / "labelsTs" / f"{case}.nii.gz")
        write(root / "right" / f"{case}.nii.gz")
        write(root / "shifted" / f"{case}.nii.gz", shift=2)
    for folder in ("labelsTs", "right"):
        (root / folder / "._head_1.nii.gz").write_bytes(b"of macOS")
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


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests that look at none: drawing them takes longer than all the rest."""
    monkeypatch.setattr(pictures, "PLOTTED", ())
    monkeypatch.setattr(pictures, "choose_overlays", lambda results: [])


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


@pytest.mark.usefixtures("no_pictures")
def test_several_processes_find_the_same(run: Run, folders: Path) -> None:
    run()
    alone = metrics(folders)
    run("-np", "2")
    assert metrics(folders) == alone


@pytest.mark.usefixtures("no_pictures")
def test_without_a_terminal_there_is_no_progress_bar(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run()
    assert "Comparing" not in capsys.readouterr().err


@pytest.mark.usefixtures("no_pictures")
def test_small_organs_are_those_of_the_model_that_has_its_plans(run: Run, folders: Path) -> None:
    sizes = {"roi_size": [2, 2, 2], "wanted_roi_size": [2, 2, 2], "sigma": [1, 1, 1], "diameter_mm": 1}
    brain = {"name": "Brain", "label": 1, **sizes, "volume_voxels": 1}
    plans = {"configurations": {"2d": {}, "3d_fullres": {"focusnet": {"small_organs": [brain]}}}}
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


@pytest.mark.usefixtures("no_pictures")
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
    assert "for head_1, has Lense, but" in failure(run)


@pytest.mark.usefixtures("no_pictures")
def test_tolerances_per_organ(run: Run, folders: Path) -> None:
    file = folders / "tolerances.json"
    file.write_text(json.dumps({"Brain": 1, "Lens_L": 3.0, "Lens_R": 0.5}))
    run("--tolerance_mm", str(file), models=("shifted",))
    nsd = {row["organ"]: float(row["nsd"]) for row in metrics(folders)}
    assert nsd["Lens_L"] == 1
    assert nsd["Lens_R"] < 1
    file.write_text(json.dumps({"Brain": 1, "Lens_L": 0}))
    assert f"{file} needs a number of mm above 0 for Lens_L, but has 0" in failure(run, "--tolerance_mm", str(file))


@pytest.mark.usefixtures("no_pictures")
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


@pytest.mark.usefixtures("no_pictures")
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


def cut_prediction(folders: Path) -> None:
    cut(folders / "right" / "head_2.nii.gz")


def cut(file: Path) -> None:
    """Of the last quarter, SimpleITK would read zeros."""
    content = file.read_bytes()
    file.write_bytes(content[: len(content) * 3 // 4])


def break_values(folders: Path) -> None:
    save(folders / "right" / "head_2.nii.gz", np.full((24, 40, 48), 7, dtype=np.uint8))


def break_type(folders: Path) -> None:
    save(folders / "right" / "head_2.nii.gz", np.full((24, 40, 48), 0.5, dtype=np.float32))


def break_numbers(folders: Path) -> None:
    """NaN, which SimpleITK reads as background."""
    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(folders / "labelsTs" / "head_2.nii.gz"))).astype(np.float32)
    labels[0, 0, 0] = np.nan
    save(folders / "right" / "head_2.nii.gz", labels)


def remove(folders: Path) -> None:
    (folders / "right" / "head_2.nii.gz").unlink()


@pytest.mark.usefixtures("no_pictures")
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (break_geometry, ("spacing (1, 1, 2.5)", "labelsTs")),
        (break_file, ("can't be read",)),
        (cut_prediction, ("right", "can't be read, it is cut off")),
        (break_values, ("label values 7",)),
        (break_type, ("aren't integers",)),
        (break_numbers, ("holds NaN",)),
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


@pytest.mark.usefixtures("no_pictures")
def test_labels_stored_as_float_are_compared(run: Run, folders: Path) -> None:
    write(folders / "right" / "head_2.nii.gz", dtype=np.float32)
    run()
    assert len(metrics(folders)) == 18


@pytest.mark.usefixtures("no_pictures")
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
        (("--cv", "1"), "leave out -ref, -pred and --dataset_json"),
        (("-tr", "FocusNetTrainer"), "-tr names trainers for --cv"),
    ],
)
def test_options_that_make_no_sense(run: Run, options: tuple[str, ...], words: str) -> None:
    message = failure(run, *options)
    assert words in message
    assert "\n" not in message


def test_images_are_drawn_below_the_contours(run: Run, folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The left lens, far from the middle, is bright, and only where the reference has it."""
    for case in CASES:
        labels = sitk.GetArrayFromImage(sitk.ReadImage(str(folders / "labelsTs" / f"{case}.nii.gz")))
        save(folders / "imagesTs" / f"{case}_0000.nii.gz", np.where(labels == 2, 700.0, 40.0))
    drawn: dict[str, Figure] = {}

    def save_figure(figure: Figure, picture: Path, dpi: int) -> None:
        drawn[picture.name] = figure
        writing.save_figure(figure, picture, dpi)

    monkeypatch.setattr(style, "save_figure", save_figure)
    run("--images", str(folders / "imagesTs"), models=("right", "shifted"))
    # Edges of the lens in mm by plane: across from and to, down from and to. Voxels are 1 x 1 x 2 mm.
    x, y, z = (7.5, 11.5), (3.5, 7.5), (15.0, 19.0)
    for ax, edges in zip(drawn["overlay_00.png"].axes, ((x, y), (x, z), (y, z)), strict=True):
        (image,) = ax.images
        left, right, bottom, top = image.get_extent()
        down, across = np.nonzero(image.get_array() == 700)
        rows, columns = image.get_array().shape
        bright = [
            [low + (n + end) * (high - low) / size for n, end in ((places.min(), 0), (places.max(), 1))]
            for places, low, high, size in ((across, left, right, columns), (down, bottom, top, rows))
        ]
        outline = ax.collections[0].get_paths()[0].get_extents()
        assert image.origin == "lower"
        np.testing.assert_allclose(bright, edges)
        np.testing.assert_allclose([outline.intervalx, outline.intervaly], edges, atol=0.05)


def test_images_that_cannot_be_drawn_are_named_before_anything_is_computed(
    run: Run, folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = folders / "imagesTs"
    for case in CASES:
        save(images / f"{case}_0000.nii.gz", np.random.default_rng(0).normal(0, 100, (24, 40, 48)))

    def reached(*arguments: object) -> None:
        raise AssertionError("cases are evaluated")

    monkeypatch.setattr(comparison, "evaluate_cases", reached)
    cut(images / "head_1_0000.nii.gz")
    assert failure(run, "--images", str(images)).endswith(
        "head_1_0000.nii.gz can't be read, it is cut off: its compressed data ends early: correct it, or leave out "
        "--images"
    )
    save(images / "head_1_0000.nii.gz", np.zeros((24, 40, 47)))
    assert "head_1_0000.nii.gz isn't on the grid of its label map" in failure(run, "--images", str(images))
    save(images / "head_1_0000.nii.gz", np.zeros((24, 40, 48)), spacing=(1.0, 1.0, 2.1))
    (images / "head_2_0000.nii.gz").write_bytes(b"zz")
    (images / "head_3_0000.nii.gz").unlink()
    message = failure(run, "--images", str(images))
    assert "head_1_0000.nii.gz isn't on the grid of its label map" in message
    assert message.endswith("(and 2 more)")
    for case in CASES[:2]:
        save(images / f"{case}_0000.nii.gz", np.zeros((24, 40, 48)))
    assert "head_3_0000.nii.gz doesn't exist" in failure(run, "--images", str(images))


def test_report_needs_nothing_from_elsewhere_and_describes_its_pictures(run: Run, folders: Path) -> None:
    run()
    page = (folders / "report" / "report.html").read_text()
    assert "http" not in page
    images = re.findall(r"<img [^>]*>", page)
    assert len(images) >= 4 + 2
    for image in images:
        assert 'src="data:image/png;base64,' in image
        assert re.search(r'alt="[^"]{20,}"', image)


def test_the_report_leads_to_the_worst_case_and_says_where_it_comes_from(run: Run, folders: Path) -> None:
    write(folders / "right" / "head_2.nii.gz", shift=3)
    run()
    page = (folders / "report" / "report.html").read_text()
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(re.findall(r'id="([^"]+)"', page))
    # By hand: of 4 x 4 lenses that are 3 off, a quarter overlaps, so the mean of three organs is (1 + 2 / 4) / 3.
    details = re.findall(r'<details id="case-\d+"><summary>(.*?)</summary>', page)
    assert details[0] == "head_2: mean DSC 0.500 of 3 organs, worst Lens_L (0.250)"
    assert [text.partition(":")[0] for text in details] == ["head_2", "head_1", "head_3"]
    assert re.search('<a href="#case-1">head_2</a></th><td>0.667</td><td>0.500</td><td>Lens_L</td><td>0.250</td>', page)
    assert "3 cases, 3 organs, 2 models." in page
    for shown in ("DSC ↑ higher is better", "HD95 (mm) ↓ lower is better", "signed-rank test"):
        assert shown in page
    for origin in (folders / "labelsTs", folders / "right"):
        assert f"<dd>{origin.resolve()}</dd>" in page
    assert f"<dd>{nnunetv2_focusnet.__name__.replace('_', '-')} {nnunetv2_focusnet.__version__}, nnunetv2 " in page
    assert "<dd>nnUNetv2_focusnet_compare -ref " in page


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


IGNORE = len(LABELS)


def ignore_slices(folders: Path) -> None:
    """Ignore slices 10 and above in the references: half of the brain, no lens; the predictions stay as they are."""
    (folders / "dataset.json").write_text(json.dumps({"labels": LABELS | {"ignore": IGNORE}, "file_ending": ".nii.gz"}))
    for case in CASES:
        file = folders / "labelsTs" / f"{case}.nii.gz"
        labels = sitk.GetArrayFromImage(sitk.ReadImage(str(file)))
        labels[10:] = IGNORE
        save(file, labels)


@pytest.mark.usefixtures("no_pictures")
def test_ignored_voxels_are_not_counted_as_in_nnunets_evaluation(run: Run, folders: Path) -> None:
    ignore_slices(folders)
    beyond = sitk.GetArrayFromImage(sitk.ReadImage(str(folders / "right" / "head_1.nii.gz")))
    beyond[10:] = 3  # where nobody knows
    beyond[5, 12:28, 16:32] = 0  # a slice of brain is missing where it counts
    save(folders / "right" / "head_1.nii.gz", beyond)
    run(models=("right",))
    rows = {(row["case"], row["organ"]): row for row in metrics(folders)}
    files = (str(folders / folder / "head_1.nii.gz") for folder in ("labelsTs", "right"))
    theirs = compute_metrics(*files, SimpleITKIO(), [1, 2, 3], IGNORE)["metrics"]
    for organ, value in list(LABELS.items())[1:]:
        ours = rows["head_1", organ]
        assert float(ours["dsc"]) == pytest.approx(theirs[value]["Dice"])
        assert float(ours["predicted_ml"]) == pytest.approx(theirs[value]["n_pred"] * 2 / 1000)
        assert float(ours["reference_ml"]) == pytest.approx(theirs[value]["n_ref"] * 2 / 1000)
    # By hand: of the 6 counted slices of brain, all or all but the second; the lens is as it should be.
    assert float(rows["head_1", "Brain"]["dsc"]) == pytest.approx(2 * 5 / 11)
    assert {float(rows["head_2", "Brain"][name]) for name in ("hd95_mm", "centroid_distance_mm")} == {0}
    assert [float(rows["head_1", "Lens_R"][name]) for name in ("dsc", "nsd", "hd95_mm")] == [1, 1, 0]


def test_predictions_do_not_have_the_ignore_label(run: Run, folders: Path) -> None:
    ignore_slices(folders)
    shutil.copy(folders / "labelsTs" / "head_2.nii.gz", folders / "right")
    message = failure(run)
    assert f"right/head_2.nii.gz holds the ignore label {IGNORE}, which only references have" in message
    assert {row["case"] for row in metrics(folders)} == {"head_1", "head_3"}


def test_a_second_comparison_replaces_the_first(run: Run, folders: Path) -> None:
    run()
    (folders / "report" / "notes.txt").write_text("mine")
    run(models=("shifted",))
    files = {path.name for path in (folders / "report").iterdir()}
    assert "notes.txt" in files
    assert not [name for name in files if name.startswith(("paired", "differences", "."))]
    page = (folders / "report" / "report.html").read_text()
    for case in CASES:
        (folders / "right" / f"{case}.nii.gz").write_bytes(b"no image")
    assert "no case could be compared" in failure(run)
    assert (folders / "report" / "report.html").read_text() == page


def test_results_are_written_though_a_picture_cannot_be_drawn(
    run: Run, folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no room for\na picture")

    monkeypatch.setattr(pictures, "draw_overlay", fail)
    message = failure(run)
    assert "left out: overlay_00.png, Lens_L in head_2" in message.splitlines()[0]
    assert "no room for a picture" in message.splitlines()[0]
    assert len(metrics(folders)) == 18
    page = (folders / "report" / "report.html").read_text()
    assert "no room for" in page
    assert "as boxes per organ and model" in page


def test_names_come_out_as_they_are(run: Run, folders: Path) -> None:
    names = {"A$\\frac{$": 1, "_<b>_": 2, "a\nb|c": 3}
    (folders / "dataset.json").write_text(json.dumps({"labels": {"background": 0, **names}, "file_ending": ".nii.gz"}))
    run()
    assert {row["organ"] for row in metrics(folders)} == set(names)
    summary, latex, page = (
        (folders / "report" / name).read_text() for name in ("summary.md", "summary.tex", "report.html")
    )
    for shown in (r"| A\$\\frac{\$ |", r"| \_<b>\_ |".replace("<", r"\<"), r"| a b\|c |"):
        assert shown in summary
    for shown in (r"A\$\textbackslash{}frac\{\$ & ", r"\_\textless{}b\textgreater{}\_ & ", r"a b\textbar{}c & "):
        assert shown in latex
    assert "_&lt;b&gt;_" in page
    assert "<b>" not in page


def same_folder_twice(folders: Path) -> tuple[str, ...]:
    return ("-pred", f"a={folders / 'right'}", f"b={folders / 'right' / '..' / 'right'}")


def reference_as_prediction(folders: Path) -> tuple[str, ...]:
    return ("-pred", f"a={folders / 'labelsTs'}")


def nothing_predicted(folders: Path) -> tuple[str, ...]:
    (folders / "empty").mkdir()
    shutil.copy(folders / "dataset.json", folders / "empty")
    return ("-pred", f"a={folders / 'empty'}")


def other_cases(folders: Path) -> tuple[str, ...]:
    write(folders / "others" / "patient.nii.gz")
    write(folders / "others" / "._head_1.nii.gz")  # as macOS leaves beside files
    return ("-pred", f"a={folders / 'others'}")


def other_ending(folders: Path) -> tuple[str, ...]:
    write(folders / "nrrd" / "head_1.nrrd")
    return ("-pred", f"a={folders / 'nrrd'}")


def other_labels(folders: Path) -> tuple[str, ...]:
    labels = LABELS | {"Lens_L": 3, "Lens_R": 2}
    (folders / "right" / "dataset.json").write_text(json.dumps({"labels": labels, "file_ending": ".nii.gz"}))
    return ("-pred", f"a={folders / 'shifted'}", f"b={folders / 'right'}")


def broken_plans(folders: Path) -> tuple[str, ...]:
    (folders / "right" / "plans.json").write_text('{"configurations": ')
    return ("-pred", f"a={folders / 'right'}")


def plans_of_another_kind(folders: Path) -> tuple[str, ...]:
    (folders / "right" / "plans.json").write_text('{"configurations": {"3d": {"focusnet": 1}}}')
    return ("-pred", f"a={folders / 'right'}")


def tolerances_of_another_kind(folders: Path) -> tuple[str, ...]:
    (folders / "tolerances.json").write_text("[1, 2]")
    return ("--tolerance_mm", str(folders / "tolerances.json"))


def tolerances_without_a_number(folders: Path) -> tuple[str, ...]:
    (folders / "tolerances.json").write_text('{"Brain": NaN, "Lens_L": 1, "Lens_R": 1}')
    return ("--tolerance_mm", str(folders / "tolerances.json"))


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (same_folder_twice, ("right is given for the model a and for the model b",)),
        (reference_as_prediction, ("labelsTs is given for the reference and for the model a",)),
        (nothing_predicted, ("empty, given for the model a, holds no label maps",)),
        (other_cases, ("others has no prediction of a case", "labelsTs", "but of patient")),
        (other_ending, ("nrrd holds no label maps (*.nii.gz", "head_1.nrrd")),
        (other_labels, ("Lens_L is 3 in", "right/dataset.json", "is 2 in", "--dataset_json")),
        (broken_plans, ("right/plans.json isn't JSON",)),
        (plans_of_another_kind, ("right/plans.json isn't what",)),
        (tolerances_of_another_kind, ("tolerances.json must hold a JSON object",)),
        (tolerances_without_a_number, ("tolerances.json needs a number", "Brain, but has NaN")),
    ],
)
def test_inputs_that_cannot_be_compared_are_named_in_a_line(
    run: Run, folders: Path, prepare: Callable[[Path], tuple[str, ...]], words: tuple[str, ...]
) -> None:
    message = failure(run, *prepare(folders))
    for word in words:
        assert word in message
    assert "\n" not in message
    assert not (folders / "report").exists()
