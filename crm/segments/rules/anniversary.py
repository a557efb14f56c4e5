"""A date comes round: on the day, or so many days before or after it, by the person's own clock."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from functools import lru_cache
from typing import Literal

from pydantic import Field, model_validator

from crm.core.errors import SaidError
from crm.core.i18n import _l
from crm.core.json import dumps
from crm.profiles import zones
from crm.segments import values
from crm.segments.anniversaries import Round, key_of, turns
from crm.segments.places import zone_sql
from crm.segments.rule import Clause, Person, Query, Reads, Rule, Sentence, Settings

WIDEST = 180  # days: a year's days never overlap the next one's
EVERYWHERE = "everywhere"  # in the place of a day
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
            raise SaidError(_l("the days must run forward, from the first to the last, and be fewer than %(most)s"), most=WIDEST)
        return self

    @property
    def kept(self) -> Round:
        return Round(self.calendar, self.missing, self.adar, self.start, self.end)


class Anniversary(Rule[AnniversarySettings]):
    kind = "anniversary"
    title = _l("A date that comes round")
    settings_type = AnniversarySettings

    def sql(self, settings: AnniversarySettings, query: Query) -> Clause:
        date = query.at("p.traits", settings.name)
        born = f"substr({date} #>> '{{}}', 1, 10)"
        told = f"jsonb_typeof({date}) = 'string' AND {date} #>> '{{}}' ~ '{values.TIME}'"
        if not query.dues:
            return Clause(_now(settings.kept, query, born, told))
        people = f"SELECT p.id, CASE WHEN {told} THEN CAST({born} AS date) END AS born, {zone_sql(query)} AS zone FROM profiles p WHERE p.merged_into IS NULL AND {told} {query.only('p.id')}"  # noqa: E501  reads best as one line
        key = "to_char(w.born, 'MM-DD')"
        if settings.calendar == "hebrew":
            people, key = f"SELECT w.*, h.key FROM ({people}) w JOIN hebrew_days h ON h.day = w.born", "w.key"
        clocks = f"(SELECT {query.bind(_clocks(query.now.replace(second=0, microsecond=0)), 'jsonb')})"  # read once, not for each person
        turn = f"(SELECT {query.bind(_turns(settings.kept, query.now.astimezone(dt.UTC).date()), 'jsonb')})"
        alias = query.join(
            f"SELECT id AS profile_id, coalesce(CAST(turn->>0 AS date) >= born, false) AS inside, CASE CAST(turn->>1 AS date) - CAST(clock->>0 AS date) "
            f"WHEN 1 THEN CAST(clock->>1 AS timestamptz) WHEN 2 THEN CAST(clock->>2 AS timestamptz) "
            f"ELSE CAST(CAST(turn->>1 AS date) - 1 AS timestamp) AT TIME ZONE 'UTC' END AS due "
            f"FROM (SELECT w.*, {turn}->(clock->>0 || ' ' || {key}) AS turn FROM (SELECT w.*, {clocks}->w.zone AS clock "
            f"FROM ({people}) w OFFSET 0) w OFFSET 0) w"
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
        return Reads(traits=frozenset({settings.name, settings.name.split(".")[0]}) | zones.TRAITS)

    def sentence(self, settings: AnniversarySettings) -> Sentence:
        slots = {"name": settings.name, "calendar": Sentence(CALENDARS[settings.calendar]), "when": _when(settings)}
        return Sentence(_l("%(name)s, %(calendar)s: %(when)s"), slots)


def _now(kept: Round, query: Query, born: str, told: str) -> str:
    """The same without when it changes, for counting everybody: the days of birth whose turn it is somewhere leave few whose clock must be asked."""
    key, round_ = f"substr({born}, 6)", f"(SELECT {query.bind(_rounds(kept, query.now.astimezone(dt.UTC).date()), 'jsonb')})"
    if kept.calendar == "hebrew":
        key, round_ = born, f"(SELECT jsonb_object_agg(to_char(h.day, 'YYYY-MM-DD'), r.value) FROM jsonb_each({round_}) r JOIN hebrew_days h USING (key))"
    today = f"(SELECT {query.bind(_clocks(query.now.replace(second=0, microsecond=0)), 'jsonb')}) -> ({zone_sql(query)}) ->> 0"
    day = f"coalesce({round_} -> {key} ->> '{EVERYWHERE}', {round_} -> {key} ->> ({today}))"
    return f'CASE WHEN jsonb_exists({round_}, {key}) AND {told} THEN {born} COLLATE "C" <= {day} END'


def _when(settings: AnniversarySettings) -> Sentence:
    first, last = settings.start, settings.end
    slots = {"start": abs(first), "end": abs(last)}
    if first == last:
        return (
            Sentence(_l("%(start)s days before the anniversary") if first < 0 else _l("%(start)s days after the anniversary"), slots)
            if first
            else Sentence(_l("on the anniversary"))
        )
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
def _clocks(minute: dt.datetime) -> str:
    """Every zone: its day, when tomorrow begins there, and the day after. Zones change at whole minutes."""
    found = {}
    for zone in sorted(zones.known()):
        today = zones.local_day(minute, zone)
        found[zone] = [today.isoformat(), *(zones.midnight(today + dt.timedelta(days=n), zone).isoformat() for n in (1, 2))]
    return dumps(found)


@lru_cache(maxsize=64)
def _turns(kept: Round, day: dt.date) -> str:
    """For each day it is somewhere, and every key: its anniversary where these are its days, and when that changes."""
    found = {
        f"{today} {key}": [turn.day and turn.day.isoformat(), turn.changes.isoformat()] for today in _somewhere(day) for key, turn in turns(kept, today).items()
    }
    return dumps(found)


@lru_cache(maxsize=64)
def _rounds(kept: Round, day: dt.date) -> str:
    """Every key whose turn it is somewhere: for each day it is there, the anniversary; once, where that is the same on all of them."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for today in _somewhere(day):
        for key, turn in turns(kept, today).items():
            if turn.day is not None:
                found[key][today.isoformat()] = turn.day.isoformat()
    days = len(_somewhere(day))
    return dumps({key: {EVERYWHERE: min(on.values())} if len(on) == days and len(set(on.values())) == 1 else on for key, on in found.items()})


def _somewhere(day: dt.date) -> list[dt.date]:
    """What day it may be where people are, while it is this one by UTC."""
    return [day + dt.timedelta(days=n) for n in (-1, 0, 1)]


plugin = Anniversary()
