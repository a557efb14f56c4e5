"""Where they are and what they speak: country, region, city, locale, language, time zone."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from crm.core.errors import SaidError
from crm.core.i18n import _l
from crm.profiles import zones
from crm.segments import values
from crm.segments.places import spellings, zone_sql
from crm.segments.rule import Clause, Person, Query, Reads, Rule, Sentence, Settings

Of = Literal["country", "region", "city", "locale", "language", "timezone"]
IS: Mapping[str, str] = {
    "country": _l("lives in %(value)s"), "region": _l("lives in the region %(value)s"), "city": _l("lives in the city %(value)s"),
    "locale": _l("reads %(value)s"), "language": _l("speaks %(value)s"), "timezone": _l("lives by the clock of %(value)s"),
}  # fmt: skip
NOT: Mapping[str, str] = {
    "country": _l("does not live in %(value)s"), "region": _l("does not live in the region %(value)s"), "city": _l("does not live in the city %(value)s"),
    "locale": _l("does not read %(value)s"), "language": _l("does not speak %(value)s"), "timezone": _l("does not live by the clock of %(value)s"),
}  # fmt: skip
NAMES: Mapping[str, tuple[str, ...]] = {
    "country": ("country",),
    "region": ("region", "state"),
    "city": ("city",),
    "locale": ("locale",),
    "language": ("language", "locale"),
}


class GeographySettings(Settings):
    """A country is written by its code or its name in English or Hebrew; several values have commas between them."""

    of: Of = Field(default="country", title=_l("What"))
    op: Literal["is", "is_not"] = Field(default="is", title=_l("Comparison"))
    value: str = Field(min_length=1, max_length=1000, title=_l("Value"), description=_l("Several with commas between them."))

    @model_validator(mode="after")
    def _complete(self) -> GeographySettings:
        if not self.wanted:
            raise SaidError(_l("name at least one, with commas between several"))
        return self

    @property
    def wanted(self) -> list[str]:
        said = [one.strip() for one in self.value.split(",") if one.strip()]
        if self.of == "country":
            return sorted({spelling for one in said for spelling in spellings(one)})
        return sorted({_shaped(self.of, values.fold(one)) for one in said})


class Geography(Rule[GeographySettings]):
    kind = "geography"
    title = _l("Where they live")
    settings_type = GeographySettings

    def sql(self, settings: GeographySettings, query: Query) -> Clause:
        if settings.of == "timezone":
            found = f"lower({zone_sql(query)})"
        else:
            found = "lower(coalesce(" + ", ".join(zones.placed_sql("p.traits", name) for name in NAMES[settings.of]) + "))"
        if settings.of in {"locale", "language"}:
            found = f"replace({found}, '_', '-')"
        if settings.of == "language":
            found = f"split_part({found}, '-', 1)"
        same = f"coalesce({found} = ANY({query.bind(settings.wanted, 'text[]')}), false)"
        return Clause(same if settings.op == "is" else f"NOT {same}")

    def read(self, settings: GeographySettings, person: Person, now: dt.datetime) -> bool:
        found = _found(settings.of, person)
        return (found is not None and _shaped(settings.of, values.fold(found)) in settings.wanted) == (settings.op == "is")

    def reads(self, settings: GeographySettings) -> Reads:
        names = zones.TRAITS if settings.of == "timezone" else frozenset(NAMES[settings.of]) | {"address"}
        return Reads(traits=names, birth=True)

    def sentence(self, settings: GeographySettings) -> Sentence:
        return Sentence((IS if settings.op == "is" else NOT)[settings.of], {"value": settings.value})


def _found(of: str, person: Person) -> str | None:
    if of == "timezone":
        return person.timezone
    told: list[Any] = [zones.placed(person.traits, name) for name in NAMES[of]]
    return next((one for one in told if one), None)


def _shaped(of: str, folded: str) -> str:
    """`he_IL` and `he-il` are one locale, and their language is `he`."""
    if of not in {"locale", "language"}:
        return folded
    written = folded.replace("_", "-")
    return written.split("-", maxsplit=1)[0] if of == "language" else written


plugin = Geography()
