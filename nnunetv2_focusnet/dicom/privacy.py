"""Keep patients' names, numbers and birth dates out of messages: folders from a clinic are often named by them."""

from __future__ import annotations

import re
import unicodedata
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import PurePath

import SimpleITK as sitk
from pydicom import Dataset
from pydicom.config import disable_value_validation

IDENTIFYING = ("PatientName", "PatientID", "PatientBirthDate")
REPLACEMENT = "***"


@contextmanager
def without_warnings() -> Iterator[None]:
    """Silence pydicom, highdicom and ITK, whose warnings quote the values that they are about."""
    shown = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        with disable_value_validation(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(shown)


def identifying_words(header: Dataset) -> frozenset[str]:
    """Words of a header that say who the patient is."""
    values = [str(header.get(keyword) or "") for keyword in IDENTIFYING]
    name_parts = re.split(r"[\s^=,]+", values[0])
    return frozenset(word for word in (*name_parts, *values[1:]) if word.strip())


class Redactor:
    """Writes paths without identifying words.

    Args:
        words: of all patients in the tree.
    """

    def __init__(self, words: Iterable[str]) -> None:
        patterns = sorted((_pattern(word) for word in set(words)), key=len, reverse=True)
        self._pattern = re.compile("|".join(patterns) or r"(?!)", re.IGNORECASE)

    def __call__(self, path: PurePath) -> str:
        """The path with stars in place of each such word."""
        text = path.as_posix()
        redacted, found = self._pattern.subn(REPLACEMENT, _composed(text))
        return redacted if found else text


def _composed(text: str) -> str:
    """One spelling of accents, which some file systems split off their letters."""
    return unicodedata.normalize("NFC", text)


def _pattern(word: str) -> str:
    """Finds a word however it was split: birth date 19700131 in 1970-01-31 and 31.1.1970, number AB/12 in AB_12."""
    word = _composed(word)
    pattern = _split(map(re.escape, re.findall(r"[^\W_]+", word))) or re.escape(word)
    if re.fullmatch(r"\d{8}", word):
        year, month, day = word[:4], *(re.sub("^0", "0?", part) for part in (word[4:6], word[6:]))
        dates = map(_split, ((year, month, day), (day, month, year), (month, day, year)))
        pattern = f"(?:{'|'.join(dates)})"
    if word.isdigit():  # number 12 isn't meant in IM_0123
        return rf"(?<!\d){pattern}(?!\d)"
    if len(word) < 3:  # nor is Mr Li in CLINIC
        return rf"(?<![^\W_]){pattern}(?![^\W_])"
    return pattern


def _split(parts: Iterable[str]) -> str:
    return r"[\W_]*".join(parts)
