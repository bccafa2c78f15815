"""How organs are written to DICOM: by what their names say, or as a mapping file has it; checked before any file is."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from highdicom.sr import CodedConcept
from pydicom.sr.coding import Code

from nnunetv2_focusnet.dicom.organ_codes import organ_code, organ_colour, organ_kind, with_side
from nnunetv2_focusnet.system.json_files import read_object

# Defined terms of RTROIInterpretedType, DICOM PS3.3 C.8.8.8
KINDS = (
    *("EXTERNAL", "PTV", "CTV", "GTV", "TREATED_VOLUME", "IRRAD_VOLUME", "OAR", "BOLUS", "AVOIDANCE", "ORGAN"),
    *("MARKER", "REGISTRATION", "ISOCENTER", "CONTRAST_AGENT", "CAVITY", "BRACHY_CHANNEL", "BRACHY_ACCESSORY"),
    *("BRACHY_SRC_APP", "BRACHY_CHNL_SHLD", "SUPPORT", "FIXATION", "DOSE_REGION", "CONTROL", "DOSE_MEASUREMENT"),
)
KEYS = ("name", "type", "colour", "code")
CODE_KEYS = {"value": 16, "scheme": 16, "meaning": 64}  # to the longest that DICOM allows (SH, SH, LO)
LONGEST_NAME = 64  # characters of an LO, PS3.5 6.2
CONTROLS = ("Cc", "Cs", "Zl", "Zp")  # categories of Unicode: controls, half characters, ends of lines and paragraphs


@dataclass(frozen=True)
class DicomOrgan:
    """One organ.

    Attributes:
        label: in label maps.
        name: in DICOM.
        kind: RTROIInterpretedType.
        colour: red, green, blue, 0 to 255.
        code: what it is, without its side.
    """

    label: int
    name: str
    kind: str
    colour: tuple[int, int, int]
    code: Code

    @property
    def concept(self) -> CodedConcept:
        """The code, with the side that the name has."""
        return with_side(self.code, self.name)


def dicom_organs(labels: Mapping[str, int], mapping_file: Path | None) -> dict[str, DicomOrgan]:
    """The organs of a dataset as they are written.

    Args:
        labels: by organ.
        mapping_file: JSON, ``{ORGAN: {"name": ..., "type": ..., "colour": [R, G, B], "code": {"value": ...,
            "scheme": ..., "meaning": ...}}}``. Organs and keys that it leaves out have what their names say.

    Raises:
        ValueError: the file is wrong, DICOM can't hold a name, or two organs have one.
    """
    mapping = {} if mapping_file is None else _read_mapping(mapping_file, labels)
    organs = {organ: _organ(organ, label, mapping.get(organ, {})) for organ, label in labels.items()}
    for name, count in Counter(organ.name for organ in organs.values()).items():
        if count > 1:
            same = " and ".join(organ for organ, each in organs.items() if each.name == name)
            raise ValueError(f"{same} have the same name in DICOM, {name}: give each its own with --mapping")
    return organs


def _organ(organ: str, label: int, given: Mapping[str, Any]) -> DicomOrgan:
    name = given.get("name", organ)
    if fault := _fault_of_text(name, LONGEST_NAME):
        called = f"the organ {organ!r} can't have the name {name!r} in DICOM"
        raise ValueError(f"{called}, {fault}: give it another with --mapping")
    kind = given.get("type") or organ_kind(name)
    code = Code(*(given["code"][key] for key in CODE_KEYS)) if "code" in given else organ_code(name, kind)
    return DicomOrgan(label, name, kind, tuple(given.get("colour") or organ_colour(label)), code)


def _fault_of_text(text: object, longest: int) -> str:
    """What DICOM doesn't allow about a text, or wouldn't give back; empty if it is fine."""
    if not isinstance(text, str):
        return "which is no text"
    if not text.strip():
        return "which is empty"
    if len(text) > longest:
        return f"which has {len(text)} characters where {longest} are allowed"
    if "\\" in text:
        return "in which a backslash would separate two values"
    if text != text.strip():
        return "of which blanks at the ends would be lost"
    if any(unicodedata.category(character) in CONTROLS for character in text):
        return "which has a line feed or another control character"
    return ""


def _read_mapping(file: Path, labels: Mapping[str, int]) -> dict[str, dict[str, Any]]:
    content = read_object(file, "name the mapping with --mapping, or leave that out")
    for organ, given in content.items():
        if organ not in labels:
            by_lower = {name.lower(): name for name in labels}
            near = get_close_matches(organ.lower(), by_lower, n=1)
            hint = f"do you mean {by_lower[near[0]]}?" if near else f"organs are {', '.join(labels)}"
            raise ValueError(f"{file}: {organ} is no organ of dataset.json: {hint}")
        if fault := _fault_of_entry(given):
            raise ValueError(f"{file}: {organ}: {fault}")
    return content


def _fault_of_entry(given: object) -> str:
    if not isinstance(given, dict):
        return f"has to be an object with {', '.join(KEYS)}"
    if unknown := sorted(given.keys() - set(KEYS)):
        return f"{unknown[0]} is none of {', '.join(KEYS)}"
    if "type" in given and given["type"] not in KINDS:
        return f"type {given['type']!r} is none of {', '.join(KINDS)}"
    if "colour" in given and not _is_colour(given["colour"]):
        return f"colour {given['colour']!r} isn't red, green and blue from 0 to 255, such as [255, 0, 0]"
    if "code" in given:
        code = given["code"]
        if not isinstance(code, dict) or code.keys() != CODE_KEYS.keys():
            return f"code has to have {', '.join(CODE_KEYS)}, and nothing else"
        for key, longest in CODE_KEYS.items():
            if fault := _fault_of_text(code[key], longest):
                return f"code can't have the {key} {code[key]!r}, {fault}"
    return ""


def _is_colour(value: object) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(type(v) is int and 0 <= v <= 255 for v in value)
