"""Plots show names as they are and what isn't drawn; as SVG, whose comments hold each text."""

import math
import re
import warnings
from html import unescape
from pathlib import Path

import pytest

from nnunetv2_focusnet.compare.cases import Row
from nnunetv2_focusnet.compare.measurements import as_table
from nnunetv2_focusnet.compare.metrics import OrganMetrics
from nnunetv2_focusnet.compare.plots import draw_boxes, draw_differences
from nnunetv2_focusnet.compare.results import Results
from nnunetv2_focusnet.compare.style import label, model_colours

ORGANS = ("A$\\frac{$", "_hidden", "two\nlines")
MODELS = ("_a $x^2$", "b & <i>")


def results() -> Results:
    """The first model misses the first organ in two of three cases, the second finds one that isn't there."""
    found = OrganMetrics(0.5, 2.0, 0.5, 50, 1.0, 1.0, 0.0)
    missed = OrganMetrics(0.0, math.inf, 0.0, 50, 1.0, 0.0, math.inf)
    extra = OrganMetrics(0.0, math.inf, 0.0, 0, 0.0, 1.0, math.inf)
    rows = [Row(str(case), organ, model, found) for case in range(3) for organ in ORGANS for model in MODELS]
    rows[0], rows[6] = (Row(str(case), ORGANS[0], MODELS[0], missed) for case in (0, 1))
    rows.append(Row("3", ORGANS[1], MODELS[1], extra))
    return Results(as_table(rows), MODELS, (), ORGANS, "1 mm", ())


def texts(picture: Path) -> list[str]:
    return [unescape(text).strip() for text in re.findall("<!--(.*?)-->", picture.read_text(encoding="utf-8"))]


def test_boxes_count_what_they_leave_out(tmp_path: Path) -> None:
    draw_boxes(results(), "hd95_mm", tmp_path / "boxes.svg")
    shown = texts(tmp_path / "boxes.svg")
    assert {"A$\\frac{$", "_hidden", "two lines", *MODELS} <= set(shown)
    assert shown.count("2 missed") == 1
    assert shown.count("1 false positive") == 1
    draw_boxes(results(), "dsc", tmp_path / "boxes.svg")
    assert "2 missed" not in texts(tmp_path / "boxes.svg")  # they are in its boxes, with a DSC of 0


def test_differences_count_what_they_leave_out(tmp_path: Path) -> None:
    draw_differences(results(), MODELS[1], "hd95_mm", tmp_path / "differences.svg")
    shown = texts(tmp_path / "differences.svg")
    assert {"2 left out:", "2 missed by _a $x^2$", "1 left out:", "1 false positive"} <= set(shown)
    assert "HD95 (mm): b & <i> minus _a $x^2$" in shown


def test_pictures_do_not_depend_on_the_users_settings(tmp_path: Path) -> None:
    import matplotlib as mpl

    with mpl.rc_context({"axes.formatter.use_mathtext": True, "font.size": 30}):
        draw_boxes(results(), "dsc", tmp_path / "changed.svg")
    draw_boxes(results(), "dsc", tmp_path / "plain.svg")
    assert texts(tmp_path / "changed.svg") == texts(tmp_path / "plain.svg")


@pytest.mark.parametrize("number", [2, 6, 7, 12])
def test_no_two_models_share_a_colour(number: int) -> None:
    assert len(set(model_colours([str(i) for i in range(number)]).values())) == number


def test_names_that_the_font_has_no_characters_for_bring_no_warnings(tmp_path: Path) -> None:
    found = OrganMetrics(0.5, 2.0, 0.5, 50, 1.0, 1.0, 0.0)
    rows = [Row(str(case), "視神経", "a", found) for case in range(3)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw_boxes(Results(as_table(rows), ("a",), (), ("視神経",), "1 mm", ()), "dsc", tmp_path / "boxes.png")
    assert (tmp_path / "boxes.png").is_file()


def test_labels_of_long_names_keep_both_ends() -> None:
    assert label("Lens_L") == "Lens_L"
    assert label("a parotid gland on the left side") == "a parotid gland on the\nleft side"
    names = [f"FocusNetTrainerPlansNetwork_own_predictor_seed{i}" for i in range(2)]
    assert label("0123456789" * 6) == "0123456789012345678901234…\n45678901234567890123456789"
    assert label(names[0]) != label(names[1])
