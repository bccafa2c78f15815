"""SNOMED CT codes and colours of organs, for those who read the files."""

from __future__ import annotations

import colorsys

from highdicom.sr import CodedConcept
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from nnunetv2_focusnet.organ_names import words_and_side

SCT = codes.SCT
UNKNOWN = SCT.AnatomicalStructure
SIDES = {"l": SCT.Left, "r": SCT.Right}
# Words of names without their side, joined; spellings are those of PDDCA, HaN-Seg, StructSeg, SegRap and TG-263.
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
    **dict.fromkeys(["supraglottis", "larynxsg"], SCT.Supraglottis),
    **dict.fromkeys(["trachea"], SCT.Trachea),
    **dict.fromkeys(["esophagus", "esophaguss"], SCT.Esophagus),
    **dict.fromkeys(["carotid", "acarotid"], SCT.CarotidArtery),
    **dict.fromkeys(["spinalcord"], SCT.SpinalCord),
    **dict.fromkeys(["spinalcanal"], SCT.SpinalCanalStructure),
}


def organ_code(name: str) -> CodedConcept:
    """The code of an organ with its side as modifier; an organ that isn't known is an anatomical structure."""
    words, side = words_and_side(name)
    concept = CodedConcept.from_code(ORGANS.get("".join(words), UNKNOWN))
    if side:
        concept.SegmentedPropertyTypeModifierCodeSequence = [CodedConcept.from_code(SIDES[side])]
    return concept


def organ_colour(label: int) -> tuple[int, int, int]:
    """Red, green and blue (0 to 255) of a label: the same in every file, and unlike those of the labels near it."""
    # Steps of the golden ratio never come back to a hue, and leave no large gap between hues at any time.
    hue = label * 0.618034 % 1
    saturation, value = ((1.0, 1.0), (0.55, 1.0), (1.0, 0.7))[label % 3]
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    return round(255 * red), round(255 * green), round(255 * blue)
