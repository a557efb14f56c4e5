"""What tells whether two profiles are one person, read from traits and identities; and the keys under which they may meet. Pure."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

from crm.events.address import normalise
from crm.profiles.suggest.sound import sounds, words

MOST_KEYS = 24  # of one name or street
_STREET_WORDS = {"street", "st", "rehov", "rechov", "road", "rd", "ave", "avenue", "sderot", "shderot", "sd", "רחוב", "רח", "שדרות", "שד", "דרך", "derech"}
_NUMBER = re.compile(r"\d+")
_DIGITS = re.compile(r"\d{2,}")
_DATE = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})")


@dataclass(frozen=True, slots=True)
class Facts:
    """One profile as it is compared. Empty where nothing is known."""

    name: tuple[str, ...]
    city: tuple[str, ...]
    street: tuple[str, ...]
    house: str
    birthday: dt.date | None
    phones: frozenset[str]
    locals: frozenset[str]  # of e-mail addresses, before the @
    user_ids: frozenset[str] = frozenset()


def facts_of(traits: Mapping[str, Any], identities: Iterable[tuple[str, str]]) -> Facts:
    """Read one profile; traits of unexpected types count as not known."""
    owned = list(identities)
    street, city = _address(traits)
    house = _NUMBER.search(street)
    phones = {value for kind, value in owned if kind in {"phone", "wa_id"}} | {normalise("phone", traits.get("phone"))}
    emails = {value for kind, value in owned if kind == "email"} | {normalise("email", traits.get("email"))}
    return Facts(
        tuple(words(_name(traits)))[:6],
        tuple(words(city))[:4],
        tuple(word for word in words(street) if word not in _STREET_WORDS)[:4],
        house[0] if house else "",
        _birthday(traits),
        frozenset(phone for phone in phones if phone),
        frozenset(email.rpartition("@")[0].partition("+")[0] for email in emails if email),
        frozenset(value for kind, value in owned if kind == "user_id"),
    )


def keys_of(facts: Facts) -> set[str]:
    """Under each of these a profile may meet another; none without a whole name, which is the least two profiles must share."""
    if len(facts.name) < 2:
        return set()
    keys = {f"p:{phone}" for phone in facts.phones}
    keys |= {f"e:{local}" for local in facts.locals if _DIGITS.search(local)}
    if facts.birthday:
        keys.add(f"b:{min(facts.birthday, swapped(facts.birthday) or facts.birthday)}")
    if facts.house and facts.street:
        keys |= {f"a:{facts.house}:{sound}" for sound in _all(facts.street)}
    if facts.city:
        keys |= {f"n:{name}:{city}" for name, city in _some(product(_all(facts.name), _all(facts.city)))}
    return keys


def swapped(day: dt.date) -> dt.date | None:
    """Day and month in each other's place, where that is a date."""
    return day.replace(month=day.day, day=day.month) if day.day <= 12 else None


def _all(of: tuple[str, ...]) -> list[str]:
    """Every way these words may sound together, whatever their order."""
    return sorted({" ".join(sorted(way)) for way in _some(product(*(sorted(sounds(word)) for word in of)))})


def _some(ways: Iterable[Any]) -> list[Any]:
    return [way for way, _ in zip(ways, range(MOST_KEYS), strict=False)]


def _name(traits: Mapping[str, Any]) -> str:
    if isinstance(whole := traits.get("name"), str) and whole.strip():
        return whole
    parts = (traits.get("firstName") or traits.get("first_name"), traits.get("lastName") or traits.get("last_name"))
    return " ".join(part for part in parts if isinstance(part, str))


def _address(traits: Mapping[str, Any]) -> tuple[str, str]:
    """Street with its number, and city."""
    said = traits.get("address")
    inner = said if isinstance(said, Mapping) else {}
    street = inner.get("street") or inner.get("line1") or (said if isinstance(said, str) else "") or traits.get("street") or ""
    city = traits.get("city") or inner.get("city") or ""
    return street if isinstance(street, str) else "", city if isinstance(city, str) else ""


def _birthday(traits: Mapping[str, Any]) -> dt.date | None:
    said = next((traits[name] for name in ("birthday", "birth_date", "date_of_birth") if isinstance(traits.get(name), str)), "")
    found = _DATE.match(said)
    try:
        return dt.date(*map(int, found.groups())) if found else None
    except ValueError:
        return None
