"""Whether two profiles are one person: what agrees, what contradicts, and how sure that makes us. Pure.

Name alone never suffices. `certain` asks for the whole name and something few people share; a relative at the same address shares all but the first
name, so there a doubt about the name counts. `likely` is for a person to look at.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from crm.profiles.suggest.facts import Facts, swapped
from crm.profiles.suggest.sound import is_hebrew, sounds, words

CERTAIN, LIKELY = "certain", "likely"
_YEAR = re.compile(r"^([a-z]+)(\d{2})$")
_OPEN_I = re.compile(r"[^aeiouy]i(?:sh|ch|tz|ts|kh|[^aeiouy])[aeiou]")
_DIGITS = re.compile(r"\d{2,}")


@dataclass(frozen=True, slots=True)
class Judgement:
    """How sure (`certain`, `likely`), and the codes of what agrees and what contradicts."""

    level: str
    agrees: tuple[str, ...]
    contradicts: tuple[str, ...]


def judge(one: Facts, other: Facts) -> Judgement | None:
    """None where nothing suggests that both are one person."""
    name = _names(one.name, other.name)
    if not name:
        return None
    found = {"name": "yes" if name == "same" else "near"} | _evidence(one, other)
    agrees = tuple(what for what, answer in found.items() if answer == "yes")
    contradicts = tuple(what for what, answer in found.items() if answer == "no")
    level = _level(name, found)
    return Judgement(level, agrees, contradicts) if level else None


def against(one: Facts, other: Facts) -> bool:
    """Whether another birthday, year of birth or user id says that they are two persons."""
    return _birthdays(one, other) == "no" or bool(one.user_ids and other.user_ids)


def implied(one: Facts, other: Facts) -> Judgement:
    """Two who are certainly the same third person, whatever else they share."""
    found = {"name": "yes" if _names(one.name, other.name) == "same" else ""} | _evidence(one, other)
    return Judgement(CERTAIN, *(tuple(what for what, answer in found.items() if answer == said) for said in ("yes", "no")))


def alike(one: str, other: str) -> bool:
    """Whether two texts are the same words, perhaps in another spelling or alphabet."""
    return _same_words(tuple(words(one)), tuple(words(other))) == "yes"


def _evidence(one: Facts, other: Facts) -> dict[str, str]:
    return {
        "birthday": _birthdays(one, other),
        "address": _addresses(one, other),
        "city": _same_words(one.city, other.city),
        "phone": _sets(one.phones, other.phones),
        "email": _locals(one, other),
        "user_id": "no" if one.user_ids and other.user_ids else "",
        "spelling": "unsure" if _unsure(one.name, other.name) and not _year_written(one, other) else "",
    }


def _level(name: str, found: dict[str, str]) -> str | None:  # noqa: PLR0911  one line for each reason
    strong = sum(found[what] in {"yes", "swapped"} for what in ("birthday", "address", "phone"))
    if found["birthday"] == "no" or found["user_id"] == "no":
        return LIKELY if strong and name == "same" else None
    if name == "same" and _surely(found, strong):
        return CERTAIN
    if name != "same" and strong >= 2 and (found["birthday"] == "yes" or (name == "first" and found["phone"] == found["address"] == "yes")):
        return CERTAIN  # relatives who share a number and an address differ in the first name
    if name.startswith("near") and strong and found["email"] == "yes":
        return CERTAIN
    if name == "near_last" and found["address"] == "yes" and found["city"] != "no":
        return CERTAIN  # a relative's last name would be spelt alike
    if name.startswith("near") and (strong >= 2 or (found["birthday"] == "yes" and found["city"] == "yes" and found["address"] != "no")):
        return CERTAIN if found["birthday"] == "yes" else LIKELY
    if name == "same" and (strong or found["city"] == "yes"):
        return LIKELY
    return LIKELY if name.startswith("near") and strong else None


def _surely(found: dict[str, str], strong: int) -> bool:
    """Somebody else of the same name would seldom share this too."""
    if strong >= 2 or found["phone"] == "yes":
        return True
    if found["birthday"] == "yes" and found["city"] != "yes" and "no" in {found["city"], found["address"]}:
        return found["email"] == "yes"  # among the many who bear a common name some are born on one day
    if found["birthday"] == "yes" or found["city"] == "no":
        return found["birthday"] == "yes"
    if found["address"] == "yes":
        return not found["spelling"]
    return found["city"] == "yes" and found["address"] != "no" and (found["email"] == "yes" or found["birthday"] == "swapped")


def _names(one: tuple[str, ...], other: tuple[str, ...]) -> str:
    """`same` where every word has its like, `near` where one has only one close to it (`near_last`: the last), `first` where only the first names agree."""
    if len(one) < 2 or len(other) < 2:
        return ""
    if len(one) != len(other):
        return "same" if _covers(one, other) else "first" if _like(one[0], other[0]) == 2 else ""
    straight = [_like(a, b) for a, b in zip(one, other, strict=True)]
    crossed = [_like(a, b) for a, b in zip(one, reversed(other), strict=True)]
    best = max(straight, crossed, key=sum)
    if min(best) == 2:
        return "same"
    if min(best) == 1 and sum(best) == 2 * len(best) - 1:
        return "near_last" if straight[0] == 2 and best == straight and one[-1][0] == other[-1][0] else "near"
    return "first" if straight[0] == 2 else ""


def _covers(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """All words of the shorter name are in the longer one."""
    few, many = sorted((one, other), key=len)
    left = list(many)
    for word in few:
        match = next((each for each in left if _like(word, each) == 2), None)
        if match is None:
            return False
        left.remove(match)
    return True


def _like(one: str, other: str) -> int:
    """2: one word in two spellings; 1: a letter apart; 0: two words."""
    if one == other or (is_hebrew(one) != is_hebrew(other) and sounds(one) & sounds(other)):
        return 2
    if is_hebrew(one) != is_hebrew(other):
        return int(any(_apart(a, b) for a in sounds(one) for b in sounds(other)))
    if is_hebrew(one):
        return 2 if _bare(one) == _bare(other) and sounds(one) & sounds(other) else int(_apart(one, other))
    if sounds(one) & sounds(other):
        return 2
    return int(_apart(one, other))


def _bare(word: str) -> str:
    """Without the letters that only help to read: דויד is דוד."""
    return word[0] + re.sub("[וי]", "", word[1:-1]) + word[-1]


def _unsure(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """A word of one name is like one of the other only where an i, or sh for s, may have been left unwritten."""
    likes = ([word for word in other if _like(each, word) == 2] for each in one)
    return any(found and all(_may_differ(each, word) for word in found) for each, found in zip(one, likes, strict=True))


def _may_differ(one: str, other: str) -> bool:
    """שרה and שירה, Sara and Shira: one word by their consonants, yet two names."""
    if is_hebrew(one) == is_hebrew(other):
        return one.count("י") != other.count("י") if is_hebrew(one) else ("sh" in one) != ("sh" in other)
    hebrew, latin = (one, other) if is_hebrew(one) else (other, one)
    return not set(latin) & set("iyej") if "י" in hebrew[1:-1] else "י" not in hebrew and bool(_OPEN_I.search(latin))


def _apart(one: str, other: str) -> bool:
    """One letter added, lost, changed or changed places with its neighbour."""
    if abs(len(one) - len(other)) > 1 or min(len(one), len(other)) < 3:
        return False
    start = next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    a, b = one[start:], other[start:]
    return a[1:] == b[1:] or a[1:] == b or a == b[1:] or (a[:2] == b[1::-1] and a[2:] == b[2:])


def _same_words(one: tuple[str, ...], other: tuple[str, ...]) -> str:
    if not one or not other:
        return ""
    if len(one) == len(other) and all(_like(a, b) for a, b in zip(one, other, strict=True)):
        return "yes"
    return "yes" if _like("".join(one), "".join(other)) else "no"


def _addresses(one: Facts, other: Facts) -> str:
    if not (one.street and other.street and one.house and other.house):
        return ""
    return "yes" if one.house == other.house and _same_words(one.street, other.street) == "yes" else "no"


def _birthdays(one: Facts, other: Facts) -> str:
    if one.birthday and other.birthday:
        return "yes" if one.birthday == other.birthday else "swapped" if other.birthday == swapped(one.birthday) else "no"
    return "no" if _other_year(one, other) or _other_year(other, one) else ""


def _other_year(one: Facts, other: Facts) -> bool:
    """A year in the address of one that is neither the other's birthday's nor in an address of theirs."""
    born, years = _born(other) or _years(other), _years(one)
    return bool(born and years) and not born & years


def _born(of: Facts) -> set[str]:
    return {f"{of.birthday.year % 100:02d}"} if of.birthday else set()


def _years(of: Facts) -> set[str]:
    """Two digits after the first name alone, in whatever alphabet it is said, are the year of birth."""
    found = (_YEAR.match(local) for local in of.locals)
    return {each[2] for each in found if each and _like(each[1], of.name[0]) == 2}


def _year_written(one: Facts, other: Facts) -> bool:
    """The year of birth in an address of one is the other's."""
    return bool(_years(one) & (_years(other) | _born(other)) or _years(other) & _born(one))


def _sets(one: frozenset[str], other: frozenset[str]) -> str:
    return "" if not one or not other else "yes" if one & other else "no"


def _locals(one: Facts, other: Facts) -> str:
    """Only a local part with digits tells persons of one name apart."""
    return "yes" if any(_DIGITS.search(local) for local in one.locals & other.locals) else ""
