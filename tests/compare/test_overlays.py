"""Overlays say where they are; as SVG, whose comments hold each text. Outlines are those of the voxels."""

import re
from html import unescape
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from matplotlib.figure import Figure

from nnunetv2_focusnet.compare import style
from nnunetv2_focusnet.compare.cases import Comparison, LabelMaps, Row
from nnunetv2_focusnet.compare.images import Images
from nnunetv2_focusnet.compare.measurements import as_table
from nnunetv2_focusnet.compare.metrics import OrganMetrics
from nnunetv2_focusnet.compare.overlays import Overlay, _Line, _outline, draw_overlay
from nnunetv2_focusnet.compare.results import Results
from nnunetv2_focusnet.compare.style import model_dashes


def test_outlines_run_along_the_edges_of_voxels() -> None:
    """An L of three voxels of 2 x 3 mm with a diagonal neighbour, at the border of the slice."""
    mask = np.zeros((4, 5), dtype=bool)
    mask[0, 0] = mask[1, 0] = mask[1, 1] = mask[2, 2] = True
    across, down = (np.arange(6) - 0.5) * 2.0, (np.arange(5) - 0.5) * 3.0
    ax = Figure().subplots()
    _outline(ax, across, down, mask, _Line("reference", "red", "solid", 2.0))
    (path,) = ax.collections[0].get_paths()
    rings = path.to_polygons()
    points = np.concatenate(rings)
    assert np.isin(points[:, 0].round(6), across.round(6)).all()
    assert np.isin(points[:, 1].round(6), down.round(6)).all()
    areas = [
        abs(np.dot(ring[:-1, 0], ring[1:, 1]) - np.dot(ring[1:, 0], ring[:-1, 1])) / 2 for ring in map(np.array, rings)
    ]
    assert sum(areas) == pytest.approx(4 * 6.0)


def test_no_models_line_is_solid_as_the_reference_is() -> None:
    dashes = model_dashes([str(i) for i in range(6)])
    assert len(set(dashes.values())) == 6
    assert all(pattern for _, pattern in dashes.values())


@pytest.fixture
def draw(tmp_path: Path):
    """Draw an overlay of one voxel as SVG, in a file whose axes run to the right, to the front and to the feet."""

    def draw(is_ct: bool, models: tuple[str, ...]) -> Path:
        labels = np.zeros((8, 9, 10), dtype=np.uint8)
        labels[2, 3, 4] = 1
        for folder, array in (("ref", labels), ("a", labels), ("images", np.arange(720).reshape(8, 9, 10))):
            image = sitk.GetImageFromArray(array)
            image.SetSpacing((1.0, 2.0, 3.0))
            image.SetOrigin((10.0, 20.0, 30.0))
            image.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, -1))
            (tmp_path / folder).mkdir(exist_ok=True)
            sitk.WriteImage(image, str(tmp_path / folder / f"x{'_0000' * (folder == 'images')}.nii.gz"))
        maps = {name: LabelMaps(tmp_path / name, {"x": tmp_path / name / "x.nii.gz"}) for name in ("ref", "a")}
        predictions = dict.fromkeys(models, maps["a"])
        comparison = Comparison(maps["ref"], predictions, {"Lens": 1}, ".nii.gz", {"Lens": 1.0})
        rows = [Row("x", "Lens", model, OrganMetrics(1.0, 0.0, 1.0, 1, 1.0, 1.0, 0.0)) for model in models]
        results = Results(as_table(rows), models, (), ("Lens",), "1 mm", ())
        picture = tmp_path / "overlay.svg"
        draw_overlay(Overlay("Lens", "x", "median"), comparison, results, Images(tmp_path / "images", is_ct), picture)
        return picture

    return draw


@pytest.fixture
def texts(draw):
    """Texts of an overlay."""

    def read(is_ct: bool) -> list[str]:
        content = draw(is_ct, ("a",)).read_text(encoding="utf-8")
        return [unescape(text).strip() for text in re.findall("<!--(.*?)-->", content)]

    return read


def test_planes_say_where_they_are(texts) -> None:
    """By hand: the voxel lies at (10 - 4 x 1, 20 - 3 x 2, 30 - 2 x 3) mm to left, back and head."""
    shown = texts(is_ct=False)
    assert {"axial, S 24.0 mm", "coronal, P 14.0 mm", "sagittal, L 6.0 mm"} <= set(shown)
    letters = [text for text in shown if text in ("A", "P", "L", "R", "S", "I")]
    # left, right, bottom and top of each picture: the patient's right is on the left, as in all viewers
    assert letters == [*"RLPA", *"RLIS", *"APIS"]


def test_ct_has_the_window_of_soft_tissue(texts) -> None:
    assert any("HU -160 to 240" in text for text in texts(is_ct=True))
    # 1st and 99th percentile of 0 to 719
    assert any("grey values 7 to 712" in text for text in texts(is_ct=False))


def test_a_legend_of_many_long_names_fits_into_the_picture(draw, monkeypatch: pytest.MonkeyPatch) -> None:
    figures: list[Figure] = []
    monkeypatch.setattr(style, "save_figure", lambda figure, *_: figures.append(figure))
    draw(True, tuple(f"{i}_FocusNetTrainerPlansNetwork_own_predictor_seed_{i}" for i in range(10)))
    (figure,) = figures
    figure.draw_without_rendering()
    legend = figure.legends[0].get_window_extent()
    assert figure.bbox.x0 <= legend.x0 < legend.x1 <= figure.bbox.x1
