"""A report replaces an earlier one as a whole or not at all, and nothing else."""

from pathlib import Path

import pytest

from nnunetv2_focusnet.compare.report_folder import new_report


def write(folder: Path, *names: str) -> None:
    with new_report(folder) as unfinished:
        for name in names:
            (unfinished / name).write_text("new")


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_nothing_of_an_earlier_report_stays_but_the_users_own_files(tmp_path: Path) -> None:
    write(
        tmp_path / "a/report", "report.html", "paired.csv", "overlay_03.png", "overlay_112.png", "differences_dsc_2.png"
    )
    own = {"notes.txt", "boxes_mine.png", "differences_of_readers.png", "overlay_for_the_talk.png"}
    own |= {"overlay_00 for paper.png", "overlay_01_mine.png", "differences_dsc_1_annotated.png", "report.html.bak"}
    for name in own:
        (tmp_path / "a/report" / name).write_text("mine")
    write(tmp_path / "a/report", "report.html", "summary.md")
    assert names(tmp_path / "a/report") == {"report.html", "summary.md"} | own


def test_a_failure_leaves_the_earlier_report(tmp_path: Path) -> None:
    write(tmp_path, "report.html", "paired.csv")

    def fail() -> None:
        with new_report(tmp_path) as unfinished:
            (unfinished / "report.html").write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert names(tmp_path) == {"report.html", "paired.csv"}
    assert (tmp_path / "report.html").read_text() == "new"


def test_a_failure_leaves_no_empty_folder(tmp_path: Path) -> None:
    def interrupt() -> None:
        with new_report(tmp_path / "report"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupt()
    assert names(tmp_path) == set()


def test_what_a_killed_comparison_left_goes(tmp_path: Path) -> None:
    left = tmp_path / ".report.0123abcd.unfinished"
    left.mkdir()
    (left / "summary.md").write_text("half")
    write(tmp_path, "report.html")
    assert names(tmp_path) == {"report.html"}


def test_two_comparisons_at_a_time_leave_each_other_alone(tmp_path: Path) -> None:
    with new_report(tmp_path) as first:
        (first / "summary.md").write_text("first")
        write(tmp_path, "report.html")
        (first / "report.html").write_text("first")
    assert names(tmp_path) == {"report.html", "summary.md"}
    assert (tmp_path / "report.html").read_text() == "first"
