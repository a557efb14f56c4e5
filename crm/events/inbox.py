"""The inbox from inside: append what Kesher itself has to say, claim what waits, mark what is done."""

from __future__ import annotations

import datetime as dt
import random
import uuid
from collections.abc import Sequence
from operator import itemgetter
from typing import Any

import msgspec
from psycopg import Connection
from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.core import partitions
from crm.core.commit import hint
from crm.core.json import NULL, array, copied, copied_json, without_nul
from crm.core.value import value
from crm.events.models import LIVE, SYSTEM_SOURCE
from crm.events.spec import LANES, Call, lane_of

MAX_HOPS = 8
DEEP = 4  # times as many are claimed at once where at least a batch waits: latency is lost already, and a larger batch costs less for each
LANE_LOCK = 0x6C616E65  # first half of the advisory lock of a lane
_encode = msgspec.json.Encoder().encode
COLUMNS = ("received_at", "source_id", "trusted", "origin", "lane", "sent_at", "hops", "cause", "body")


@value
class NewRow:
    """A call to put into the inbox. `cause` names what made it (an event, a message), `hops` how long that chain is."""

    source_id: int
    trusted: bool
    origin: str
    body: Call
    sent_at: dt.datetime | None = None
    hops: int = 0
    cause: str | None = None


@value
class Waiting:
    """One claimed row, not yet read."""

    id: int
    received_at: dt.datetime
    source_id: int
    trusted: bool
    origin: str
    sent_at: dt.datetime | None
    hops: int
    cause: str | None
    body: str


def system_event(
    name: str, profile_id: uuid.UUID, properties: dict[str, Any], *, email: str | None = None, cause: str | None, hops: int, message_id: str = ""
) -> NewRow:
    """An event of Kesher's own about a profile; `hops` is that of its cause plus one.

    Where `email` is given the event also carries that address as an identity, so that an undone join can tell whose it was.
    """
    call = Call(
        type="track",
        event=name,
        profile_id=str(profile_id),
        message_id=message_id or str(uuid.uuid4()),
        properties=properties,
        context={"traits": {"email": email}} if email else None,
    )
    return NewRow(SYSTEM_SOURCE, trusted=True, origin=LIVE, body=call, hops=hops, cause=cause)


def driver(session: Session) -> Connection[Any]:
    """The psycopg connection under this session's transaction, for COPY."""
    connection = session.connection().connection.driver_connection
    if not isinstance(connection, Connection):
        raise TypeError("the database driver is not psycopg 3")
    return connection


def append(session: Session, rows: Sequence[NewRow], now: dt.datetime) -> int:
    """Put calls into the inbox in this transaction; returns how many.

    A chain of more than eight causes stops here: such a row goes in as done, with its cause, so that it is shown and starts nothing.
    """
    if not rows:
        return 0
    _ensure_day(session, now)
    with driver(session).cursor().copy(f"COPY event_inbox ({', '.join(COLUMNS)}, processed_at) FROM STDIN") as copy:
        said = now.isoformat()
        copy.write("".join([_line(row, said) for row in rows]))
    hint(session, "drain")
    return len(rows)


def _line(row: NewRow, now: str) -> str:
    """One row as COPY reads it; the driver would take four times as long."""
    sent_at = row.sent_at.isoformat() if row.sent_at else NULL
    cause = copied(row.cause) if row.cause is not None else NULL
    done = now if row.hops > MAX_HOPS else NULL
    lane, body = lane_of(_identity(row.body)), copied_json(as_text(row.body))
    return f"{now}\t{row.source_id}\t{row.trusted}\t{row.origin}\t{lane}\t{sent_at}\t{row.hops}\t{cause}\t{body}\t{done}\n"


def _ensure_day(session: Session, now: dt.datetime) -> None:
    """The partition of today; a lookup where it exists."""
    partitions.ensure(session, "event_inbox", [partitions.day_bounds(now)])


def _identity(call: Call) -> str:
    return str(call.user_id or call.anonymous_id or call.profile_id or call.message_id)


def as_text(call: Call) -> str:
    """As JSON that PostgreSQL accepts: without NUL."""
    return without_nul(_encode(call)).decode()


def claim(session: Session, limit: int) -> list[Waiting]:
    """Lock some lanes and return what waits in them, in order of acceptance, `limit` rows at most.

    Empty where nothing waits or other workers hold every lane that has work. The locks end with the transaction.
    """
    lanes = list(session.execute(text(_BUSY_LANES), {"lanes": array(range(LANES)), "each": max(1, limit // 32)}).all())
    random.shuffle(lanes)
    busy, waits = [lane for lane, _ in lanes], sum(count for _, count in lanes)
    few = waits < limit // 2  # are taken at once: what a batch costs, it costs once; of many another worker gets half
    share = len(busy) if few else (len(busy) + 1) // 2
    mine = _lock_lanes(session, busy[:share]) or _lock_lanes(session, busy[share:])
    if not mine:
        return []
    limit = limit if waits < limit else limit * DEEP
    rows = session.execute(text(_CLAIM), {"lanes": mine, "limit": max(1, limit // len(mine)) + 1}).all()
    return [Waiting(*row) for row in sorted(rows, key=itemgetter(0))]


def _lock_lanes(session: Session, lanes: Sequence[int]) -> list[int]:
    """Those of these lanes that nobody else holds, ours until the transaction ends."""
    wanted = text("SELECT lane FROM unnest(CAST(:lanes AS integer[])) AS lane WHERE pg_try_advisory_xact_lock(:lock, lane)")
    return list(session.scalars(wanted, {"lock": LANE_LOCK, "lanes": list(lanes)})) if lanes else []


def mark(session: Session, rows: Sequence[Waiting], now: dt.datetime) -> None:
    """These rows are done (in the log, or in quarantine); they stay until their day is dropped."""
    moments: dict[dt.datetime, list[int]] = {}
    for row in rows:
        moments.setdefault(row.received_at, []).append(row.id)
    days: dict[tuple[dt.datetime, dt.datetime], list[int]] = {}
    for moment, ids in moments.items():
        days.setdefault(partitions.day_bounds(moment), []).extend(ids)
    for (start, end), ids in days.items():
        session.execute(text(_MARK), {"now": now, "start": start, "end": end, "ids": array(ids)})


def waiting(session: Session, at_most: int = 1_000_001) -> int:
    """How many rows wait, counted up to a bound."""
    return session.scalar(text("SELECT count(*) FROM (SELECT FROM event_inbox WHERE processed_at IS NULL LIMIT :n) w"), {"n": at_most}) or 0


_BUSY_LANES = """
SELECT l.lane, w.count FROM unnest(CAST(:lanes AS smallint[])) AS l(lane)
CROSS JOIN LATERAL (SELECT count(*) FROM (SELECT FROM event_inbox i WHERE i.lane = l.lane AND i.processed_at IS NULL LIMIT :each) e) w
WHERE w.count > 0
"""
_CLAIM = """
SELECT r.id, r.received_at, r.source_id, r.trusted, r.origin, r.sent_at, r.hops, r.cause, r.body
FROM unnest(CAST(:lanes AS smallint[])) AS l(lane)
CROSS JOIN LATERAL (SELECT * FROM event_inbox i WHERE i.lane = l.lane AND i.processed_at IS NULL ORDER BY i.id LIMIT :limit) r
"""
_MARK = """
UPDATE event_inbox SET processed_at = :now
WHERE received_at >= :start AND received_at < :end AND id = ANY(CAST(:ids AS bigint[]))
"""
