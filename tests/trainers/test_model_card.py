"""The model card beside a trained model, for a run of the tiny trainer and a validation written by hand."""

import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt
from nnunetv2.run.run_training import maybe_load_checkpoint
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

import nnunetv2_focusnet
from nnunetv2_focusnet.demo.phantom import LABELS
from nnunetv2_focusnet.organs.organ import Organ
from nnunetv2_focusnet.trainers import model_card

DICE = {"Head_001": {"Lens_L": 0.25, "Eye_L": math.nan}, "Head_003": {"Lens_L": 0.5, "Eye_L": 0.75}}
NAMES = ("Lens_L", "_x_", "*GTV*", "p|q", "\\|", "`c`", "x<b>y", "[l](u)", "&lt;")


def write_summary(trainer: Any) -> None:
    """As nnU-Net's evaluation writes it, with a Dice of 0.5 for what DICE doesn't say."""
    cases = [
        {
            "reference_file": f"somewhere/{case}.nii.gz",
            "metrics": {str(label): {"Dice": dice.get(name, 0.5)} for name, label in LABELS.items() if label},
        }
        for case, dice in DICE.items()
    ]
    folder = Path(trainer.output_folder) / "validation"
    folder.mkdir()
    (folder / "summary.json").write_text(json.dumps({"metric_per_case": cases}))


@pytest.fixture
def validate(
    make_trainer: Callable[..., Any], left_by_kill: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., str]:
    """A function that validates the finished run, with nnU-Net's part replaced, and returns the model card."""

    def run(**attributes: Any) -> str:
        fold = left_by_kill(8)
        trainer = make_trainer()
        maybe_load_checkpoint(trainer, continue_training=False, validation_only=True)
        monkeypatch.setattr(nnUNetTrainer, "perform_actual_validation", lambda self, _: write_summary(self))
        for name, value in attributes.items():
            setattr(trainer, name, value)
        trainer.perform_actual_validation()
        return (fold / "MODEL_CARD.md").read_text(encoding="utf-8")

    return run


def rows_of(card: str) -> dict[str, list[str]]:
    """Cells of the card's table by organ, as a Markdown reader sees them."""
    tokens = MarkdownIt().enable("table").parse(card)
    cells = [tokens[i + 1].content for i, token in enumerate(tokens) if token.type in ("th_open", "td_open")]
    rows = [cells[i : i + 9] for i in range(0, len(cells), 9)]
    return {row[0]: row for row in rows}


def test_card_says_what_the_model_is(validate: Callable[..., str]) -> None:
    card = validate()
    rows = rows_of(card)
    assert list(rows) == ["organ", *(name for name in LABELS if name != "background")]
    # Means of 0.25 and 0.5, and of 0.75 alone: the eye is in neither label map of the other case.
    assert rows["Lens_L"][6:] == ["0.375", "0.250", "2"]
    assert rows["Eye_L"][6:] == ["0.750", "0.750", "1"]
    assert rows["Lens_L"][5].count(" x ") == 2
    assert rows["Brain"][5] == ""
    assert rows["Brain"][1:3] == ["1", "5"]  # label and cases
    assert card.startswith("# Dataset900_Phantom: SmallFocusNetTrainer, fold 0\n")
    assert "4 training cases, 1 validation cases, 8 epochs" in card
    assert f"nnunetv2-focusnet {nnunetv2_focusnet.__version__}, nnunetv2 2.8" in card
    assert "- `format`: 2" in card
    assert "- `detection_threshold`: 0.2" in card
    assert "These are training cases" not in card


def test_channels_may_have_the_older_name(validate: Callable[..., str], project: Path) -> None:
    file = project / "dataset.json"
    content = json.loads(file.read_text())
    del content["channel_names"]
    file.write_text(json.dumps(content | {"modality": {"0": "CBCT"}}))
    assert "Segments 9 organs in CBCT images." in validate()


def test_names_come_out_as_they_are(validate: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    row = model_card._row

    def renamed(organ: Organ, *rest: Any) -> dict[str, Any]:
        return row(replace(organ, name=NAMES[organ.label - 1]), *rest)

    monkeypatch.setattr(model_card, "_row", renamed)
    monkeypatch.setattr(model_card, "channels_of", lambda _: {"0": "*T1*", "1": "a\nb"})
    shown = MarkdownIt("commonmark").enable("table").render(validate())
    assert "<p>Segments 9 organs in *T1*, a b images.</p>" in shown
    assert [unescape(name) for name in re.findall(r"<tr>\n<td>(.*?)</td>", shown)] == list(NAMES)


def test_an_organ_is_judged_where_it_is_annotated(validate: Callable[..., str]) -> None:
    # dataset.json would be refused: the phantom's label files hold every organ.
    card = validate(unannotated={"Head_001": frozenset({LABELS["Lens_L"]})})
    assert rows_of(card)["Lens_L"][6:] == ["0.500", "0.500", "1"]


def test_scores_of_training_cases_are_called_that(validate: Callable[..., str]) -> None:
    both = list(DICE)
    assert "**These are training cases" in validate(do_split=lambda: (both, both))  # as nnU-Net's fold "all"
