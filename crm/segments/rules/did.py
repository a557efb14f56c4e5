"""Did something, so and so often or for so much, in a window; or did not."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

from pydantic import Field, model_validator

from crm.core.errors import SaidError
from crm.core.i18n import _l
from crm.profiles import zones
from crm.segments import events, values
from crm.segments.compare import PropertyFilter
from crm.segments.rule import Clause, Person, Query, Reads, Rule, Sentence, Settings

FIRST, LAST = dt.date(1900, 1, 1), dt.date(2100, 12, 31)
SUMS = {"sum": _l("sum of %(prop)s"), "distinct": _l("different values of %(prop)s")}


class DidSettings(Settings):
    event: str = Field(min_length=1, max_length=200, title=_l("Event"))
    op: events.Op = Field(default="at_least", title=_l("Comparison"))
    value: float = Field(default=1, ge=0, le=10**12, title=_l("How often"))
    within: values.Duration | None = Field(default=None, title=_l("In the last"))
    since: dt.date | None = Field(default=None, ge=FIRST, le=LAST, title=_l("Since"))
    until: dt.date | None = Field(default=None, ge=FIRST, le=LAST, title=_l("Before"))
    of: events.Measure = Field(default="count", title=_l("Measured"))
    prop: str | None = Field(default=None, min_length=1, max_length=200, title=_l("Property to measure"))
    per: str | None = Field(default=None, min_length=1, max_length=200, title=_l("For each"))
    where: list[PropertyFilter] = Field(default_factory=list, max_length=20, title=_l("Where"))

    @model_validator(mode="after")
    def _complete(self) -> DidSettings:
        if self.of != "count" and not self.prop:
            raise SaidError(_l("this measures a property of the event; name it"))
        if self.within is not None and (self.since or self.until):
            raise SaidError(_l("give either a window back from now, or dates, not both"))
        if self.since and self.until and self.since >= self.until:
            raise SaidError(_l("the dates must run forward, from the first to the last"))
        return self

    def wanted(self, zone: str) -> events.Wanted:
        """What is counted; dates are days of the installation's clock."""
        since, until = (None if day is None else zones.midnight(day, zone) for day in (self.since, self.until))
        return events.Wanted([self.event], self.where, self.of, self.prop, self.op, Decimal(str(self.value)), self.within, since, until, self.per)


class Did(Rule[DidSettings]):
    kind = "did"
    title = _l("Something they did, or did not")
    settings_type = DidSettings

    def sql(self, settings: DidSettings, query: Query) -> Clause:
        return events.sql(settings.wanted(query.place.timezone), query)

    def read(self, settings: DidSettings, person: Person, now: dt.datetime) -> bool:
        return events.read(settings.wanted(person.home), person, now)

    def reads(self, settings: DidSettings) -> Reads:
        return Reads(events=frozenset({settings.event}), birth=settings.wanted("UTC").fits_nothing)

    def sentence(self, settings: DidSettings) -> Sentence:
        window = events.window_words(settings.within, settings.since, settings.until)
        slots: dict[str, Any] = {"event": settings.event, "window": window, "where": events.where_words(settings.where)}
        if settings.per:
            slots["where"] = Sentence(_l("%(where)s for one %(per)s"), {"where": slots["where"], "per": settings.per})
        if settings.of != "count":
            what = Sentence(SUMS[settings.of], {"prop": settings.prop})
            return Sentence(MEASURED[settings.op], slots | {"what": what, "value": settings.value})
        if settings.op in {"at_most", "exactly"} and settings.value == 0:
            return Sentence(_l("did not do %(event)s%(window)s%(where)s"), slots)
        if settings.op == "at_least" and settings.value == 1:
            return Sentence(_l("did %(event)s%(window)s%(where)s"), slots)
        times = events.times(settings.op, settings.value)
        return Sentence(_l("did %(event)s %(times)s%(window)s%(where)s"), slots | {"times": times})


MEASURED = {
    "at_least": _l("%(what)s over %(event)s%(window)s%(where)s is at least %(value)s"),
    "more_than": _l("%(what)s over %(event)s%(window)s%(where)s is more than %(value)s"),
    "at_most": _l("%(what)s over %(event)s%(window)s%(where)s is at most %(value)s"),
    "less_than": _l("%(what)s over %(event)s%(window)s%(where)s is less than %(value)s"),
    "exactly": _l("%(what)s over %(event)s%(window)s%(where)s is exactly %(value)s"),
}


plugin = Did()
