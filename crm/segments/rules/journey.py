"""What became of them in journeys: came in, is in one now, came to its end or its goal, was held out; as runs tell the log."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Literal

from pydantic import Field, model_validator

from crm.core.errors import SaidError
from crm.core.i18n import _l
from crm.segments import events, values
from crm.segments.compare import PropertyFilter
from crm.segments.rule import Clause, Person, Query, Reads, Rule, Seen, Sentence, Settings

STARTED, ENDED, HELD_OUT = "Journey Started", "Journey Ended", "Journey Held Out"
NAMES = {"entered": (STARTED,), "inside": (STARTED, ENDED), "finished": (ENDED,), "goal": (ENDED,), "left": (ENDED,), "held_out": (HELD_OUT,)}
HOW = {"finished": "finished", "goal": "goal", "left": "exit"}
WORDS = {
    "entered": _l("entered a journey %(times)s%(window)s%(where)s"),
    "finished": _l("came to the end of a journey %(times)s%(window)s%(where)s"),
    "goal": _l("reached the goal of a journey %(times)s%(window)s%(where)s"),
    "left": _l("was taken out of a journey by an event %(times)s%(window)s%(where)s"),
    "held_out": _l("was held out of a journey%(window)s%(where)s"),
    "inside": _l("is in a journey now%(window)s%(where)s"),
}


class JourneySettings(Settings):
    """Without a journey, any of them. `inside` looks at runs that began within the window."""

    did: Literal["entered", "inside", "finished", "goal", "left", "held_out"] = Field(default="entered", title=_l("What"))
    journey: str | None = Field(default=None, max_length=100, title=_l("Journey"))
    op: events.Op = Field(default="at_least", title=_l("Comparison"))
    value: int = Field(default=1, ge=0, le=10**6, title=_l("How often"))
    within: values.Duration | None = Field(default=None, title=_l("In the last"))

    @model_validator(mode="after")
    def _complete(self) -> JourneySettings:
        if self.did in {"inside", "held_out"} and (self.op, self.value) != ("at_least", 1):
            raise SaidError(_l("being on a journey or held out of it is not counted; for the opposite put it into “none of them”"))
        return self

    @property
    def where(self) -> list[PropertyFilter]:
        return [PropertyFilter(name="journey", value=self.journey)] if self.journey else []

    @property
    def wanted(self) -> events.Wanted:
        how = [PropertyFilter(name="how", value=HOW[self.did])] if self.did in HOW else []
        return events.Wanted(NAMES[self.did], [*self.where, *how], "count", None, self.op, Decimal(self.value), self.within)


class Journey(Rule[JourneySettings]):
    kind = "journey"
    title = _l("Their way through journeys")
    settings_type = JourneySettings

    def sql(self, settings: JourneySettings, query: Query) -> Clause:
        if settings.did != "inside":
            return events.sql(settings.wanted, query)
        which = events.event_filter(NAMES["inside"], settings.where, query)
        started, run = f"e.name = {query.bind(STARTED, 'text')}", values.plain_sql("(e.properties->'run_id')")
        runs = f"SELECT e.profile_id, {run} AS run, max(e.occurred_at) FILTER (WHERE {started}) AS since, (array_agg({started} ORDER BY e.occurred_at DESC, e.accepted DESC))[1] AS going FROM events e WHERE {which} GROUP BY 1, 2"  # noqa: E501  reads best as one line
        window = f"AND since > {query.bind(query.now, 'timestamptz')} - {query.bind(settings.within, 'interval')}" if settings.within is not None else ""
        alias = query.join(f"SELECT profile_id, max(since) AS since FROM ({runs}) r WHERE going {window} GROUP BY 1")
        due = f"{alias}.since + {query.bind(settings.within, 'interval')}" if settings.within is not None else None
        return Clause(f"{alias}.since IS NOT NULL", due)

    def read(self, settings: JourneySettings, person: Person, now: dt.datetime) -> bool:
        if settings.did != "inside":
            return events.read(settings.wanted, person, now)
        last: dict[str | None, Seen] = {}
        for event in sorted(person.events, key=lambda e: (e.occurred_at, e.accepted)):
            if events.is_one(event, NAMES["inside"], settings.where, now):
                last[values.plain(event.properties.get("run_id"))] = event
        return any(e.name == STARTED and (settings.within is None or e.occurred_at > now - settings.within) for e in last.values())

    def reads(self, settings: JourneySettings) -> Reads:
        return Reads(events=frozenset(NAMES[settings.did]), birth=settings.wanted.fits_nothing)

    def sentence(self, settings: JourneySettings) -> Sentence:
        once = (settings.op, settings.value) == ("at_least", 1)
        times = "" if once else events.times(settings.op, settings.value)
        return Sentence(WORDS[settings.did], {"times": times, "window": events.window_words(settings.within), "where": events.where_words(settings.where)})


plugin = Journey()
