"""3 WHAT, first half: each call once, into the log."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.core.json import NULL, array, copied, copied_json, dumps, moment
from crm.events.inbox import driver
from crm.events.models import HISTORY
from crm.events.spec import Accepted, Happened, event_hex


def first_seen(session: Session, batch: Sequence[Accepted], now: dt.datetime) -> list[Accepted]:
    """Claim the keys nobody has claimed; return those calls, and only those, in their order. What is imported counts once for ever."""
    keys: dict[str, Accepted] = {}
    for call in batch:
        keys.setdefault(event_hex(call.source_id, call.call.message_id or str(call.id)), call)
    ordered = sorted(keys)
    forever = [keys[key].origin == HISTORY for key in ordered]
    known = session.scalars(text(_CLAIM), {"keys": array(ordered), "forever": array(forever), "now": now}).all()
    for key in known:
        del keys[key]
    return list(keys.values())


def append(session: Session, events: Sequence[Happened]) -> None:
    """Copy events into the log; the caller has made the months they need."""
    if not events:
        return
    with driver(session).cursor().copy(f"COPY events ({', '.join(_COLUMNS)}) FROM STDIN") as copy:
        copy.write("".join(_lines(events)))


def _lines(events: Iterable[Happened]) -> Iterator[str]:
    """Each event as COPY reads it. Many are received in one moment, and a moment is dearer to write than to compare."""
    received, said = None, ""
    for event in events:
        if event.received_at != received:
            received = event.received_at
            said = moment(received)
        yield _line(event, said)


def _line(e: Happened, received: str) -> str:
    """One event as COPY reads it; the driver would take three times as long."""
    idents = dumps([[i.kind, i.value, i.verified, "left"] if i.left else [i.kind, i.value, i.verified] for i in e.identities])
    message_id, name = copied(e.message_id.replace("\x00", "")), copied(e.name.replace("\x00", ""))
    claimed = moment(e.claimed_at) if e.claimed_at else NULL
    cause = copied(e.cause) if e.cause is not None else NULL
    context = copied_json(dumps(e.context)) if e.context else "{}"
    return (
        f"{e.profile_id.hex}\t{moment(e.occurred_at)}\t{e.accepted}\t{received}\t{claimed}\t{e.source_id}\t{message_id}\t{e.type}\t"
        f"{name}\t{e.origin}\t{e.trusted}\t{copied_json(idents)}\t{copied_json(dumps(e.properties))}\t{context}\t{e.hops}\t{cause}\t"
        f"{e.given_id or NULL}\n"
    )


def of_people(session: Session, profile_ids: Sequence[uuid.UUID], names: Sequence[str], *, as_acted: bool = False) -> list[Happened]:
    """Every event of these names of these people, in each person's order (or in that in which we acted); the slow road, for refolding."""
    select = _OF.format(condition="profile_id = ANY(CAST(:ids AS uuid[]))", order="position" if as_acted else _THEIRS)
    return _happened(session.execute(text(select), {"ids": list(profile_ids), "names": list(names)}))


def since(session: Session, people: Mapping[uuid.UUID, dt.datetime], names: Sequence[str]) -> list[Happened]:
    """Every event of these names of each of these people from their moment on, in each person's order."""
    select = _OF.format(condition=_SINCE, order=_THEIRS)
    said = {"ids": list(people), "since": list(people.values()), "earliest": min(people.values(), default=None), "names": list(names)}
    return _happened(session.execute(text(select), said))


def of_orders(session: Session, numbers: Sequence[str], names: Sequence[str]) -> list[Happened]:
    """Every event of these names that names one of these orders, whosever it is, as we acted; reads all events of these names."""
    select = _OF.format(condition="coalesce(properties->>'order_id', properties->>'orderId') = ANY(CAST(:numbers AS text[]))", order="position")
    return _happened(session.execute(text(select), {"numbers": list(numbers), "names": list(names)}))


def _happened(from_log: Iterable[Any]) -> list[Happened]:
    return [
        Happened(row.profile_id, row.occurred_at, row.accepted, row.source_id, row.type, row.name, row.origin, row.trusted, (), row.properties,
                 row.context, {}, row.received_at, message_id=row.message_id, hops=row.hops, cause=row.cause)
        for row in from_log
    ]  # fmt: skip


_COLUMNS = (
    "profile_id", "occurred_at", "accepted", "received_at", "claimed_at", "source_id", "message_id", "type",
    "name", "origin", "trusted", "identities", "properties", "context", "hops", "cause", "given_id",
)  # fmt: skip
_CLAIM = """
WITH said AS MATERIALIZED (SELECT key, forever FROM unnest(CAST(:keys AS uuid[]), CAST(:forever AS boolean[])) k(key, forever)),
new AS (INSERT INTO event_keys (key, seen_at, forever) SELECT key, :now, forever FROM said ON CONFLICT DO NOTHING RETURNING key)
SELECT replace(said.key::text, '-', '') FROM said WHERE NOT EXISTS (SELECT FROM new WHERE new.key = said.key)
"""
_OF = """
SELECT profile_id, occurred_at, accepted, source_id, type, name, origin, trusted, properties, context, received_at, message_id, hops, cause
FROM events WHERE {condition} AND name = ANY(CAST(:names AS text[]))
ORDER BY {order}
"""
_SINCE = """
occurred_at >= :earliest AND EXISTS (
  SELECT FROM unnest(CAST(:ids AS uuid[]), CAST(:since AS timestamptz[])) AS l(id, since) WHERE l.id = profile_id AND occurred_at >= l.since
) AND profile_id = ANY(CAST(:ids AS uuid[]))
"""
_THEIRS = "profile_id, occurred_at, accepted"
