"""What a conversion did, for people: conversion_report.md, and lines for the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nnunetv2_focusnet.convert.raw_dataset import ConvertedCase
from nnunetv2_focusnet.system.files import write_text
from nnunetv2_focusnet.system.templates import markdown_text


@dataclass(frozen=True)
class Conversion:
    """All that happened.

    Attributes:
        dataset: name of the dataset's folder.
        layout: what was read.
        organs: label 1 is the first.
        cases: those that are in the dataset.
        left_out: case to reason.
        ignored: names of structures that are none of the organs, to the number of cases that have them.
        notes: further lines.
    """

    dataset: str
    layout: str
    organs: tuple[str, ...]
    cases: tuple[ConvertedCase, ...]
    left_out: dict[str, str]
    ignored: dict[str, int]
    notes: tuple[str, ...]

    def of_split(self, split: str) -> list[ConvertedCase]:
        """The cases for training or for test."""
        return [case for case in self.cases if case.split == split]

    def incomplete(self, split: str) -> dict[str, list[str]]:
        """Case to the organs that it doesn't have annotated, for cases that lack some."""
        missing = {case.case: [o for o in self.organs if o not in case.voxels] for case in self.of_split(split)}
        return {case: organs for case, organs in missing.items() if organs}

    def never_there(self) -> list[str]:
        """Organs without a voxel in any training case: nothing can learn them."""
        return [organ for organ in self.organs if not any(case.voxels.get(organ) for case in self.of_split("train"))]


def write_report(conversion: Conversion, folder: Path) -> None:
    """Write conversion_report.md into the dataset's folder."""
    write_text(folder / "conversion_report.md", "\n".join(_as_markdown(conversion)) + "\n")


def summary_lines(conversion: Conversion, folds: Sequence[Mapping[str, Sequence[str]]], folder: Path) -> Iterator[str]:
    """What a conversion did, for the terminal.

    Args:
        conversion: all that happened.
        folds: official folds, as in splits_final.json.
        folder: of the dataset.
    """
    training, test = conversion.of_split("train"), conversion.of_split("test")
    yield f"{folder}: {len(training)} training and {len(test)} test cases, {len(conversion.organs)} organs"
    yield from conversion.notes
    if missing := conversion.incomplete("train"):
        yield (
            f"{len(missing)} of {len(training)} training cases lack organs; dataset.json lists what they have. "
            "This package's trainers heed that, stock trainers learn what is missing as background"
        )
    if folds:
        counts = " + ".join(f"{len(fold['train'])}/{len(fold['val'])}" for fold in folds)
        yield (
            f"splits_final.json: official folds (training/validation {counts}), which nnU-Net takes over when it "
            "plans; delete it before for five folds of nnU-Net's own"
        )
    if conversion.ignored:
        listed = ", ".join(f"{name} ({number})" for name, number in conversion.ignored.items())
        yield f"ignored structures, with the number of cases: {listed}"
    yield f"Report: {folder / 'conversion_report.md'}"


def _as_markdown(conversion: Conversion) -> Iterable[str]:
    training, test = conversion.of_split("train"), conversion.of_split("test")
    yield f"# {conversion.dataset}"
    yield ""
    yield (
        f"Converted from the layout {conversion.layout}: {len(training)} training cases, {len(test)} test cases, "
        f"{len(conversion.organs)} organs, {len(conversion.left_out)} cases left out."
    )
    yield from _section("Left out", ("case", "why"), conversion.left_out.items())
    yield from _section(
        "Organs",
        ("organ", "label", "annotated in training", "of these absent", "annotated in test", "mean voxels in training"),
        (_organ_row(conversion, organ) for organ in conversion.organs),
    )
    missing = conversion.incomplete("train") | conversion.incomplete("test")
    yield from _section("Not annotated", ("case", "organs"), ((c, ", ".join(organs)) for c, organs in missing.items()))
    yield from _section(
        "Overlaps: the smaller organ has the voxels",
        ("organ", "covered by", "cases", "voxels", "largest share of the organ in a case"),
        _overlap_rows(conversion),
    )
    yield from _section("Geometry", ("case", "mask"), ((c.case, line) for c in conversion.cases for line in c.geometry))
    yield from _section("Notes", ("case", "note"), _note_rows(conversion))
    yield from _section("Ignored structures", ("name", "cases"), conversion.ignored.items())


def _section(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterable[str]:
    rows = list(rows)
    if rows:
        yield from ("", f"## {title}", "")
        for row in (columns, ["---"] * len(columns), *rows):
            yield "| " + " | ".join(map(markdown_text, row)) + " |"


def _organ_row(conversion: Conversion, organ: str) -> tuple[object, ...]:
    counts = [case.voxels[organ] for case in conversion.of_split("train") if organ in case.voxels]
    present = [count for count in counts if count]
    in_test = sum(organ in case.voxels for case in conversion.of_split("test"))
    mean = f"{sum(present) / len(present):.0f}" if present else "-"
    return organ, conversion.organs.index(organ) + 1, len(counts), len(counts) - len(present), in_test, mean


def _overlap_rows(conversion: Conversion) -> Iterable[tuple[object, ...]]:
    voxels: dict[tuple[str, str], list[int]] = {}
    shares: dict[tuple[str, str], list[float]] = {}
    for case in conversion.cases:
        whole = dict(case.voxels)
        for overlap in case.overlaps:
            whole[overlap.organ] = whole.get(overlap.organ, 0) + overlap.voxels
        for overlap in case.overlaps:
            pair = overlap.organ, overlap.covered_by
            voxels.setdefault(pair, []).append(overlap.voxels)
            shares.setdefault(pair, []).append(overlap.voxels / whole[overlap.organ])
    for pair in sorted(voxels, key=lambda pair: -max(shares[pair])):
        yield *pair, len(voxels[pair]), sum(voxels[pair]), f"{100 * max(shares[pair]):.1f} %"


def _note_rows(conversion: Conversion) -> Iterable[tuple[str, str]]:
    yield from (("", note) for note in conversion.notes)
    yield from ((case.case, note) for case in conversion.cases for note in case.notes)
