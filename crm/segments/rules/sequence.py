"""Did one thing and then another within a time, or then did not."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from pydantic import Field, model_validator

from crm.core.errors import SaidError
from crm.core.i18n import _l
from crm.segments import events, values
from crm.segments.compare import PropertyFilter
from crm.segments.rule import Clause, Person, Query, Reads, Rule, Seen, Sentence, Settings


class SequenceSettings(Settings):
    first: str = Field(min_length=1, max_length=200, title=_l("First"))
    then: str = Field(min_length=1, max_length=200, title=_l("Then"))
    never: bool = Field(default=False, title=_l("And then not"))
    apart: values.Duration = Field(default=dt.timedelta(days=1), title=_l("At most apart"))
    within: values.Duration | None = Field(default=None, title=_l("The first in the last"))
    first_where: list[PropertyFilter] = Field(default_factory=list, max_length=20, title=_l("Where, of the first"))
    then_where: list[PropertyFilter] = Field(default_factory=list, max_length=20, title=_l("Where, of the second"))

    @model_validator(mode="after")
    def _complete(self) -> SequenceSettings:
        if self.never and self.within is not None and self.within <= self.apart:
            raise SaidError(_l("the first must lie further back than the time it is waited for the second; make the window longer"))
        return self


class SequenceRule(Rule[SequenceSettings]):
    kind = "sequence"
    title = _l("One thing and then another")
    settings_type = SequenceSettings

    def sql(self, settings: SequenceSettings, query: Query) -> Clause:
        apart, now = query.bind(settings.apart, "interval"), query.bind(query.now, "timestamptz")
        rows = _rows(settings, query)
        if not settings.never:
            alias = query.join(f"SELECT profile_id, max(at) FILTER (WHERE one AND next <= at + {apart}) AS latest FROM ({rows}) r GROUP BY 1")
            due = f"{alias}.latest + {query.bind(settings.within, 'interval')}" if settings.within is not None else None
            return Clause(f"{alias}.latest IS NOT NULL", due)
        # whose time is over without a second; one whose time still runs is looked at when it ends
        alone = f"one AND (next <= at + {apart}) IS NOT TRUE AND at + {apart}"
        alias = query.join(
            f"SELECT profile_id, max(at) FILTER (WHERE {alone} <= {now}) AS latest, min(at + {apart}) FILTER (WHERE {alone} > {now}) AS soon "
            f"FROM ({rows}) r GROUP BY 1"
        )
        lapses = f"LEAST({alias}.latest + {query.bind(settings.within, 'interval')}, {alias}.soon)" if settings.within is not None else f"{alias}.soon"
        return Clause(f"{alias}.latest IS NOT NULL", lapses)

    def read(self, settings: SequenceSettings, person: Person, now: dt.datetime) -> bool:
        ones = [e for e in person.events if events.is_one(e, [settings.first], settings.first_where, now)]
        twos = [e for e in person.events if events.is_one(e, [settings.then], settings.then_where, now)]
        if settings.never:
            return any(
                now >= a.occurred_at + settings.apart and (settings.within is None or a.occurred_at > now - settings.within) and not _follows(settings, a, twos)
                for a in ones
            )
        return any(_follows(settings, a, twos) for a in ones if settings.within is None or a.occurred_at > now - settings.within)

    def reads(self, settings: SequenceSettings) -> Reads:
        return Reads(events=frozenset({settings.first, settings.then}))

    def sentence(self, settings: SequenceSettings) -> Sentence:
        slots = {"first": settings.first, "first_where": events.where_words(settings.first_where), "window": events.window_words(settings.within),
                 "then": settings.then, "then_where": events.where_words(settings.then_where), "apart": settings.apart}  # fmt: skip
        if settings.never:
            return Sentence(_l("did %(first)s%(window)s%(first_where)s, and then not %(then)s%(then_where)s within %(apart)s"), slots)
        return Sentence(_l("did %(first)s%(window)s%(first_where)s, then %(then)s%(then_where)s within %(apart)s"), slots)


def _follows(settings: SequenceSettings, a: Seen, later: Sequence[Seen]) -> bool:
    """Whether one of these comes after it and in time."""
    return any((b.occurred_at, b.accepted) > (a.occurred_at, a.accepted) and b.occurred_at <= a.occurred_at + settings.apart for b in later)


def _rows(settings: SequenceSettings, query: Query) -> str:
    """Each event that may be either, with the time of the next second after it: one pass over a person's log, however long it is."""
    one, two = (events.is_one_sql([name], where, query) for name, where in ((settings.first, settings.first_where), (settings.then, settings.then_where)))
    named = query.bind(sorted({settings.first, settings.then}), "text[]")
    window = ""
    if settings.within is not None:
        window = f"AND e.occurred_at > {query.bind(query.now, 'timestamptz')} - {query.bind(settings.within, 'interval')}"
    return (
        f"SELECT e.profile_id, e.occurred_at AS at, {one} AS one, min(e.occurred_at) FILTER (WHERE {two}) OVER (PARTITION BY e.profile_id "
        "ORDER BY e.occurred_at DESC, e.accepted DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS next "
        f"FROM events e WHERE e.name = ANY({named}) {window} {query.only('e.profile_id')}"
    )


plugin = SequenceRule()
