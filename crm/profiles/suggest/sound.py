"""How a word may sound, in one alphabet: David, דוד and דויד share a sound. Pure.

Consonants after the usual correspondences between Hebrew and Latin letters. Where a letter stands for two (v for ב or ו, ch for ח or כ) both are
kept, so that a word has a few sounds and two words agree where they share one. What it begins with, and whether it ends in a vowel, is kept too.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from itertools import product

MOST = 8  # sounds of one word
_HEBREW = {
    "א": ("",), "ב": ("B",), "ג": ("G",), "ד": ("D",), "ה": ("",), "ו": ("", "B"), "ז": ("Z",), "ח": ("H",), "ט": ("T",), "י": ("",), "כ": ("K",),
    "ל": ("L",), "מ": ("M",), "נ": ("N",), "ס": ("S",), "ע": ("",), "פ": ("P",), "צ": ("Z",), "ק": ("K",), "ר": ("R",), "ש": ("S",), "ת": ("T",),
}  # fmt: skip
_FINAL = str.maketrans("ךםןףץ", "כמנפצ")
_GROUPS = {
    "tsch": ("S",),
    "sch": ("S",),
    "sh": ("S",),
    "tz": ("Z",),
    "ts": ("Z",),
    "ch": ("H", "K"),
    "kh": ("H", "K"),
    "ph": ("P",),
    "th": ("T",),
    "ck": ("K",),
}
_LATIN = {
    "b": ("B",), "v": ("B", ""), "w": ("B", ""), "c": ("K",), "d": ("D",), "f": ("P",), "g": ("G",), "h": ("", "H"), "k": ("K",), "l": ("L",), "m": ("M",),
    "n": ("N",), "p": ("P",), "q": ("K",), "r": ("R",), "s": ("S",), "t": ("T",), "x": ("KS",), "z": ("Z",),
}  # fmt: skip
_SPLIT = re.compile("|".join([*_GROUPS, "."]))
_WORDS = re.compile(r"[^\W\d_]+")
_QUOTES = re.compile(r"[\u0022\u0027\u0060\u00b4\u2018\u2019\u201c\u201d\u05f3\u05f4]")


def words(text: str) -> list[str]:
    """The words of a text in small letters without points; numbers and marks are none."""
    plain = "".join(letter for letter in unicodedata.normalize("NFKD", _QUOTES.sub("", text)) if not unicodedata.combining(letter))
    return _WORDS.findall(plain.lower())


def is_hebrew(word: str) -> bool:
    """Written in Hebrew letters."""
    return any("\u05d0" <= letter <= "\u05ea" for letter in word)


@lru_cache(maxsize=200_000)
def sounds(word: str) -> frozenset[str]:
    """The ways one word of `words` may sound."""
    return frozenset(_of_hebrew(word.translate(_FINAL)) if is_hebrew(word) else _of_latin(word))


def _of_hebrew(word: str) -> set[str]:
    first, rest = word[0], word[1:].replace("וו", "ו")
    if first in "אע" and rest[:1] == "י":
        return _joined([("I",), *(_HEBREW.get(letter, ("",)) for letter in rest[1:]), _hebrew_end(rest)])
    begins = {"א": ("A",), "ע": ("A",), "י": ("Y",), "ה": ("H",), "ח": ("H",), "ו": ("B",)}.get(first, _HEBREW.get(first, ("",)))
    return _joined([begins, *(_HEBREW.get(letter, ("",)) for letter in rest), _hebrew_end(rest)])


def _hebrew_end(rest: str) -> tuple[str, ...]:
    """In a vowel or not, and whether God is in the name: Michael (מיכאל) is not Michal (מיכל)."""
    if rest.endswith("אל"):
        return ("'",)
    return ("~",) if rest[-1:] in tuple("הי") or rest.endswith(("יא", "ו")) else ("~", "") if rest[-1:] in tuple("אע") else ("",)


def _of_latin(word: str) -> set[str]:
    ends = ("~",) if re.search(r"([aeiouy]|[aeo]h)$", word) else ("'",) if word.endswith(("ael", "iel", "uel", "oel")) and word[0] not in "yj" else ("",)
    first, *rest = _SPLIT.findall(re.sub(r"(?<=[aeo])h$", "", word))
    begins = _GROUPS.get(first) or (("Y",) if first in "jy" else _vowel(word) if first in "aeiou" else ("H",) if first == "h" else ())
    return _joined([begins or _LATIN.get(first, ("",)), *(_GROUPS.get(letter) or _LATIN.get(letter, ("",)) for letter in rest), ends])


def _vowel(word: str) -> tuple[str, ...]:
    """A word may begin with a plain vowel (א), with ei or i (אי), or with i for יִ."""
    if word[:2] in {"ei", "ey", "ai", "ay"}:
        return ("I",)
    return {"i": ("I", "Y"), "e": ("A", "I")}.get(word[0], ("A",))


def _joined(letters: list[tuple[str, ...]]) -> set[str]:
    found: set[str] = set()
    for choice in product(*letters):
        found.add(re.sub(r"(.)\1+", r"\1", "".join(choice)))
        if len(found) == MOST:
            break
    return found
