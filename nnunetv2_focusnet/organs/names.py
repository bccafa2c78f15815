"""Names of organs as people write them: their words, and the side they are on. Imports nothing heavy."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

# Words for left and right; in a row they belong to one language, or a few that share them. Accents don't matter.
ROWS = """
left l lt lft : right r rt rgt rght
links linke linker linkes linken lks : rechts rechte rechter rechtes rechten rts
gauche gche : droite droit drte
izquierdo izquierda izq izqdo izqda izdo izda : derecho derecha dcho dcha drcho drcha
sinistro sinistra sinister sinistrum : destro destra dexter dextra dextrum
esquerdo esquerda esquerra esquerre : direito direita dreta dret
stâng stânga stângul : drept dreapta dreptul
lewy lewa lewe lewego lewej : prawy prawa prawe prawego prawej
levý levá levé levého ľavý ľavá ľavé : pravý pravá pravé pravého
levi levo lijevi lijeva lijevo : desni desna desno
vänster venstre : höger højre høyre hojre hoyre
vasen vasemman vasak : oikea oikean parem
ezker ezkerra ezkerreko : eskuin eskuina eskuineko
левый левая левое левого левой лев : правый правая правое правого правой прав
лівий ліва ліве : правий права праве
ляв лява ляво : десен дясна дясно
αριστερός αριστερή αριστερό αριστερά : δεξιός δεξιά δεξί δεξιό
يسار يسرى أيسر اليسار اليسرى الأيسر چپ : يمين يمنى أيمن اليمين اليمنى الأيمن راست
שמאל שמאלי שמאלית : ימין ימני ימנית
बायां बाएं बायीं : दायां दाएं दायीं
trái kiri : phải kanan
左 왼쪽 좌측 ซ้าย : 右 오른쪽 우측 ขวา
"""
# Words that mean something else, too: they count at either end of a name only, and not for a code of DICOM.
LIKELY_ROWS = """
li : re
sx sin sn : dx dex
izq : der dch
esq : dir
bal : jobb
sol : sağ
vas : oik
"""
# Parts of an organ or hemispheres with their side in one word, as in HaN-Seg's Eye_AL.
WITH_PART = {"al": ("a", "l"), "ar": ("a", "r"), "pl": ("p", "l"), "pr": ("p", "r"), "lh": ("h", "l"), "rh": ("h", "r")}
# Scripts without spaces between words, and words that are long enough not to be part of another one.
UNSPACED = re.compile("(左|右|왼쪽|오른쪽|좌측|우측|ซาย|ขวา)")
LONG = "(?:left|right|links|rechts|gauche|droite)"
GLUED = re.compile(rf"^{LONG}(?=[^\W\d_]{{3}})|(?<=[^\W\d_]{{3}}){LONG}(?=\d*$)")


def plain(text: str) -> str:
    """Text without accents and in one spelling of each character."""
    split = unicodedata.normalize("NFKD", text)
    return unicodedata.normalize("NFC", "".join(c for c in split if not unicodedata.category(c).startswith("M")))


def _read_rows(rows: str) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    halves = (row.partition(":") for row in plain(rows).strip().splitlines())
    return [(tuple(left.split()), tuple(right.split())) for left, _, right in halves]


def _by_word(rows: list[tuple[tuple[str, ...], tuple[str, ...]]]) -> dict[str, str]:
    return {word: side for row in rows for side, words in zip("lr", row, strict=True) for word in words}


SIDE_ROWS = _read_rows(ROWS) + _read_rows(LIKELY_ROWS)
SIDES = _by_word(_read_rows(ROWS))
LIKELY_SIDES = _by_word(_read_rows(LIKELY_ROWS))


def tokens(name: str) -> tuple[str, ...]:
    """Words of a name in lower case: Parotid-Lt, parotid_lt and ParotidLt give (parotid, lt).

    Digits stay with the letters before them, lest vertebra L1 be the left one of a pair with rib R1.
    """
    spaced = UNSPACED.sub(r" \1 ", plain(name))
    words = re.findall(r"[A-Z]+(?![^\W\d_A-Z])\d*|[A-Z]?[^\W\d_A-Z]+\d*|\d+", spaced)
    return tuple(part for word in words for part in _unglued(word.lower()))


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


def words_and_likely_side(name: str) -> tuple[tuple[str, ...], str]:
    """As :func:`words_and_side`, and also with words that mean a side or something else: Parotis li, Eye_AL."""
    words, side = words_and_side(name)
    for end in (-1, 0) if words and not side else ():
        word = words[end]
        rest = words[:-1] if end else words[1:]
        if word in LIKELY_SIDES:
            return rest, LIKELY_SIDES[word]
        if word in WITH_PART and rest:
            part, side = WITH_PART[word]
            return (*rest, part), side
    return words, side


def _unglued(word: str) -> Iterator[str]:
    """Parotidleft is two words, cleft is one."""
    if found := GLUED.search(word):
        yield from filter(None, (word[: found.start()], found.group(), word[found.end() :]))
    else:
        yield word
