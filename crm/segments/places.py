"""Where somebody is, as SQL over `profiles p`: the twin of crm.profiles.zones, and the spellings of a country."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from babel import Locale

from crm.core.json import dumps
from crm.profiles import zones
from crm.segments import values
from crm.segments.rule import Query

SPOKEN = ("en", "he")


def zone_sql(query: Query) -> str:
    """The zone of a profile: its trait, else its country's if that has one, else the installation's."""
    known = f"(SELECT {query.bind(dumps(dict.fromkeys(sorted(zones.known()), 1)), 'jsonb')})"
    said = "CASE WHEN jsonb_typeof(p.traits->'timezone') = 'string' THEN p.traits->>'timezone' END"
    country = zones.placed_sql("p.traits", "country")
    theirs = f"CASE WHEN {country} ~ '^[A-Za-z]{{2}}$' THEN (SELECT {query.bind(dumps(dict(zones.single())), 'jsonb')}) ->> upper({country}) END"
    return f"CASE WHEN jsonb_exists({known}, {said}) THEN {said} ELSE coalesce({theirs}, {query.bind(query.place.timezone, 'text')}) END"


def spellings(country: str) -> list[str]:
    """A country's code and names in the languages we speak, folded; what names none stands for itself."""
    folded = values.fold(country.strip())
    code = country.strip().upper() if country.strip().upper() in _names() else _codes().get(folded)
    return sorted({folded} | ({values.fold(code)} | {values.fold(name) for name in _names()[code]} if code else set()))


@cache
def _names() -> Mapping[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for language in SPOKEN:
        for code, name in Locale(language).territories.items():
            if len(code) == 2 and code.isalpha():  # ISO 3166; the rest are continents
                found.setdefault(code, set()).add(name)
    return {code: frozenset(names) for code, names in found.items()}


@cache
def _codes() -> Mapping[str, str]:
    return {values.fold(name): code for code, names in _names().items() for name in names}
