"""The latest calls, with whom they are about: what Home and a source's page show live."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.events import goods
from crm.events.inbox import Waiting
from crm.events.models import LIVE, SYSTEM_SOURCE, InboxRow
from crm.events.read import read
from crm.events.source import HeldError
from crm.events.spec import Accepted, event_name
from crm.profiles.called import CALLED
from crm.profiles.timeline import notes_band

LOOK = 5000  # how many of the latest calls are looked through for one source


@dataclass(frozen=True, slots=True)
class Recent:
    """A call as it came; `profile` is the name of whom it is about, where we know already."""

    at: dt.datetime
    source_id: int
    source: str
    name: str
    origin: str
    properties: dict[str, Any]
    processed: bool
    profile_id: uuid.UUID | None
    profile: str
    variant: str | None = None  # what a call about goods tells of
    first_band: bool = False  # our own note of a score's band that no other event tells; the properties are its trait


@dataclass(frozen=True, slots=True)
class _Call:
    row: Any
    accepted: Accepted

    @property
    def band(self) -> bool:
        return self.row.source_id == SYSTEM_SOURCE and notes_band(self.accepted.call.type, self.accepted.call.message_id)


def recent_calls(session: Session, *, now: dt.datetime, source_id: int | None = None, limit: int = 8) -> list[Recent]:
    """The latest readable calls of the last day, newest first; of one source where it is named (among the latest 5,000).

    What Kesher notes twice is there once.
    """
    rows = session.execute(text(_LATEST), {"since": now - dt.timedelta(days=1), "source": source_id, "look": LOOK, "limit": 2 * limit})
    calls = [call for row in rows if (call := _readable(row)) and not (call.band and row.origin == LIVE)][:limit]
    people = _people(session, calls)
    return [_shown(call, people) for call in calls]


def _readable(row: Any) -> _Call | None:
    waiting = Waiting(row.id, row.received_at, row.source_id, row.trusted, row.origin, row.sent_at, row.hops, row.cause, row.body)
    try:
        return _Call(row, read(waiting))
    except HeldError:
        return None  # it stands in quarantine, with its reason


def _shown(call: _Call, people: dict[tuple[str, str], tuple[uuid.UUID, str]]) -> Recent:
    row, accepted = call.row, call.accepted
    profile_id, profile = next((people[key] for key in _keys(accepted) if key in people), (None, ""))
    properties, name = (accepted.call.traits if call.band else accepted.call.properties) or {}, event_name(accepted.call)
    variant = goods.variant_of(name, properties) if row.trusted else None
    told = (row.received_at, row.source_id, row.source or "", name, row.origin, properties, row.processed_at is not None)
    return Recent(*told, profile_id, profile, variant, call.band)


def _keys(accepted: Accepted) -> list[tuple[str, str]]:
    own = [("profile", accepted.call.profile_id)] if accepted.call.profile_id else []
    return [*own, *((ident.kind, ident.value) for ident in accepted.identities)]


def _people(session: Session, calls: Sequence[_Call]) -> dict[tuple[str, str], tuple[uuid.UUID, str]]:
    keys = sorted({key for call in calls for key in _keys(call.accepted)})
    rows = session.execute(text(_PEOPLE), {"kinds": [kind for kind, _ in keys], "values": [value for _, value in keys]})
    return {(row.kind, row.value): (row.id, row.name) for row in rows}


_LATEST = f"""
SELECT i.*, s.name AS source FROM (
    SELECT * FROM (SELECT * FROM {InboxRow.__tablename__} WHERE received_at > :since ORDER BY id DESC LIMIT :look) latest
    WHERE CAST(:source AS integer) IS NULL OR source_id = :source ORDER BY id DESC LIMIT :limit
) i LEFT JOIN sources s ON s.id = i.source_id ORDER BY i.id DESC
"""  # noqa: S608  our own fragments
_PEOPLE = f"""
SELECT k.kind, k.value, p.id, {CALLED} AS name
FROM unnest(CAST(:kinds AS text[]), CAST(:values AS text[])) k(kind, value)
LEFT JOIN identities i ON i.kind = k.kind AND i.value = k.value
JOIN profiles p ON p.id = coalesce(i.profile_id, CASE WHEN k.kind = 'profile' THEN k.value::uuid END)
"""  # noqa: S608  our own fragment
