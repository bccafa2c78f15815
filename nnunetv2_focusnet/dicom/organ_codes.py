"""SNOMED CT codes, kinds and colours of organs, for those who read the files."""

from __future__ import annotations

import re

from highdicom.sr import CodedConcept
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from nnunetv2_focusnet.organs.names import words_and_side

SCT = codes.SCT
UNKNOWN = SCT.AnatomicalStructure
SIDES = {"l": SCT.Left, "r": SCT.Right}
# Words of names without their side, joined; spellings are those of PDDCA, HaN-Seg, StructSeg, SegRap and TG-263.
OUTLINES = ("body", "external", "outline", "bodyoutline", "patientoutline")
ORGANS: dict[str, Code] = {
    **dict.fromkeys(["brain"], SCT.Brain),
    **dict.fromkeys(["brainstem"], SCT.BrainStem),
    **dict.fromkeys(["temporallobe", "templobe", "lobetemporal"], SCT.TemporalLobe),
    **dict.fromkeys(["hippocampus"], SCT.Hippocampus),
    **dict.fromkeys(["chiasm", "opticchiasm", "opticchiasma"], SCT.OpticChiasm),
    **dict.fromkeys(["pituitary", "pituitarygland"], SCT.Pituitary),
    **dict.fromkeys(["eye", "eyeball", "globe"], SCT.Eyeball),
    **dict.fromkeys(["orbit"], SCT.Orbit),
    **dict.fromkeys(["lens"], SCT.Lens),
    **dict.fromkeys(["opticnerve", "opticnrv", "nerveoptic"], SCT.OpticNerve),
    **dict.fromkeys(["lacrimal", "lacrimalgland", "glndlacrimal"], SCT.LacrimalGland),
    **dict.fromkeys(["innerear", "earinner"], SCT.InnerEar),
    **dict.fromkeys(["middleear", "earmiddle", "earmid"], SCT.MiddleEar),
    **dict.fromkeys(["cochlea"], Code("80169004", "SCT", "Cochlea")),  # pydicom has no keyword for it
    **dict.fromkeys(["parotid", "parotidgland"], SCT.ParotidGland),
    **dict.fromkeys(["submandibular", "submandibulargland", "glndsubmand"], SCT.SubmandibularGland),
    **dict.fromkeys(["thyroid", "thyroidgland", "glndthyroid"], SCT.Thyroid),
    **dict.fromkeys(["mandible", "bonemandible"], SCT.Mandible),
    **dict.fromkeys(["tmj", "tmjoint", "jointtm"], SCT.TemporomandibularJoint),
    **dict.fromkeys(["oralcavity", "cavityoral"], SCT.OralCavity),
    **dict.fromkeys(["lips"], SCT.Lip),
    **dict.fromkeys(["buccalmucosa"], SCT.BuccalMucosa),
    **dict.fromkeys(["larynx"], SCT.Larynx),
    **dict.fromkeys(["glottis", "larynxglottic"], SCT.Glottis),
    **dict.fromkeys(["supraglottis", "larynxsg", "larynxsupraglot"], SCT.Supraglottis),
    **dict.fromkeys(["trachea"], SCT.Trachea),
    **dict.fromkeys(["lung"], SCT.Lung),
    **dict.fromkeys(["esophagus"], SCT.Esophagus),
    **dict.fromkeys(["carotid", "acarotid"], SCT.CarotidArtery),
    **dict.fromkeys(["spinalcord"], SCT.SpinalCord),
    **dict.fromkeys(["spinalcanal"], SCT.SpinalCanalStructure),
    **dict.fromkeys(OUTLINES, SCT.EntireBody),
}
TARGETS = {"GTV": SCT.GrossTumorVolume, "CTV": SCT.ClinicalTargetVolume, "PTV": SCT.PlanningTargetVolume}
# Bright and saturated; each one is as far as possible, in CIE L*a*b*, from those before it.
COLOURS = bytes.fromhex("""
    ff0000 00ff00 0040ff 40c0c0 ff80c0 ffc000 408000 ff00ff 0080ff c04040 c0ff80 00ffc0
    ffc080 80c0ff 804080 ff8000 ffff00 ff0080 80c080 c040c0 40c000 00ff80 808040 c0c040
    ffc0ff 4040c0 c08000 c04000 ff00c0 8080c0 c00080 ff0040 c080ff 008040 c0ff00 8000ff
    00ffff c040ff ff8080 c080c0 00c080 0080c0 c0ffc0 808000 80c040 ffff80 80ff40 ff80ff
""")


def organ_kind(name: str) -> str:
    """What a structure is to a planning system (RTROIInterpretedType), told by how its name begins.

    Internal volumes, which DICOM has no term for, are what they are internal volumes of: IGTV, ICTV and ITV (of a CTV).
    """
    if target := re.match(r"[\W_]*(i?gtv|i?ctv|itv|ptv)", name, re.IGNORECASE):
        kind = target[1].upper()
        return "CTV" if kind == "ITV" else kind.removeprefix("I")
    words = words_and_side(name)[0]
    if "".join(words) in OUTLINES:
        return "EXTERNAL"
    return {"bolus": "BOLUS", "couch": "SUPPORT", "table": "SUPPORT"}.get(words[0] if words else "", "ORGAN")


def organ_code(name: str, kind: str = "ORGAN") -> Code:
    """The code of an organ or a target, without its side; one that isn't known is an anatomical structure."""
    words, _ = words_and_side(name)
    return TARGETS.get(kind) or ORGANS.get("".join(words), UNKNOWN)


def with_side(code: Code, name: str) -> CodedConcept:
    """A code with the side that a name is of as its modifier."""
    concept = CodedConcept.from_code(code)
    if side := words_and_side(name)[1]:
        concept.SegmentedPropertyTypeModifierCodeSequence = [CodedConcept.from_code(SIDES[side])]
    return concept


def organ_colour(label: int) -> tuple[int, int, int]:
    """Red, green and blue (0 to 255) of a label, from 1: the same in every file."""
    start = 3 * (label - 1) % len(COLOURS)
    red, green, blue = COLOURS[start : start + 3]
    return red, green, blue
