"""Home's numbers: what happens now. Each is cheap with a million people, by an index, a bound or an estimate."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.core import partitions
from crm.messages.log import by_status

MINUTES = 60
BOUND = 100_000  # from here on a count says "at least"
EXACT = 50_000  # rows up to which things are counted one by one
POINTS = 4_000


@dataclass(frozen=True, slots=True)
class Count:
    """A number, and whether it is one: `exact`, `at_least` (counting stopped there) or `about` (the database's own estimate)."""

    value: int
    how: str = "exact"


@dataclass(frozen=True, slots=True)
class CartSum:
    """Open carts in one currency."""

    currency: str
    carts: int
    value: Decimal
    abandoned: int
    abandoned_value: Decimal


@dataclass(frozen=True, slots=True)
class Pulse:
    """All of it, at one moment."""

    at: dt.datetime
    events_per_minute: list[int]  # the last 60 minutes, oldest first; the last one is still running
    events_how: str  # exact | about
    known: Count
    anonymous: Count
    carts: list[CartSum]
    carts_how: str  # exact | at_least
    messages_today: dict[str, int]  # status -> number; they add up to all messages created today
    waiting: Count
    quarantined: Count

    @property
    def messages_total(self) -> int:
        return sum(self.messages_today.values())


def pulse(session: Session, *, now: dt.datetime, day_start: dt.datetime, abandoned_after: dt.timedelta = dt.timedelta(hours=1)) -> Pulse:
    """Home's numbers. `day_start` is today's midnight on the shop's clock."""
    known, anonymous = people(session)
    sums, how = carts(session, now=now, abandoned_after=abandoned_after)
    minutes, events_how = events_per_minute(session, now=now)
    return Pulse(
        at=now,
        events_per_minute=minutes,
        events_how=events_how,
        known=known,
        anonymous=anonymous,
        carts=sums,
        carts_how=how,
        messages_today=by_status(session, since=day_start),
        waiting=_bounded(session, "SELECT FROM event_inbox WHERE processed_at IS NULL"),
        quarantined=_bounded(session, "SELECT FROM quarantine WHERE replayed_at IS NULL"),
    )


def events_per_minute(session: Session, *, now: dt.datetime) -> tuple[list[int], str]:
    """Accepted calls in each of the last 60 minutes, oldest first, and whether they are `exact` or `about`.

    Counted while the hour lies within the last 50,000 inbox numbers; else read off those numbers (given in order of acceptance) at 4,000 places.
    """
    start = now.replace(second=0, microsecond=0) - dt.timedelta(minutes=MINUTES - 1)
    values = {"start": start, "day": partitions.day_bounds(start)[0], "now": now, "step": EXACT, "points": POINTS}
    last = session.scalar(text("SELECT max(id) FROM event_inbox WHERE received_at >= :day"), values)
    if last is None:
        return [0] * MINUTES, "exact"
    counted = {row.minute: row for row in session.execute(text(_MINUTES), {**values, "last": last})}
    if sum(row.calls for row in counted.values()) < EXACT // 2:
        return [counted[minute].calls if minute in counted else 0 for minute in range(MINUTES)], "exact"
    points = [(now, last), *((row.received_at, row.id) for row in session.execute(text(_POINTS), {**values, "last": last}))]
    edges = [_number_at(points, start + dt.timedelta(minutes=minute)) for minute in range(MINUTES)] + [float(last)]
    return [round(later - earlier) for earlier, later in pairwise(edges)], "about"


def _number_at(points: Sequence[tuple[dt.datetime, int]], moment: dt.datetime) -> float:
    """The inbox number at a moment, on the line between the two points around it; points are newest first."""
    for (late, high), (early, low) in pairwise(points):
        if early <= moment <= late:
            return low + (high - low) * ((moment - early) / (late - early) if late > early else 1.0)
    return float(points[-1][1])


def people(session: Session) -> tuple[Count, Count]:
    """Known and anonymous people (joined ones not counted): counted while they are few, else the database's own estimate."""
    sizes = {row.relname: row.rows for row in session.execute(text(_SIZES))}
    known, anonymous = sizes.get("ix_profiles_last_seen", -1), sizes.get("ix_profiles_last_seen_anonymous", -1)
    if min(known, anonymous) >= 0 and known + anonymous > EXACT:
        return Count(known, "about"), Count(anonymous, "about")
    condition = "SELECT FROM profiles WHERE merged_into IS NULL AND"
    return _bounded(session, f"{condition} known"), _bounded(session, f"{condition} NOT known")


def carts(session: Session, *, now: dt.datetime, abandoned_after: dt.timedelta) -> tuple[list[CartSum], str]:
    """Open carts and those untouched for `abandoned_after`, per currency, the largest value first; the 100,000 latest at most."""
    rows = session.execute(text(_CARTS), {"since": now - abandoned_after, "bound": BOUND})
    sums = [CartSum(row.currency, row.carts, row.value, row.abandoned, row.abandoned_value) for row in rows]
    return sums, "exact" if sum(one.carts for one in sums) < BOUND else "at_least"


def _bounded(session: Session, rows: str) -> Count:
    found = session.scalar(text(f"SELECT count(*) FROM ({rows} LIMIT :bound) found"), {"bound": BOUND}) or 0  # noqa: S608  texts of this module
    return Count(found, "exact" if found < BOUND else "at_least")


_MINUTES = """
SELECT floor(extract(epoch FROM received_at - :start) / 60)::int AS minute, count(*) AS calls
FROM event_inbox WHERE id > :last - :step AND received_at >= :start AND received_at <= :now GROUP BY 1
"""
_POINTS = """
SELECT i.received_at, i.id FROM generate_series(0, :points) AS n
CROSS JOIN LATERAL (SELECT received_at, id FROM event_inbox WHERE id >= :last - n * (:step / 10) AND received_at >= :day ORDER BY id LIMIT 1) i
ORDER BY i.id DESC
"""
_SIZES = """
SELECT relname, reltuples::bigint AS rows FROM pg_class
WHERE oid IN (to_regclass('ix_profiles_last_seen'), to_regclass('ix_profiles_last_seen_anonymous'))
"""
_CARTS = """
SELECT currency, count(*) AS carts, sum(value) AS value,
       count(*) FILTER (WHERE changed_at < :since) AS abandoned,
       coalesce(sum(value) FILTER (WHERE changed_at < :since), 0) AS abandoned_value
FROM (SELECT currency, value, changed_at FROM carts WHERE status = 'open' ORDER BY changed_at DESC LIMIT :bound) latest
GROUP BY currency ORDER BY value DESC, currency
"""
