"""Which organs are the left and the right one of a pair, told from their names. Imports nothing heavy."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import product

from nnunetv2_focusnet.organs.names import SIDE_ROWS, tokens, words_and_likely_side, words_and_side

# They count only where another name has the other one in the same place: French, Russian, an eye's in Latin.
PAIRED_WORDS = (("g", "d"), ("л", "п"), ("os", "od"))
# First letters of left and right in further languages; they may as well be those of superficial, deep, lateral ...
DOUBTFUL_LETTERS = (("s", "d"), ("i", "d"), ("e", "d"), ("l", "p"), ("v", "h"), ("v", "o"), ("b", "j"))
SIDE_WORDS = tuple(pair for left, right in SIDE_ROWS for pair in product(left, right))
# In English names of parts of the heart, and of lobes of liver and lungs, that are called left and right and are no
# mirror images of each other. Ventricles of brain and larynx are, and lobes of the brain.
UNLIKE = re.compile(
    r"heart|cardiac|atrium|atrial|appendage|^(?!.*(\blat|brain|cerebr|laryn)).*ventricle|^(?=.*(liver|lung)).*lobe"
)
FEWEST_LETTERS = 2  # of a name whose side is written with it in one word: LV and RV may be anything
LONGEST_WORD = 3  # letters of a word that may be a side in a language that isn't known here
Words = tuple[str, ...]
Pair = tuple[str, str]
How = tuple[str, str, str]  # words that tell left and right, and where


class Evidence(IntEnum):
    """How much it says that two names differ as they do."""

    DOUBTFUL = 0
    IF_REPEATED = 1  # sure where several pairs do: leye and reye are eyes, but Lippe and Rippe are lip and rib
    SURE = 2


@dataclass(frozen=True)
class Sides:
    """What the names of organs tell of their sides.

    Attributes:
        pairs: (left, right) organs.
        lonely: organs on one side without a partner, or with several that can't be told apart.
        doubtful: (left, right) organs if their names mean that, which is likely and not sure.
        unlike: (left, right) organs that are no mirror images of each other: none becomes the other in a flip.
        similar: two organs whose names differ in something as short as a side, in no language that is known here.
    """

    pairs: tuple[Pair, ...] = ()
    lonely: tuple[str, ...] = ()
    doubtful: tuple[Pair, ...] = ()
    unlike: tuple[Pair, ...] = ()
    similar: tuple[Pair, ...] = ()


def find_sides(names: Sequence[str], named_pairs: Sequence[Pair] | None = None) -> Sides:
    """Find the pairs, and the organs that may need a partner and have none.

    Left, right and their abbreviations tell a side for themselves. All other words do only next to a name that has
    the other side's word in the same place, so that a D or a Gland alone is on no side.

    Args:
        names: of all organs.
        named_pairs: (left, right) organs of all pairs, where somebody has named them; then none is told from names.
    """
    if named_pairs is not None:
        alone = _without(names, named_pairs)
        return Sides(tuple(named_pairs), tuple(name for name in alone if words_and_side(name)[1]))
    sided = _pairs_of_sided(names)
    in_context, doubtful = _pairs_in_context(_without(names, sided), names)
    alone = _without(names, [*sided, *in_context, *doubtful])
    used = {word for left, right in in_context for word in {*tokens(left)} ^ {*tokens(right)}}
    lonely = [name for name in alone if words_and_likely_side(name)[1] or used.intersection(tokens(name))]
    similar = _similar([name for name in alone if name not in lonely])
    found = (*sided, *in_context)
    unlike = tuple(pair for pair in found if UNLIKE.search(" ".join(tokens(pair[0]))))
    pairs = tuple(pair for pair in found if pair not in unlike)
    return Sides(pairs, tuple(lonely), tuple(doubtful), unlike, tuple(similar))


def _without(names: Sequence[str], pairs: Sequence[Pair]) -> list[str]:
    taken = {name for pair in pairs for name in pair}
    return [name for name in names if name not in taken]


def _pairs_of_sided(names: Sequence[str]) -> list[Pair]:
    """Pairs of names that tell their side each for itself."""
    by_side: dict[Words, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for name in names:
        words, side = words_and_likely_side(name)
        by_side[words][side].append(name)
    return [(found["l"][0], found["r"][0]) for found in by_side.values() if len(found["l"]) == len(found["r"]) == 1]


def _pairs_in_context(names: Sequence[str], all_names: Sequence[str]) -> tuple[list[Pair], list[Pair]]:
    """Pairs of names that tell their sides next to each other, and doubtful ones."""
    by_words = {tokens(name): name for name in names}
    spellings = {" ".join(tokens(name)) for name in all_names}
    found: dict[Pair, tuple[Evidence, How]] = {}
    for words, left in by_words.items():
        for swapped, evidence, how in _swapped(words):
            right = by_words.get(swapped)
            if right is None or right == left or _in_series(" ".join(words), " ".join(swapped), how, spellings):
                continue
            found[left, right] = max((evidence, how), found.get((left, right), (evidence, how)))
    repeated = Counter(how for evidence, how in found.values() if evidence == Evidence.IF_REPEATED)
    sure = [pair for pair, (evidence, how) in found.items() if evidence == Evidence.SURE or repeated[how] > 1]
    partners = Counter(name for pair in sure for name in pair)
    pairs = [(left, right) for left, right in sure if partners[left] == partners[right] == 1]
    taken = {name for pair in pairs for name in pair}
    return pairs, [pair for pair in found if not taken.intersection(pair)]


def _swapped(words: Words) -> Iterator[tuple[Words, Evidence, How]]:
    """How the right organ's name may be, if this is the left one's."""
    for i, word in enumerate(words):
        beside = _letters(words[:i]) + _letters(words[i + 1 :])
        for other, evidence, how in _right_of(word, beside):
            yield (*words[:i], other, *words[i + 1 :]), evidence, how


def _right_of(word: str, letters_beside: int) -> Iterator[tuple[str, Evidence, How]]:
    for pairs, evidence in (((*PAIRED_WORDS, *SIDE_WORDS), Evidence.SURE), (DOUBTFUL_LETTERS, Evidence.DOUBTFUL)):
        for left, right in pairs:
            if word == left and letters_beside:
                yield right, evidence, (left, right, "word")
    for left, right in (*SIDE_WORDS, *PAIRED_WORDS, *DOUBTFUL_LETTERS):
        stem = word.removesuffix(left)
        if stem not in ("", word) and (letters := letters_beside + _letters(stem)):
            doubtful = letters < FEWEST_LETTERS or (left, right) in DOUBTFUL_LETTERS
            sure = left == "l" or len(left) > 1
            evidence = Evidence.DOUBTFUL if doubtful else Evidence.SURE if sure else Evidence.IF_REPEATED
            yield stem + right, evidence, (left, right, "end")
    for left, right in SIDE_WORDS:
        stem = word.removeprefix(left)
        if stem not in ("", word) and (letters := letters_beside + _letters(stem)):
            evidence = Evidence.SURE if len(left) > 1 else Evidence.IF_REPEATED
            yield right + stem, evidence if letters >= FEWEST_LETTERS else Evidence.DOUBTFUL, (left, right, "start")


def _in_series(left: str, right: str, how: How, spellings: set[str]) -> bool:
    """Whether a third name differs in that letter, too: parts A to G have no sides. L and R have, whatever M is."""
    if len(how[0]) > 1 or len(how[1]) > 1 or how[:2] == ("l", "r"):
        return False
    place = next(i for i, letters in enumerate(zip(left, right, strict=True)) if len({*letters}) == 2)
    pattern = re.compile(f"{re.escape(left[:place])}.{re.escape(left[place + 1 :])}")
    return any(pattern.fullmatch(other) for other in spellings - {left, right})


def _similar(names: Sequence[str]) -> list[Pair]:
    """Pairs of names that are the same but for a short word, or the first or last letter of a word."""
    alike: dict[tuple[object, ...], list[tuple[str, str]]] = defaultdict(list)
    for name in names:
        words = tokens(name)
        for i, word in enumerate(words):
            others = (words[:i], words[i + 1 :])
            if len(word) <= LONGEST_WORD and word.isalpha() and _letters(words) > len(word):
                alike[(*others, "word")].append((name, word))
            elif len(word) > LONGEST_WORD:
                alike[(*others, word[1:], "start")].append((name, word[0]))
                alike[(*others, word[:-1], "end")].append((name, word[-1]))
    pairs = []
    for found in alike.values():
        differing = [text for _, text in found]
        if len(found) == 2 and all(text.isalpha() for text in differing) and not all(map(_is_roman, differing)):
            pairs.append((found[0][0], found[1][0]))
    return pairs


def _is_roman(word: str) -> bool:
    return re.fullmatch("[ivxlcdm]+", word) is not None


def _letters(words: Sequence[str]) -> int:
    return sum(character.isalpha() for word in words for character in word)
