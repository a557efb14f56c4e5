"""What a backtest reads: people in ranges, their events as we heard of them, in a transaction that can write nothing."""

from __future__ import annotations

import datetime as dt
import itertools
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from heapq import merge
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.commerce import cart
from crm.core.config import Config
from crm.events.inbox import driver
from crm.events.models import LIVE, SYSTEM_SOURCE
from crm.events.spec import Happened
from crm.profiles.people import Person
from crm.segments.refresh import ENTERED, LEFT
from journeys.backtest_cast import Case, Cast, Moved, Setting, Somebody, spoken
from journeys.node import DATE_REACHED
from journeys.past import EVERY
from journeys.triggers.date import DateSettings, DateTrigger
from journeys.zones import day_in, local, zone_of

ROLE = "kesher_backtest"
AT_ONCE = 2_000  # rows the cursor fetches
Moments = Iterator[tuple[dt.datetime, list[Happened]]]


def setting_of(config: Config, begins: dt.datetime, ends: dt.datetime, *, real: bool = False) -> Setting:
    """Where a backtest plays; a replay waits as long as this installation really does."""
    return Setting(config.locale, config.timezone, config.currency, begins, ends, config.time_scale if real else 1.0)


def narrow(session: Session, *, reads_only: bool = True) -> bool:
    """Take the rights away for this transaction: the role that may write only reports, where there is one, and READ ONLY. True: the role is there."""
    if reads_only:
        session.execute(text("SET TRANSACTION READ ONLY"))
    there = bool(session.scalar(_ROLE, {"role": ROLE}))
    if there:
        session.execute(text(f"SET LOCAL ROLE {ROLE}"))
    return there


@dataclass(frozen=True, slots=True)
class Batch:
    """Some people in order of their ids, and what runs of the played journeys really said, which must not be heard again."""

    people: Sequence[Somebody]
    caused: frozenset[str]


def batch(session: Session, cast: Cast, setting: Setting, *, after: uuid.UUID | None, last: uuid.UUID | None, limit: int) -> Batch:
    """The next people after an id, as they were known when the period began."""
    rows = session.execute(_PEOPLE, {"after": after, "last": last, "limit": limit}).all()
    ids = [row.id for row in rows]
    if not ids:
        return Batch((), frozenset())
    told = {row.id: _told_before(row, setting.begins) for row in rows} if cast.traits else {}
    _tell_earlier(session, [row.id for row in rows if cast.traits and _newer(row, setting.begins)], told, setting.begins)
    arms, moves = _arms(session, cast, ids), _moves(session, cast, ids)
    bounds = {"journeys": list(cast.cases), "slugs": [case.slug for case in cast.cases.values()], "first": ids[0], "last": ids[-1]}
    caused = frozenset(session.scalars(_CAUSED, bounds))
    return Batch([Somebody(row.id, row.bucket, told.get(row.id) or _nobody(row.id), arms.get(row.id, {}), moves.get(row.id, ())) for row in rows], caused)


def lives(session: Session, cast: Cast, setting: Setting, found: Batch) -> Iterator[tuple[Somebody, Moments]]:
    """Each person with the moments at which we heard of something: when it came in, or, of what was imported, when it happened."""
    if not found.people:
        return
    dates = [case for case in cast.cases.values() if isinstance(case.newest.trigger, DateTrigger)]
    stream = itertools.groupby(rows(session, cast, setting, found), key=lambda row: row[0])
    ahead = next(stream, None)
    for who in found.people:
        mine: Iterable[tuple[dt.datetime, Happened]] = ()
        if ahead is not None and ahead[0] == who.id:
            mine = _heard(ahead[1], setting, found.caused)
        reached = sorted(_dates(who, dates, setting), key=_at) if dates else []
        if mine or reached:
            yield who, _moments(merge(mine, reached, key=_at) if reached else mine)
        while ahead is not None and ahead[0] <= who.id:
            ahead = next(stream, None)


def _moments(heard: Iterable[tuple[dt.datetime, Happened]]) -> Moments:
    for at, group in itertools.groupby(heard, key=_at):
        yield at, [event for _, event in group]


def _at(each: tuple[dt.datetime, Happened]) -> dt.datetime:
    return each[0]


def _heard(found: Iterable[Sequence[Any]], setting: Setting, caused: Collection[str]) -> Iterator[tuple[dt.datetime, Happened]]:
    for profile_id, occurred_at, accepted, source_id, kind, name, origin, trusted, properties, received_at, hops, cause in found:
        at = received_at if origin == LIVE else occurred_at
        if at < setting.ends and cause not in caused:
            yield at, Happened(profile_id, occurred_at, accepted, source_id, kind, name, origin, trusted, (), properties, {}, {}, received_at,
                               hops=hops, cause=cause)  # fmt: skip


def names_of(cast: Cast) -> list[str]:
    """Only these events can change what a run does."""
    names = (set(cast.names) | cast.counted) - {DATE_REACHED}
    names |= set(cart.EVENTS) if cast.carts else set()
    return sorted(names | ({"identify"} if cast.traits else set()))


def wanted(cast: Cast, setting: Setting, found: Batch) -> dict[str, object]:
    """Which events to read: also those before the period that may still start a run in it or are counted, and of carts as long as an unnamed one lives."""
    before = max(cast.fresh, cast.back, cart.EXPIRES_AFTER if cast.carts else dt.timedelta(0))
    bounds = {"first": found.people[0].id, "last": found.people[-1].id, "since": setting.begins - before, "to": setting.ends}
    return {**bounds, "names": names_of(cast)}


def rows(session: Session, cast: Cast, setting: Setting, found: Batch) -> Iterator[Sequence[Any]]:
    """Rows in the order in which we heard of them, person by person."""
    with driver(session).cursor("backtest") as cursor:
        cursor.itersize = AT_ONCE
        cursor.execute(EVENTS, wanted(cast, setting, found), binary=True)
        yield from cursor


def _dates(who: Somebody, cases: Sequence[Case], setting: Setting) -> Iterator[tuple[dt.datetime, Happened]]:
    """Dates that came within the period, by the traits known when it began."""
    zone = zone_of(who.told.traits, setting.timezone)
    for case in cases:
        said = case.newest.trigger_settings
        if not isinstance(said, DateSettings) or (day := day_in(who.told.traits.get(said.trait))) is None:
            continue
        for at, occasion in _occasions(said, day, zone, setting):
            if setting.begins <= at < setting.ends:
                yield at, spoken(who.id, DATE_REACHED, {"journey": case.slug, "trait": said.trait, "occasion": occasion}, at)


def _occasions(settings: DateSettings, day: dt.date, zone: str, setting: Setting) -> Iterator[tuple[dt.datetime, str]]:
    """When an anniversary comes, and which; the Hebrew calendar's are looked for day by day, as the clock does."""
    clock = dt.time.fromisoformat(settings.at)
    if settings.by_hebrew:
        for number in range((setting.ends - setting.begins).days + 2):
            at = local(setting.begins.date() + dt.timedelta(days=number), clock, zone)
            if occasion := DATE.due(settings, day, zone, at):
                yield at, occasion
        return
    for year in range(setting.begins.year - 1, setting.ends.year + 2):
        if found := DATE.occasion(settings, day, year):
            yield local(found[1] + dt.timedelta(days=settings.days), clock, zone), found[0]


def _nobody(profile_id: uuid.UUID) -> Person:
    epoch = dt.datetime.fromtimestamp(0, dt.UTC)
    return Person(profile_id, 0, False, "", {}, {}, epoch, epoch)


def _told_before(row: Any, begins: dt.datetime) -> Person:
    """Today's traits that were learned before the period."""
    until, told = begins.timestamp() * 1000, _nobody(row.id)
    told.traits_at = {name: stamp for name, stamp in row.traits_at.items() if stamp[0] < until}
    told.traits = {name: value for name, value in row.traits.items() if name in told.traits_at or name not in row.traits_at}
    return told


def _newer(row: Any, begins: dt.datetime) -> bool:
    return any(stamp[0] >= begins.timestamp() * 1000 for stamp in row.traits_at.values())


def _tell_earlier(session: Session, ids: Sequence[uuid.UUID], told: Mapping[uuid.UUID, Person], begins: dt.datetime) -> None:
    """What those told before the period whose traits have changed since."""
    for row in session.execute(_IDENTIFIED, {"ids": ids, "begins": begins}) if ids else ():
        event = spoken(row.profile_id, "identify", row.properties, row.occurred_at, accepted=row.accepted)
        event = replace(event, trusted=row.trusted, origin=row.origin, cause=row.cause)
        Somebody(row.profile_id, 0, told[row.profile_id]).learn(event, row.properties)


def _arms(session: Session, cast: Cast, ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, dict[int, str]]:
    found: dict[uuid.UUID, dict[int, str]] = {}
    if any(graph.drawing.holdout for case in cast.cases.values() for graph in case.graphs):
        for row in session.execute(_ARMS, {"journeys": list(cast.cases), "first": ids[0], "last": ids[-1]}):
            found.setdefault(row.profile_id, {})[row.journey_id] = row.arm
    return found


def _moves(session: Session, cast: Cast, ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, list[Moved]]:
    """How they came into and left the segments that are asked about, in the order in which that was acted on."""
    found: dict[uuid.UUID, list[Moved]] = {}
    asked = {"segments": sorted(cast.segments), "names": [ENTERED, LEFT], "kesher": SYSTEM_SOURCE, "first": ids[0], "last": ids[-1]}
    for row in session.execute(_MOVES, asked) if cast.segments else ():
        found.setdefault(row.profile_id, []).append(Moved(row.received_at, row.cause, row.slug, row.name == ENTERED))
    return found


DATE = DateTrigger()
EVENTS = """
SELECT profile_id, occurred_at, accepted, source_id, type, name, origin, trusted, properties, received_at, hops, cause
FROM events
WHERE profile_id BETWEEN %(first)s AND %(last)s AND occurred_at >= %(since)s AND occurred_at < %(to)s AND name = ANY(%(names)s)
ORDER BY profile_id, CASE WHEN origin = 'live' THEN received_at ELSE occurred_at END, position
"""
_ROLE = text("""
    SELECT EXISTS (SELECT FROM pg_roles r WHERE rolname = :role AND pg_has_role(current_user, r.oid, 'MEMBER')
                   AND has_table_privilege(r.oid, 'events', 'SELECT') AND has_table_privilege(r.oid, 'backtests', 'UPDATE'))
""")
_PEOPLE = text("""
    SELECT id, bucket, traits, traits_at FROM profiles
    WHERE merged_into IS NULL AND (CAST(:after AS uuid) IS NULL OR id > CAST(:after AS uuid)) AND (CAST(:last AS uuid) IS NULL OR id <= CAST(:last AS uuid))
    ORDER BY id LIMIT :limit
""")
_IDENTIFIED = text("""
    SELECT profile_id, occurred_at, accepted, properties, trusted, origin, cause FROM events
    WHERE profile_id = ANY(CAST(:ids AS uuid[])) AND name = 'identify' AND type = 'identify' AND occurred_at < :begins ORDER BY position
""")
_ARMS = text("SELECT profile_id, journey_id, arm FROM journey_arms WHERE journey_id = ANY(:journeys) AND profile_id BETWEEN :first AND :last")
_MOVES = text("""
    SELECT profile_id, received_at, cause, name, properties->>'segment' AS slug FROM events
    WHERE profile_id BETWEEN :first AND :last AND name = ANY(:names) AND source_id = :kesher AND properties->>'segment' = ANY(:segments) ORDER BY position
""")
_CAUSED = text(f"""
    SELECT 'run:' || id FROM {EVERY} r WHERE journey_id = ANY(:journeys) AND profile_id BETWEEN :first AND :last
    UNION ALL SELECT 'message:' || id FROM messages WHERE journey = ANY(:slugs) AND profile_id BETWEEN :first AND :last
""")  # noqa: S608  our own words
