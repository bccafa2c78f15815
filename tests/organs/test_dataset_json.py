"""dataset.json as people write it, and what is said where it can't be used."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from nnunetv2_focusnet.organs.dataset_json import DatasetJson, organ_labels

LABELS = {"background": 0, "Brain": 1, "Eye_L": 2, "Eye_R": 3}
CONTENT = {"labels": LABELS, "file_ending": ".nii.gz"}


def fault(**changes: Any) -> str:
    with pytest.raises(ValueError, match=r"^here/dataset\.json: ") as error:
        DatasetJson.check(CONTENT | changes, "here/dataset.json")
    assert "\n" not in str(error.value)
    return str(error.value).removeprefix("here/dataset.json: ")


def fault_of_file(file: Path) -> str:
    with pytest.raises(ValueError, match=re.escape(str(file))) as error:
        DatasetJson.read(file, "name another")
    assert "\n" not in str(error.value)
    return str(error.value)


def test_all_that_it_may_say(tmp_path: Path) -> None:
    focusnet = {
        "small_organs": ["Eye_R", "Eye_L"],
        "roi_scale": 2,
        "annotated": {"a": ["Brain", "Eye_L"], "b": []},
        "annotated_test": {"t": ["Eye_R"]},
        "left_right_pairs": [["Eye_L", "Eye_R"]],
    }
    content = {"labels": LABELS | {"ignore": 4}, "file_ending": ".nrrd", "focusnet": focusnet, "name": "anything"}
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    read = DatasetJson.read(tmp_path / "dataset.json")
    assert read == DatasetJson(
        str(tmp_path / "dataset.json"),
        {"Brain": 1, "Eye_L": 2, "Eye_R": 3},
        ".nrrd",
        ignore_label=4,
        small_organs=("Eye_R", "Eye_L"),
        roi_scale=2.0,
        annotated={"a": ("Brain", "Eye_L"), "b": ()},
        annotated_test={"t": ("Eye_R",)},
        left_right_pairs=(("Eye_L", "Eye_R"),),
    )
    assert read.values == {0, 1, 2, 3, 4}
    assert read.unannotated == {"a": {3}, "b": {1, 2, 3}, "t": {1, 2}}


def test_what_holds_where_it_says_no_more_than_it_must() -> None:
    read = DatasetJson.check(CONTENT)
    assert (read.small_organs, read.roi_scale, read.left_right_pairs, read.ignore_label) == (None, 3.0, None, None)
    assert (read.unannotated, read.values) == ({}, {0, 1, 2, 3})
    assert organ_labels(LABELS | {"ignore": 4}) == read.labels


@pytest.mark.parametrize(
    ("channels", "is_ct"),
    [
        ({}, False),
        ({"channel_names": {"0": "ct", "1": "MR"}}, True),
        ({"channel_names": {"0": "MR", "1": "CT"}}, False),
        ({"modality": {"0": "CT"}}, True),  # as older files call it
    ],
)
def test_ct_is_what_the_first_channel_is_called(channels: dict[str, Any], is_ct: bool) -> None:
    assert DatasetJson.check(CONTENT | channels).is_ct == is_ct


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (["Brain"], 'must be an object of names with their values, got ["Brain"]'),
        (None, "got null"),
        ({}, 'must have "background": 0'),
        ({"background": 0}, "no organ"),
        ({"background": 0, "ignore": 1}, "no organ"),
        ({"Brain": 1}, 'must have "background": 0, got null'),
        ({"background": 1, "Brain": 0}, 'must have "background": 0, got 1'),
        ({"background": False, "Brain": 1}, "an integer for background, got false"),
        ({"background": 0, "Brain": "one"}, 'an integer for Brain, got "one"'),
        ({"background": 0, "Brain": "1"}, 'an integer for Brain, got "1"'),
        ({"background": 0, "Brain": 1.4}, "an integer for Brain, got 1.4"),
        ({"background": 0, "Brain": 1.0}, "an integer for Brain, got 1.0"),
        ({"background": 0, "Brain": True}, "an integer for Brain, got true"),
        ({"background": 0, "Brain": None}, "an integer for Brain, got null"),
        ({"background": 0, "Brain": {"value": 1}}, 'an integer for Brain, got {"value": 1}'),
        ({"0": "background", "1": "Brain"}, 'an integer for 0, got "background"'),  # as nnU-Net v1 had it
        ({"background": 0, "Head": [1, 2], "Eye": 2}, "regions (lists of values) for Head"),
        ({"background": 0, "Brain": -1}, "0 to 1 without a gap, got -1 for Brain and none of 1"),
        ({"background": 0, "Brain": 1, "Eye": 3}, "0 to 2 without a gap, got 3 for Eye and none of 2"),
        ({"background": 0, "Brain": 2, "Eye": 5}, "got 5 for Eye and none of 1"),
        ({"background": 0, "Eye_L": 1, "Eye_R": 1}, "the value 1 for Eye_L, Eye_R"),
        ({"background": 0, "Brain": 0}, "the value 0 for background, Brain"),
        ({"background": 0, "Brain": 1, "ignore": 1}, "the value 1 for Brain, ignore"),
        ({"background": 0, "Brain": 2, "ignore": 1}, 'the highest value for "ignore", got 1 below 2'),
        ({"background": 0, "Brain": 1, "ignore": 3}, "got 3 for ignore and none of 2"),
        ({"background": 0, "Brain": 1, "ignore": [2]}, "regions (lists of values) for ignore"),
        ({"background": 0, "": 1}, "without a character"),
        ({"background": 0, " ": 1}, "without a character"),
        ({"background": 0, "Eye L": 1, "Eye  L ": 2}, '"Eye L", "Eye  L "], which differ in spaces only'),
        ({"background": 0, "Brain": 1, "Ignore": 2}, 'write "ignore"'),  # would be trained as an organ
        ({"Background": 0, "Brain": 1}, 'write "background"'),
        ({"background": 0, "Brain\nstem": 1.5}, "an integer for Brain stem, got 1.5"),
    ],
)
def test_labels_that_nnunet_would_misread(labels: object, words: str) -> None:
    message = fault(labels=labels)
    assert message.startswith('"labels" ')
    assert words in message


@pytest.mark.parametrize("ending", [None, "", ".", "nii.gz", 1, [".nii.gz"]])
def test_file_endings_that_are_none(ending: object) -> None:
    assert fault(file_ending=ending).startswith('"file_ending" must be one such as ".nii.gz", got ')


@pytest.mark.parametrize("key", ["labels", "file_ending"])
def test_keys_that_are_missing(key: str) -> None:
    with pytest.raises(ValueError, match=f'^dataset.json: has no "{key}"'):
        DatasetJson.check({name: value for name, value in CONTENT.items() if name != key})


@pytest.mark.parametrize(
    ("focusnet", "words"),
    [
        (["Brain"], '"focusnet" must be an object with small_organs, roi_scale,'),
        (None, "got null"),
        ({"small_organ": ["Brain"]}, "unknown keys small_organ; it knows small_organs, roi_scale, annotated,"),
        ({"small_organs": ["Brain", "Lense"]}, "has Lense, but the organs are Brain, Eye_L, Eye_R"),
        ({"small_organs": ["background"]}, "has background, but"),
        ({"small_organs": ["ignore"]}, "has ignore, but"),
        ({"small_organs": ["Brain", "Brain"]}, "has Brain twice"),
        ({"small_organs": "Brain"}, '"small_organs" of "focusnet" must be a list of organs, got "Brain"'),
        ({"small_organs": None}, "a list of organs, got null"),
        ({"small_organs": [1]}, "a list of organs, got [1]"),
        ({"roi_scale": 1}, '"roi_scale" of "focusnet" must be a number above 1, got 1'),
        ({"roi_scale": float("inf")}, "got Infinity"),
        ({"roi_scale": float("nan")}, "got NaN"),
        ({"roi_scale": "3"}, 'got "3"'),
        ({"roi_scale": True}, "got true"),
        ({"annotated": ["a"]}, "must be an object of cases with lists of organs"),
        ({"annotated": {"a": "Brain"}}, 'for a, must be a list of organs, got "Brain"'),
        ({"annotated": {"a": {"Brain": True}}}, "for a, must be a list of organs"),
        ({"annotated": {"a": [1]}}, "for a, must be a list of organs"),
        ({"annotated": {"a": ["Brain", "Lense"]}}, "for a, has Lense, but the organs are Brain, Eye_L, Eye_R"),
        ({"annotated": {"a": ["background"]}}, "for a, has background"),
        ({"annotated_test": {"a": ["ignore"]}}, '"annotated_test" of "focusnet", for a, has ignore'),
        ({"annotated": {"a": []}, "annotated_test": {"a": []}}, "both list a"),
        ({"left_right_pairs": {"Eye_L": "Eye_R"}}, 'must be a list of ["LEFT ORGAN", "RIGHT ORGAN"]'),
        ({"left_right_pairs": [["Eye_L"]]}, 'must be a list of ["LEFT ORGAN", "RIGHT ORGAN"]'),
        ({"left_right_pairs": ["Eye_L", "Eye_R"]}, 'must be a list of ["LEFT ORGAN", "RIGHT ORGAN"]'),
        ({"left_right_pairs": [["Eye_L", "Eye_r"]]}, "has Eye_r, but the organs are"),
        ({"left_right_pairs": [["Eye_L", "Eye_R"], ["Brain", "Eye_R"]]}, "has Eye_R twice"),
        ({"left_right_pairs": [["Eye_L", "Eye_L"]]}, "has Eye_L twice"),
        ({"left_right_pairs": [["Eye_R", "Eye_L"]]}, "the left organ comes first"),
    ],
)
def test_settings_that_make_no_sense(focusnet: object, words: str) -> None:
    assert words in fault(focusnet=focusnet)


def test_long_values_are_cut_short() -> None:
    assert len(fault(labels=["Brain"] * 1000)) < 200


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"labels": ', "isn't JSON"),
        ("", "isn't JSON"),
        ("\udcff", "isn't JSON"),
        ("[" * 100_000, "isn't JSON"),
        ('["labels"]', "must hold a JSON object"),
        ('{"labels": {"Eye": 1, "Eye": 2}, "file_ending": ".nii.gz"}', 'has the key "Eye" twice'),
        ('{"file_ending": ".nii.gz", "labels": {}, "labels": {}}', 'has the key "labels" twice'),
    ],
)
def test_files_that_hold_something_else(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "dataset.json"
    file.write_text(text, encoding="utf-8", errors="surrogateescape")
    assert words in fault_of_file(file)


def test_files_that_are_not_there(tmp_path: Path) -> None:
    assert "doesn't exist: name another" in fault_of_file(tmp_path / "dataset.json")
    (tmp_path / "dataset.json").mkdir()
    assert "can't be read" in fault_of_file(tmp_path / "dataset.json")
