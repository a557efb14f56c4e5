"""Whether two profiles are one person: what agrees, what contradicts, and how sure that makes us. Pure.

Name alone never suffices. `certain` asks for the whole name and something few people share; a relative at the same address shares all but the first
name, so there a doubt about the name counts. `likely` is for a person to look at.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from crm.profiles.suggest.facts import Facts, swapped
from crm.profiles.suggest.sound import is_hebrew, sounds, words

CERTAIN, LIKELY = "certain", "likely"
T = TypeVar("T")
_YEAR = re.compile(r"^[a-z]+?(\d{2})$")
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


def doubtful(certain: Mapping[tuple[T, T], Judgement], facts: Mapping[T, Facts]) -> set[tuple[T, T]]:
    """Pairs that only an address makes certain, where one of the two would also be somebody who contradicts the other: a son of his father's name."""
    partners: dict[T, list[T]] = defaultdict(list)
    for one, other in certain:
        partners[one].append(other)
        partners[other].append(one)
    found = set()
    for pair, said in certain.items():
        if not {"birthday", "phone"} & set(said.agrees):
            one, other = pair
            thirds = [(other, third) for third in partners[one] if third != other] + [(one, third) for third in partners[other] if third != one]
            if any(_birthdays(facts[a], facts[b]) == "no" for a, b in thirds):
                found.add(pair)
    return found


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
    }


def _level(name: str, found: dict[str, str]) -> str | None:  # noqa: PLR0911  one line for each reason
    strong = sum(found[what] in {"yes", "swapped"} for what in ("birthday", "address", "phone"))
    if found["birthday"] == "no" or found["user_id"] == "no":
        return LIKELY if strong and name == "same" else None
    if name == "same" and _surely(found, strong):
        return CERTAIN
    if name != "same" and strong >= 2 and found["birthday"] == "yes":
        return CERTAIN
    if name == "near_last" and found["address"] == "yes" and found["city"] != "no":
        return CERTAIN  # a relative's last name would be spelt alike
    if name.startswith("near") and (strong >= 2 or (found["birthday"] == "yes" and found["city"] == "yes")):
        return CERTAIN if found["birthday"] == "yes" else LIKELY
    if name == "same" and (strong or found["city"] == "yes"):
        return LIKELY
    return LIKELY if name.startswith("near") and strong else None


def _surely(found: dict[str, str], strong: int) -> bool:
    """Somebody else of the same name would seldom share this too."""
    if strong >= 2 or found["phone"] == "yes":
        return True
    if found["city"] == "no":
        return found["birthday"] == "yes" and found["phone"] != "no"
    if found["birthday"] == "yes":
        return True
    return found["address"] == "yes" or (found["email"] == found["city"] == "yes" and found["address"] != "no")


def _names(one: tuple[str, ...], other: tuple[str, ...]) -> str:
    """`same` where every word has its like, `near` where one has only one close to it (`near_last`: the last), `first` where only the first names agree."""
    if len(one) < 2 or len(other) < 2:
        return ""
    if len(one) != len(other):
        return "same" if _covers(one, other) else ""
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
    """Two digits after the name in an address are often the year of birth; another year than the birthday's speaks against."""
    if not one.birthday:
        return False
    years = {found[1] for local in other.locals if (found := _YEAR.match(local)) and len(local) - 2 == len(next(iter(other.name)))}
    return bool(years) and f"{one.birthday.year % 100:02d}" not in years


def _sets(one: frozenset[str], other: frozenset[str]) -> str:
    return "" if not one or not other else "yes" if one & other else "no"


def _locals(one: Facts, other: Facts) -> str:
    """Only a local part with digits tells persons of one name apart."""
    return "yes" if any(_DIGITS.search(local) for local in one.locals & other.locals) else ""
