"""Who asked to be told when a variant is back: folded from each person's events, in sets."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.core.json import dumps
from crm.events import store
from crm.events.goods import key_of
from crm.events.spec import Happened
from crm.profiles.move import on_move, on_part

ASKED, TAKEN_BACK = "Back In Stock Requested", "Back In Stock Cancelled"
TOLD = "Back In Stock Notified"  # Kesher's own: a message about it was sent
EVENTS = (ASKED, TAKEN_BACK, TOLD)
Key = tuple[uuid.UUID, str]


@dataclass(slots=True)
class Request:
    """One person and one variant."""

    profile_id: uuid.UUID
    variant_id: str
    last: tuple[dt.datetime, int]
    asked_at: dt.datetime | None = None
    ended: str | None = None
    ended_at: dt.datetime | None = None


def apply(found: Request | None, event: Happened) -> Request:
    """Fold one event. Asking again while one waits changes nothing; after an end it is a new wish."""
    request = found or Request(event.profile_id, key_of(event.properties) or "", event.order)
    request.last = event.order
    if event.name == ASKED and (request.asked_at is None or request.ended):
        request.asked_at, request.ended, request.ended_at = event.occurred_at, None, None
    elif event.name != ASKED and request.ended is None:
        request.ended, request.ended_at = "notified" if event.name == TOLD else "cancelled", event.occurred_at
    return request


def fold(session: Session, events: Sequence[Happened]) -> None:
    """Bring the requests of a batch up to date; people are locked, events in the log. A late event folds its person anew."""
    told = sorted((event for event in events if counts(event)), key=lambda e: e.order)
    if not told:
        return
    found = _load(session, {event.profile_id for event in told})
    late = {event.profile_id for event in told if (row := found.get(_key(event))) and event.order <= row.last}
    refold(session, late)
    changed: dict[Key, Request] = {}
    for event in told:
        if event.profile_id not in late:
            changed[_key(event)] = found[_key(event)] = apply(found.get(_key(event)), event)
    _save(session, changed.values())


def counts(event: Happened) -> bool:
    """Whether an event is about a wish; that somebody was told only Kesher can say."""
    return event.name in EVENTS and (event.name != TOLD or event.trusted) and key_of(event.properties) is not None


def refold(session: Session, profile_ids: Collection[uuid.UUID]) -> None:
    """These people's requests by the log alone."""
    if not profile_ids:
        return
    ids = list(profile_ids)
    session.execute(text("DELETE FROM stock_requests WHERE profile_id = ANY(CAST(:ids AS uuid[]))"), {"ids": ids})
    _save(session, from_log(session, ids).values())


def from_log(session: Session, profile_ids: Sequence[uuid.UUID]) -> dict[Key, Request]:
    """What the log says of these people's wishes."""
    found: dict[Key, Request] = {}
    for event in store.of_people(session, profile_ids, EVENTS):
        if counts(event):
            found[_key(event)] = apply(found.get(_key(event)), event)
    return found


def differences(session: Session, profile_ids: Collection[uuid.UUID]) -> list[str]:
    """Where requests of these people are not what the log says, each as a sentence."""
    said, live = from_log(session, list(profile_ids)), _load(session, profile_ids)
    keys = sorted(said.keys() | live.keys())
    return [f"the request of {p} for {v} is {live.get((p, v))}, the log says {said.get((p, v))}" for p, v in keys if live.get((p, v)) != said.get((p, v))]


def _key(event: Happened) -> Key:
    return event.profile_id, key_of(event.properties) or ""


def _load(session: Session, profile_ids: Collection[uuid.UUID]) -> dict[Key, Request]:
    rows = session.execute(text("SELECT * FROM stock_requests WHERE profile_id = ANY(CAST(:ids AS uuid[]))"), {"ids": list(profile_ids)})
    return {
        (row.profile_id, row.variant_id): Request(row.profile_id, row.variant_id, (row.last_at, row.last_accepted), row.asked_at, row.ended, row.ended_at)
        for row in rows
    }


def _save(session: Session, requests: Iterable[Request]) -> None:
    rows: list[Any] = [
        {"p": r.profile_id, "v": r.variant_id, "a": r.asked_at, "e": r.ended, "ea": r.ended_at, "l": r.last[0], "n": r.last[1]} for r in requests
    ]
    if rows:
        session.execute(text(_SAVE), {"rows": dumps(rows)})


def _moved(session: Session, pairs: Sequence[tuple[uuid.UUID, uuid.UUID]], _now: dt.datetime) -> None:
    """After a join the log of both is one person's."""
    refold(session, {each for pair in pairs for each in pair})


def _parted(session: Session, owner: uuid.UUID, to: uuid.UUID, _given: Collection[uuid.UUID], _now: dt.datetime) -> None:
    """After an undone one each has their own again."""
    refold(session, {owner, to})


on_move.append(_moved)
on_part.append(_parted)
_SAVE = """
INSERT INTO stock_requests (profile_id, variant_id, asked_at, ended, ended_at, last_at, last_accepted)
SELECT p, v, a, e, ea, l, n
FROM json_to_recordset(CAST(:rows AS json)) AS r(p uuid, v text, a timestamptz, e text, ea timestamptz, l timestamptz, n bigint)
ON CONFLICT (profile_id, variant_id) DO UPDATE SET (asked_at, ended, ended_at, last_at, last_accepted) =
  (excluded.asked_at, excluded.ended, excluded.ended_at, excluded.last_at, excluded.last_accepted)
"""
