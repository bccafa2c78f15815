"""Which structures of each case become which organs of the dataset."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from nnunetv2_focusnet.convert.layouts.base import Layout, NoCaseError, SourceCase
from nnunetv2_focusnet.organs.names import words_and_side

Key = tuple[str, str]
RESERVED = {"background", "ignore"}  # by nnU-Net


@dataclass(frozen=True)
class SelectedCase:
    """A case and the structures to take from it.

    Attributes:
        case: where it lies.
        structures: organ to the name that the source has for it; an organ that isn't here is not annotated.
        ignored: names of structures that are none of the layout's organs.
    """

    case: SourceCase
    structures: dict[str, str]
    ignored: tuple[str, ...]


@dataclass(frozen=True)
class Selection:
    """What is converted.

    Attributes:
        organs: in the order of their labels, from 1.
        cases: without those that have none of the organs to train on.
        left_out: case to the reason why it can't be converted.
        notes: a line on each organ that was asked for or is the layout's, but isn't annotated in any training case, and
            on each name that can't be an organ's, and on what else an organ is called where the layout has no names;
            before them, one on whatever was found that is no case.
    """

    organs: tuple[str, ...]
    cases: list[SelectedCase]
    left_out: dict[str, str]
    notes: list[str]


def select(layout: Layout, cases: Sequence[SourceCase], wanted: Sequence[str]) -> Selection:
    """Match structure names with organs, whatever their case, separators and spelling of the side.

    Args:
        layout: names the organs and their aliases.
        cases: as the layout found them.
        wanted: the organs to take, in this order; empty: all that the layout has.

    Raises:
        ValueError: an organ that is wanted is none of the layout's, or twice there, or no training case has any.
    """
    left_out = {
        case: f"{case} is there {number} times: keep one copy"
        for case, number in Counter(case.identifier for case in cases).items()
        if number > 1
    }
    names: dict[str, Sequence[str]] = {}
    notes = []
    for case in cases:
        if case.identifier not in left_out:
            try:
                names[case.identifier] = case.structure_names()
            except NoCaseError as error:
                notes.append(str(error))
            except ValueError as error:
                left_out[case.identifier] = str(error)

    known = _known_organs(layout, names)
    if left_out and not known:  # the organs are those of the cases, and no case can be read
        raise ValueError(f"no case can be converted: {next(iter(left_out.values()))}")
    organs = _wanted_organs(wanted, known, left_out) if wanted else tuple(dict.fromkeys(known.values()))
    selected = []
    for case in cases:
        if case.identifier not in names:
            continue
        try:
            selected.append(_select_structures(case, names[case.identifier], known, organs))
        except ValueError as error:
            left_out[case.identifier] = str(error)

    trained = {organ for each in selected if each.case.split == "train" for organ in each.structures}
    if not trained:
        reasons = f" ({next(iter(left_out.values()))})" if left_out else ""
        raise ValueError(f"no training case has any of the organs {', '.join(organs)}{reasons}")
    missing = [organ for organ in organs if organ not in trained]
    notes += [f"{organ} isn't annotated in any training case and got no label" for organ in missing]
    if not layout.organs:
        notes += _other_spellings(selected)
    no_organs = sorted({name for each in selected for name in each.ignored if not _can_be_organ(name)})
    notes += [f"a structure named {name!r} can't be an organ and was ignored" for name in no_organs]
    organs = tuple(organ for organ in organs if organ in trained)
    return Selection(organs, [_restricted(each, organs) for each in selected], left_out, notes)


def _known_organs(layout: Layout, names: dict[str, Sequence[str]]) -> dict[Key, str]:
    """Organ by key. Where the layout names none, the organs are what the cases have, in their commonest spelling."""
    if layout.organs:
        return {_key(o): o for o in layout.organs} | {_key(alias): organ for alias, organ in layout.aliases.items()}
    spellings = Counter(name for case in names.values() for name in case)
    by_key: dict[Key, str] = {}
    for name, _ in sorted(spellings.items(), key=lambda item: (-item[1], item[0])):
        if _can_be_organ(name):
            by_key.setdefault(_key(name), name)
    return dict(sorted(by_key.items(), key=lambda item: item[1].lower()))


def _wanted_organs(wanted: Sequence[str], known: dict[Key, str], left_out: dict[str, str]) -> tuple[str, ...]:
    if unknown := [name for name in wanted if _key(name) not in known]:
        there = ", ".join(dict.fromkeys(known.values()))
        unread = f" (cases that can't be read: {len(left_out)}; {next(iter(left_out.values()))})" if left_out else ""
        raise ValueError(f"--organs: {', '.join(unknown)} is none of the organs here: {there}{unread}")
    organs = tuple(known[_key(name)] for name in wanted)
    if double := [organ for organ, number in Counter(organs).items() if number > 1]:
        raise ValueError(f"--organs has {', '.join(double)} twice")
    return organs


def _select_structures(
    case: SourceCase, names: Sequence[str], known: dict[Key, str], organs: Sequence[str]
) -> SelectedCase:
    structures: dict[str, str] = {}
    ignored = []
    for name in names:
        organ = known.get(_key(name))
        if organ is None:
            ignored.append(name)
        elif organ in structures:
            raise ValueError(f"{case.identifier} has {structures[organ]} and {name}, both {organ}: keep one")
        elif organ in organs:
            structures[organ] = name
    structures = {organ: structures[organ] for organ in organs if organ in structures}
    if case.split == "train" and not structures:
        there = ", ".join(names) or "none"
        raise ValueError(f"{case.identifier} has none of the organs to train on: its structures are {there}")
    return SelectedCase(case, structures, tuple(ignored))


def _other_spellings(selected: Sequence[SelectedCase]) -> Iterator[str]:
    """What else an organ is called where cases name it as they like: somebody has to see that it is the same."""
    others: dict[str, set[str]] = {}
    for each in selected:
        for organ, name in each.structures.items():
            others.setdefault(organ, set()).update({name} - {organ})
    return (f"{organ} is {', '.join(sorted(names))} in some cases" for organ, names in others.items() if names)


def _can_be_organ(name: str) -> bool:
    """Whether there is anything to tell it by, and nnU-Net doesn't reserve the name."""
    return any(character.isalnum() for character in name) and _key(name) not in {(word, "") for word in RESERVED}


def _restricted(selected: SelectedCase, organs: Sequence[str]) -> SelectedCase:
    structures = {organ: name for organ, name in selected.structures.items() if organ in organs}
    return SelectedCase(selected.case, structures, selected.ignored)


def _key(name: str) -> Key:
    """Words without what separates them, save two numbers: Ring 1.5 isn't Ring 15.

    Signs that mean something stay: by TG-263 Brain~ is a part of the brain, and Brain+PTV isn't Brain-PTV.
    """
    words, side = words_and_side(name)
    return re.sub(r"(?<!\d) | (?!\d)", "", " ".join(words)) + "".join(re.findall(r"[~+*<>!]", name)), side
