"""Codes and colours of organs."""

import pytest

from nnunetv2_focusnet.convert.layouts import LAYOUTS
from nnunetv2_focusnet.dicom.organ_codes import organ_code, organ_colour, organ_kind, with_side


@pytest.mark.parametrize(
    ("name", "code", "side"),
    [
        ("Lens-Lt", "78076003", "Left"),
        ("lens_right", "78076003", "Right"),
        ("Optic Nerve R", "18234004", "Right"),
        ("OpticNrv_L", "18234004", "Left"),
        ("Glnd_Submand_L", "54019009", "Left"),
        ("BrainStem", "119238007", None),
        ("Cochlea_R", "80169004", "Right"),
        ("Something else", "91723000", None),
        ("Lens_L_R", "91723000", None),  # both lenses aren't the left one
        ("Eye_AL", "91723000", None),  # a part of the eye isn't the eye
    ],
)
def test_codes_of_snomed_ct(name: str, code: str, side: str | None) -> None:
    concept = with_side(organ_code(name), name)
    assert (concept.CodeValue, concept.CodingSchemeDesignator) == (code, "SCT")
    modifiers = concept.get("SegmentedPropertyTypeModifierCodeSequence") or []
    assert [item.CodeMeaning for item in modifiers] == ([side] if side else [])


@pytest.mark.parametrize("layout", ["pddca", "tcia-deepmind", "structseg"])
def test_organs_of_public_data_sets_have_codes(layout: str) -> None:
    assert [name for name in LAYOUTS[layout].organs if organ_code(name).value == "91723000"] == []


@pytest.mark.parametrize(
    ("names", "kind", "code"),
    [
        (["GTV", "GTVp", "gtv_n1", "GTV-T", "IGTV", "_GTVnd"], "GTV", "228791009"),
        (["CTV", "CTV_High", "ITV", "ICTV_54"], "CTV", "228792002"),
        (["PTV", "PTV70", "ptv_6996"], "PTV", "228793007"),
        (["BODY", "Body", "External", "Patient Outline"], "EXTERNAL", "38266002"),
        (["Bolus_1cm", "bolus"], "BOLUS", "91723000"),
        (["Couch", "CouchSurface", "Table"], "SUPPORT", "91723000"),
        (["VertebralBody", "Brain-PTV", "Egtved", "SpinalCord_PRV"], "ORGAN", "91723000"),
    ],
)
def test_kinds_of_structures_by_their_names(names: list[str], kind: str, code: str) -> None:
    """Codes of SNOMED CT: gross tumour, clinical and planning target volume, entire body, anatomical structure."""
    assert {name: (organ_kind(name), organ_code(name, kind).value) for name in names} == dict.fromkeys(
        names, (kind, code)
    )


def test_colours_are_distinct() -> None:
    colours = [organ_colour(label) for label in range(1, 49)]
    assert len(set(colours)) == 48
    assert organ_colour(1) == (255, 0, 0)
