"""What happened to one person, newest first: the log read backwards, a few months at a time."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.core.i18n import _l
from crm.core.paging import cursor, read_cursor

KINDS = {
    "views": _l("Views"),
    "carts": _l("Carts"),
    "orders": _l("Orders"),
    "messages": _l("Messages"),
    "runs": _l("Journeys"),
    "consents": _l("Consent"),
    "identity": _l("Identity"),
    "other": _l("Other"),
}
_BEGINNINGS = {  # names of events, by how they begin
    "views": ("Page Viewed", "Screen Viewed", "Product Viewed", "Product List", "Products Searched", "Product Clicked"),
    "carts": ("Product Added", "Product Removed", "Cart ", "Checkout ", "Coupon "),
    "orders": ("Order ", "Payment "),
    "messages": ("Email ", "Message ", "SMS ", "WhatsApp ", "Unsubscribed"),
    "runs": ("Run ", "Journey "),
    "consents": ("Consent ",),
    "identity": ("identify", "alias", "group"),
}
_BAND = "score:%:trait"  # a score's band as a trait: where it changed (live), an event of its own tells the same
_WINDOWS = (dt.timedelta(days=62), dt.timedelta(days=366), dt.timedelta(days=3653))  # how far back each look goes; the last goes to the beginning


@dataclass(frozen=True, slots=True)
class Entry:
    """One event as a timeline shows it. `cursor` is what the next look gets as `before`."""

    occurred_at: dt.datetime
    accepted: int
    type: str
    name: str
    kind: str
    source: str
    origin: str
    trusted: bool
    properties: dict[str, Any]
    context: dict[str, Any]
    identities: list[list[Any]]
    message_id: str
    cause: str | None
    hops: int
    received_at: dt.datetime
    claimed_at: dt.datetime | None

    @property
    def first_band(self) -> bool:
        """Whether it is our own note of a score's band that no other event tells."""
        return self.source == "kesher" and notes_band(self.type, self.message_id)

    @property
    def cursor(self) -> str:
        return cursor(self.occurred_at, self.accepted)


def notes_band(kind: str, message_id: str) -> bool:
    """Whether a call of Kesher's own notes the band of a score as a trait."""
    return kind == "identify" and fnmatch(message_id, _BAND.replace("%", "*"))


def kind_of(name: str) -> str:
    """Under which of `KINDS` an event of this name is shown."""
    return next((kind for kind, beginnings in _BEGINNINGS.items() if name.startswith(beginnings)), "other")


def follow(session: Session, profile_id: uuid.UUID) -> uuid.UUID | None:
    """The profile this one has become through joins (itself where it has not); None where there is none."""
    found: uuid.UUID | None = session.scalar(text(_FOLLOW), {"id": profile_id})
    return found


def timeline(  # each narrows what is shown
    session: Session, profile_id: uuid.UUID, *, before: str | None = None, limit: int = 50, kinds: Collection[str] = (), now: dt.datetime, echoes: bool = True
) -> list[Entry]:
    """The events of a person and of everybody joined into them, newest first, older than the cursor `before`.

    `kinds` are some of `KINDS`; none named means all. Without `echoes`, what Kesher notes twice is there once.
    Looks two months back, then a year, then ten, and stops as soon as `limit` are found.
    """
    person = session.execute(text(_FOLLOW), {"id": profile_id}).first()
    if person is None:
        return []
    owner, first = person
    top, accepted = _place(before, now)
    values = {"id": owner, "top": top, "accepted": accepted, "limit": limit, "names": _patterns(kinds), "known": _patterns(_BEGINNINGS), "band": _BAND}
    condition = _condition(kinds) + ("" if echoes else _ONCE)
    for window in _WINDOWS:
        bottom = _earlier(top, window)
        found = _look(session, condition, {**values, "bottom": bottom})
        if len(found) >= limit or bottom < first:
            return found
    return _look(session, condition, {**values, "bottom": dt.datetime.min.replace(tzinfo=dt.UTC)})


def _place(before: str | None, now: dt.datetime) -> tuple[dt.datetime, int]:
    place = read_cursor(before)
    if place is None or not place[1].isascii() or not place[1].isdigit() or len(place[1]) > 18:  # a bigint
        return now + dt.timedelta(days=1), 0
    return place[0], int(place[1])


def _earlier(top: dt.datetime, window: dt.timedelta) -> dt.datetime:
    return top - window if top.year > 1000 else dt.datetime.min.replace(tzinfo=dt.UTC)  # far before any event


def _patterns(kinds: Collection[str]) -> list[str]:
    return [f"{beginning}%" for kind in kinds if kind in _BEGINNINGS for beginning in _BEGINNINGS[kind]]


def _condition(kinds: Collection[str]) -> str:
    if not kinds:
        return ""
    return "AND (name LIKE ANY(:names) OR NOT name LIKE ANY(:known))" if "other" in kinds else "AND name LIKE ANY(:names)"


def _look(session: Session, condition: str, values: dict[str, Any]) -> list[Entry]:
    rows: Sequence[Any] = session.execute(text(_EVENTS.format(condition=condition)), values).all()
    return [
        Entry(
            row.occurred_at,
            row.accepted,
            row.type,
            row.name,
            kind_of(row.name),
            row.source or "",
            row.origin,
            row.trusted,
            row.properties,
            row.context,
            row.identities,
            row.message_id,
            row.cause,
            row.hops,
            row.received_at,
            row.claimed_at,
        )
        for row in rows
    ]


_ONCE = " AND NOT (type = 'identify' AND origin = 'live' AND source_id = 1 AND message_id LIKE :band)"
_FOLLOW = """
WITH RECURSIVE way AS (
    SELECT id, merged_into, first_seen, 0 AS steps FROM profiles WHERE id = :id
    UNION ALL
    SELECT p.id, p.merged_into, p.first_seen, way.steps + 1 FROM way JOIN profiles p ON p.id = way.merged_into WHERE way.steps < 100
)
SELECT id, first_seen FROM way WHERE merged_into IS NULL
"""
_EVENTS = """
SELECT e.*, s.name AS source FROM (
    SELECT * FROM events
    WHERE profile_id = :id AND occurred_at <= :top AND occurred_at >= :bottom AND (occurred_at, accepted) < (:top, :accepted) {condition}
    ORDER BY occurred_at DESC, accepted DESC LIMIT :limit
) e LEFT JOIN sources s ON s.id = e.source_id
ORDER BY e.occurred_at DESC, e.accepted DESC
"""
