"""A date comes round: on the day, or so many days before or after it, by the person's own clock."""

from __future__ import annotations

import datetime as dt
from functools import lru_cache
from typing import Literal

from pydantic import Field, model_validator

from crm.core.i18n import _l
from crm.profiles import zones
from crm.segments import values
from crm.segments.anniversaries import Round, Turn, key_of, turns
from crm.segments.places import zone_sql
from crm.segments.rule import Clause, Person, Query, Reads, Rule, Sentence, Settings

WIDEST = 180  # days: a year's days never overlap the next one's
CALENDARS = {"gregorian": _l("by the Gregorian calendar"), "hebrew": _l("by the Hebrew calendar")}


class AnniversarySettings(Settings):
    """`start` and `end` are days after the anniversary; negative ones are before it."""

    name: str = Field(min_length=1, max_length=200, title=_l("Trait with the date"))
    calendar: Literal["gregorian", "hebrew"] = Field(default="gregorian", title=_l("Calendar"))
    start: int = Field(default=0, ge=-WIDEST, le=WIDEST, title=_l("From so many days after it"), description=_l("Negative: before it."))
    end: int = Field(default=0, ge=-WIDEST, le=WIDEST, title=_l("Until so many days after it"), description=_l("Negative: before it."))
    missing: Literal["before", "after"] = Field(default="before", title=_l("A day this year lacks"))
    adar: Literal["first", "second"] = Field(default="second", title=_l("Adar, in a year with two"))

    @model_validator(mode="after")
    def _complete(self) -> AnniversarySettings:
        if not 0 <= self.end - self.start < WIDEST:
            raise ValueError(f"the days must run forward, from start to end, and be fewer than {WIDEST}")
        return self

    @property
    def kept(self) -> Round:
        return Round(self.calendar, self.missing, self.adar, self.start, self.end)


class Anniversary(Rule[AnniversarySettings]):
    kind = "anniversary"
    title = _l("A date that comes round")
    settings_type = AnniversarySettings

    def sql(self, settings: AnniversarySettings, query: Query) -> Clause:
        date = f"(p.traits #> {query.bind(settings.name.split('.'), 'text[]')})"
        born = f"substr({date} #>> '{{}}', 1, 10)"
        told = f"jsonb_typeof({date}) = 'string' AND {date} #>> '{{}}' ~ '{values.TIME}'"
        people = f"SELECT p.id, CASE WHEN {told} THEN CAST({born} AS date) END AS born, {zone_sql(query)} AS zone FROM profiles p WHERE p.merged_into IS NULL AND {told} {query.only('p.id')}"  # noqa: E501
        key = "to_char(w.born, 'MM-DD')"
        if settings.calendar == "hebrew":
            people, key = f"SELECT w.*, h.key FROM ({people}) w JOIN hebrew_days h ON h.day = w.born", "w.key"
        clocks, keys = _clocks(query.now.replace(second=0, microsecond=0)), _keys(settings.kept, query.now)
        clock = ", ".join(query.bind(list(column), kind) for column, kind in zip(clocks, ("text[]", "date[]", "timestamptz[]", "timestamptz[]"), strict=True))
        turn = ", ".join(query.bind(list(column), kind) for column, kind in zip(keys, ("date[]", "text[]", "date[]", "date[]"), strict=True))
        alias = query.join(
            f"SELECT w.id AS profile_id, coalesce(t.day >= w.born, false) AS inside, CASE t.changes - z.today WHEN 1 THEN z.tomorrow WHEN 2 THEN z.after "
            f"ELSE CAST(t.changes - 1 AS timestamp) AT TIME ZONE 'UTC' END AS due FROM ({people}) w JOIN unnest({clock}) z(zone, today, tomorrow, after) "
            f"ON z.zone = w.zone JOIN unnest({turn}) t(today, key, day, changes) ON t.today = z.today AND t.key = {key}"
        )
        return Clause(f"{alias}.inside", f"{alias}.due")

    def read(self, settings: AnniversarySettings, person: Person, now: dt.datetime) -> bool:
        said = values.dig(person.traits, settings.name)
        born = dt.date.fromisoformat(said[:10]) if isinstance(said, str) and values.moment(said) is not None else None
        key = key_of(born, settings.calendar) if born else None
        if born is None or key is None:
            return False
        day = turns(settings.kept, zones.local_day(now, person.timezone))[key].day
        return day is not None and day >= born

    def reads(self, settings: AnniversarySettings) -> Reads:
        return Reads(traits=frozenset({settings.name.split(".")[0]}) | zones.TRAITS)

    def sentence(self, settings: AnniversarySettings) -> Sentence:
        slots = {"name": settings.name, "calendar": Sentence(CALENDARS[settings.calendar]), "when": _when(settings)}
        return Sentence(_l("%(name)s, %(calendar)s: %(when)s"), slots)


def _when(settings: AnniversarySettings) -> Sentence:
    first, last = settings.start, settings.end
    slots = {"start": abs(first), "end": abs(last)}
    if first == last:
        return (
            Sentence(_l("%(start)s days before the anniversary") if first < 0 else _l("%(start)s days after the anniversary"), slots)
            if first
            else Sentence(_l("on the anniversary"))
        )  # noqa: E501
    if last == 0:
        return Sentence(_l("in the %(start)s days before the anniversary, and on it"), slots)
    if first == 0:
        return Sentence(_l("on the anniversary, and in the %(end)s days after it"), slots)
    if first < 0 < last:
        return Sentence(_l("from %(start)s days before until %(end)s days after the anniversary"), slots)
    if last < 0:
        return Sentence(_l("from %(start)s until %(end)s days before the anniversary"), slots)
    return Sentence(_l("from %(start)s until %(end)s days after the anniversary"), slots)


@lru_cache(maxsize=16)
def _clocks(minute: dt.datetime) -> tuple[tuple[object, ...], ...]:
    """Every zone: its name, its day, when tomorrow begins there, and the day after. Zones change at whole minutes."""
    day = dt.timedelta(days=1)
    rows = [
        (zone, today, zones.midnight(today + day, zone), zones.midnight(today + 2 * day, zone))
        for zone in sorted(zones.known())
        for today in (zones.local_day(minute, zone),)
    ]  # noqa: E501
    return tuple(zip(*rows, strict=True))


def _keys(kept: Round, now: dt.datetime) -> tuple[tuple[object, ...], ...]:
    """For each day it is somewhere: every key, its anniversary where these are its days, and when that changes."""
    rows: list[tuple[dt.date, str, Turn]] = []
    for ahead in (-1, 0, 1):
        today = now.astimezone(dt.UTC).date() + dt.timedelta(days=ahead)
        rows += [(today, key, turn) for key, turn in turns(kept, today).items()]
    return tuple(zip(*((today, key, turn.day, turn.changes) for today, key, turn in rows), strict=True))


plugin = Anniversary()
