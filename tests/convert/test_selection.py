from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from nnunetv2_focusnet.convert.layouts import LAYOUTS
from nnunetv2_focusnet.convert.layouts.base import Channel, Layout, SourceCase, Structure
from nnunetv2_focusnet.convert.selection import select


@dataclass(frozen=True)
class Named(SourceCase):
    names: tuple[str, ...] = ()

    def structure_names(self) -> Sequence[str]:
        if not self.names:
            raise ValueError(f"{self.identifier}.dcm can't be read: export it again")
        return self.names

    def channels(self) -> list[Channel]:
        raise NotImplementedError

    def structures(self, names: Sequence[str]) -> Iterator[Structure]:
        raise NotImplementedError


class Lenses(Layout):
    name, title, about, licence, citation, reference = "lenses", "Lenses", "", "", "", ""
    organs = ("Lens-Lt", "Lens-Rt", "Brain")
    aliases: ClassVar[dict[str, str]] = {"Cerebrum": "Brain"}

    def find_cases(self, source: Path) -> list[SourceCase]:
        raise NotImplementedError


class Anything(Lenses):
    organs = ()
    aliases: ClassVar[dict[str, str]] = {}


def train(identifier: str, *names: str) -> Named:
    return Named(identifier, "train", names)


@pytest.mark.parametrize("spelling", ["Lens-Lt", "Lens_Lt", "lens_l", "LensLt", "Left Lens", "LENS LEFT"])
def test_spellings_of_case_separators_and_side_are_one_organ(spelling: str) -> None:
    selection = select(Lenses(), [train("a", spelling)], [])
    assert selection.cases[0].structures == {"Lens-Lt": spelling}


def test_organs_keep_the_order_of_the_layout_and_unknown_structures_are_listed() -> None:
    selection = select(Lenses(), [train("a", "PTV 60", "Cerebrum", "Lens_R", "Lens_L")], [])
    assert selection.organs == ("Lens-Lt", "Lens-Rt", "Brain")
    assert selection.cases[0].structures == {"Lens-Lt": "Lens_L", "Lens-Rt": "Lens_R", "Brain": "Cerebrum"}
    assert selection.cases[0].ignored == ("PTV 60",)


def test_wanted_organs_restrict_and_order_the_labels() -> None:
    selection = select(Lenses(), [train("a", "Brain", "Lens-Rt", "Lens-Lt")], ["brain", "Lens_L"])
    assert selection.organs == ("Brain", "Lens-Lt")
    assert selection.cases[0].structures == {"Brain": "Brain", "Lens-Lt": "Lens-Lt"}
    assert selection.cases[0].ignored == ()


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (["Liver"], "--organs: Liver is none of the organs here: Lens-Lt, Lens-Rt, Brain"),
        (["Brain", "Cerebrum"], "--organs has Brain twice"),
        (["Lens-Rt"], "no training case has any of the organs Lens-Rt"),
    ],
)
def test_organs_that_cannot_be_taken_are_refused(wanted: list[str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        select(Lenses(), [train("a", "Brain")], wanted)


def test_an_organ_that_no_training_case_has_gets_no_label() -> None:
    cases = [train("a", "Brain", "Lens-Rt"), Named("b", "test", ("Brain", "Lens-Lt"))]
    selection = select(Lenses(), cases, [])
    assert selection.organs == ("Lens-Rt", "Brain")
    assert selection.cases[1].structures == {"Brain": "Brain"}
    assert selection.notes == ["Lens-Lt isn't annotated in any training case and got no label"]


def test_faulty_cases_are_left_out_with_a_reason_and_the_others_stay() -> None:
    cases = [
        train("good", "Brain"),
        train("double", "Brain", "Lens-Lt", "Lens_Lt"),
        train("unreadable"),
        train("other", "Liver", "Spleen"),
        train("twice", "Brain"),
        train("twice", "Brain"),
    ]
    selection = select(Lenses(), cases, [])
    assert [each.case.identifier for each in selection.cases] == ["good"]
    assert selection.left_out == {
        "double": "double has Lens-Lt and Lens_Lt, both Lens-Lt: keep one",
        "unreadable": "unreadable.dcm can't be read: export it again",
        "other": "other has none of the organs to train on: its structures are Liver, Spleen",
        "twice": "twice is there 2 times: keep one copy",
    }


def test_structures_for_one_organ_leave_no_case_out_if_it_is_not_wanted() -> None:
    case = train("a", "PTV_54", "PTV54", "Lens_L")
    selection = select(Anything(), [case], ["Lens_L"])
    assert selection.cases[0].structures == {"Lens_L": "Lens_L"}
    with pytest.raises(ValueError, match="a has PTV_54 and PTV54, both PTV54: keep one"):
        select(Anything(), [case], ["PTV54"])


def test_a_layout_without_organs_has_those_of_the_cases_in_their_commonest_spelling() -> None:
    cases = [train("a", "Parotid_L", "brain"), train("b", "Parotid_L"), train("c", "left parotid", "Myelon")]
    selection = select(Anything(), cases, [])
    assert selection.organs == ("brain", "Myelon", "Parotid_L")
    assert selection.cases[2].structures == {"Myelon": "Myelon", "Parotid_L": "left parotid"}
    assert selection.notes == ["Parotid_L is left parotid in some cases"]


@pytest.mark.parametrize(
    "names",
    [
        ("Brain", "Brain~"),
        ("Brain+PTV", "Brain-PTV"),
        ("Lens_L", "Lens_L+"),
        ("Ring 1.5", "Ring_15"),
        ("PTV_5_40", "PTV_54_0"),
        ("LN", "LN_L", "LN_L_R", "LN_R"),
        ("Rib_1_L_2", "Rib_12_L"),
    ],
)
def test_other_numbers_and_sides_are_other_organs(names: tuple[str, ...]) -> None:
    selection = select(Anything(), [train("a", *names)], [])
    assert selection.cases[0].structures == {name: name for name in names}


def test_names_that_can_be_no_organs_are_ignored_with_a_note() -> None:
    none = ("background", "IGNORE", "+", "~", "")
    selection = select(Anything(), [train("a", *none, "Lens_L", "7"), train("b", "Lens_L", "~")], [])
    assert selection.organs == ("7", "Lens_L")
    assert [each.ignored for each in selection.cases] == [none, ("~",)]
    assert selection.notes == [f"a structure named '{name}' can't be an organ and was ignored" for name in sorted(none)]


@pytest.mark.parametrize("layout", sorted(name for name, layout in LAYOUTS.items() if layout.organs))
def test_no_two_organs_of_a_layout_are_taken_for_one(layout: str) -> None:
    organs = LAYOUTS[layout].organs
    selection = select(LAYOUTS[layout](), [train("a", *organs)], [])
    assert selection.organs == organs
    assert selection.cases[0].structures == {organ: organ for organ in organs}
