"""Names of organs as people write them: their words, and the side they are on. Imports nothing heavy."""

from __future__ import annotations

import re

RIGHT_OF_LEFT = {
    "left": "right",
    "l": "r",
    "lt": "rt",
    "lh": "rh",  # hemispheres
    "al": "ar",  # anterior and posterior segment of an eye, as in HaN-Seg's Eye_AL
    "pl": "pr",
}
SIDES = {"left": "l", "l": "l", "lt": "l", "right": "r", "r": "r", "rt": "r"}


def tokens(name: str) -> tuple[str, ...]:
    """Words of a name in lower case: Parotid-Lt, parotid_lt and ParotidLt give (parotid, lt).

    Digits stay with the letters before them, lest vertebra L1 be the left one of a pair with rib R1.
    """
    spaced = re.sub("(left|right)", r" \1 ", name, flags=re.IGNORECASE)
    words = re.findall(r"[A-Z]+(?![a-z])\d*|[A-Z]?[^\W\d_A-Z]+\d*|\d+", spaced)
    return tuple(word.lower() for word in words)


def words_and_side(name: str) -> tuple[tuple[str, ...], str]:
    """The words of a name without its side, and the side: "l", "r" or "" (none).

    Left Parotid, parotid_l and Parotid-Lt give ((parotid,), l). What is on both sides is on none: LN_L_R gives
    ((ln, l, r), "").
    """
    words = tokens(name)
    sides = {SIDES[word] for word in words if word in SIDES}
    if len(sides) != 1:
        return words, ""
    return tuple(word for word in words if word not in SIDES), sides.pop()
