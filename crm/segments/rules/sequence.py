"""Did one thing and then another within a time."""

from __future__ import annotations

import datetime as dt

from pydantic import Field

from crm.core.i18n import _l
from crm.segments import events, values
from crm.segments.compare import PropertyFilter
from crm.segments.rule import Clause, Person, Query, Reads, Rule, Sentence, Settings


class SequenceSettings(Settings):
    first: str = Field(min_length=1, max_length=200, title=_l("First"))
    then: str = Field(min_length=1, max_length=200, title=_l("Then"))
    apart: values.Duration = Field(default=dt.timedelta(days=1), title=_l("At most apart"))
    within: values.Duration | None = Field(default=None, title=_l("The first in the last"))
    first_where: list[PropertyFilter] = Field(default_factory=list, max_length=20, title=_l("Where"))
    then_where: list[PropertyFilter] = Field(default_factory=list, max_length=20, title=_l("Where"))


class SequenceRule(Rule[SequenceSettings]):
    kind = "sequence"
    title = _l("One thing and then another")
    settings_type = SequenceSettings

    def sql(self, settings: SequenceSettings, query: Query) -> Clause:
        one = events.event_filter([settings.first], settings.first_where, query, "a")
        two = events.event_filter([settings.then], settings.then_where, query, "b")
        window = ""
        if settings.within is not None:
            window = f"AND a.occurred_at > {query.bind(query.now, 'timestamptz')} - {query.bind(settings.within, 'interval')}"
        later = f"(b.occurred_at, b.accepted) > (a.occurred_at, a.accepted) AND b.occurred_at <= a.occurred_at + {query.bind(settings.apart, 'interval')}"
        alias = query.join(
            f"SELECT a.profile_id, max(a.occurred_at) AS latest FROM events a JOIN events b ON b.profile_id = a.profile_id AND {later} WHERE {one} AND {two} {window} GROUP BY 1"  # noqa: E501
        )
        due = f"{alias}.latest + {query.bind(settings.within, 'interval')}" if settings.within is not None else None
        return Clause(f"{alias}.latest IS NOT NULL", due)

    def read(self, settings: SequenceSettings, person: Person, now: dt.datetime) -> bool:
        ones = [e for e in person.events if events.is_one(e, [settings.first], settings.first_where, now)]
        twos = [e for e in person.events if events.is_one(e, [settings.then], settings.then_where, now)]
        return any(
            (b.occurred_at, b.accepted) > (a.occurred_at, a.accepted) and b.occurred_at <= a.occurred_at + settings.apart
            for a in ones
            if settings.within is None or a.occurred_at > now - settings.within
            for b in twos
        )

    def reads(self, settings: SequenceSettings) -> Reads:
        return Reads(events=frozenset({settings.first, settings.then}))

    def sentence(self, settings: SequenceSettings) -> Sentence:
        slots = {"first": settings.first, "first_where": events.where_words(settings.first_where), "window": events.window_words(settings.within),
                 "then": settings.then, "then_where": events.where_words(settings.then_where), "apart": settings.apart}  # fmt: skip
        return Sentence(_l("did %(first)s%(window)s%(first_where)s, then %(then)s%(then_where)s within %(apart)s"), slots)


plugin = SequenceRule()
