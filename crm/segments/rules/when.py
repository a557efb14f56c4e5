"""When they did something first or last: within a time, longer ago, or never at all is `did`."""

from __future__ import annotations

import datetime as dt
from typing import Literal

from pydantic import Field

from crm.core.i18n import _l
from crm.segments import events, values
from crm.segments.compare import PropertyFilter, read_relative, relative
from crm.segments.rule import Clause, Person, Query, Reads, Rule, Sentence, Settings

WORDS = {
    "first": {
        "within_last": _l("did %(event)s%(where)s first within the last %(ago)s"),
        "longer_ago": _l("did %(event)s%(where)s first longer ago than %(ago)s"),
    },
    "last": {"within_last": _l("did %(event)s%(where)s last within the last %(ago)s"), "longer_ago": _l("did %(event)s%(where)s last longer ago than %(ago)s")},
}


class WhenSettings(Settings):
    event: str = Field(min_length=1, max_length=200, title=_l("Event"))
    of: Literal["first", "last"] = Field(default="last", title=_l("Of"))
    op: Literal["within_last", "longer_ago"] = Field(default="longer_ago", title=_l("Comparison"))
    ago: values.Duration = Field(default=dt.timedelta(days=30), title=_l("How long ago"))
    where: list[PropertyFilter] = Field(default_factory=list, max_length=20, title=_l("Where"))


class When(Rule[WhenSettings]):
    kind = "when"
    title = _l("When they did something")
    settings_type = WhenSettings

    def sql(self, settings: WhenSettings, query: Query) -> Clause:
        which = events.event_filter([settings.event], settings.where, query)
        edge = "min" if settings.of == "first" else "max"
        alias = query.join(f"SELECT e.profile_id, {edge}(e.occurred_at) AS t FROM events e WHERE {which} GROUP BY 1")
        return relative(settings.op, f"{alias}.t", settings.ago, query)

    def read(self, settings: WhenSettings, person: Person, now: dt.datetime) -> bool:
        mine = [e.occurred_at for e in person.events if events.is_one(e, [settings.event], settings.where, now)]
        return read_relative(settings.op, (min if settings.of == "first" else max)(mine, default=None), settings.ago, now)

    def reads(self, settings: WhenSettings) -> Reads:
        return Reads(events=frozenset({settings.event}))

    def sentence(self, settings: WhenSettings) -> Sentence:
        slots = {"event": settings.event, "where": events.where_words(settings.where), "ago": settings.ago}
        return Sentence(WORDS[settings.of][settings.op], slots)


plugin = When()
