"""Whose scores may have changed: marked by the pipeline, by joins and their undoing; taken by the worker that scores."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Collection, Sequence

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.commerce.computed import counts
from crm.core.json import array
from crm.events.spec import Happened
from crm.profiles.move import on_move, on_part

AT_ONCE = 2_000


def mark(session: Session, profile_ids: Collection[uuid.UUID]) -> None:
    """These people's scores are to be looked at again."""
    if profile_ids:
        session.execute(text("INSERT INTO score_dirty (profile_id) SELECT unnest(CAST(:ids AS uuid[]))"), {"ids": array(list(profile_ids))})


def mark_changed(session: Session, events: Sequence[Happened]) -> None:
    """Whoever did something, by these events; what Kesher itself says about somebody moves no score, or it would never end."""
    mark(session, {event.profile_id for event in events if counts(event)})


def claim(session: Session, limit: int = AT_ONCE) -> list[uuid.UUID]:
    """Take some of them, each once."""
    return sorted(set(session.scalars(text(_CLAIM), {"limit": limit})))


def _moved(session: Session, pairs: Sequence[tuple[uuid.UUID, uuid.UUID]], now: dt.datetime) -> None:
    """A joined profile has no score of its own any more; the one it went into is looked at again."""
    moves = {"from": [from_id for from_id, _into in pairs], "into": [into for _from, into in pairs]}
    session.execute(text("DELETE FROM scores WHERE profile_id = ANY(CAST(:from AS uuid[]))"), moves)
    session.execute(text(_PAST_GOES_ALONG), moves)
    mark(session, {into for _from, into in pairs})


def _parted(session: Session, owner: uuid.UUID, to: uuid.UUID, given: Collection[uuid.UUID], now: dt.datetime) -> None:
    session.execute(text(_PAST_COMES_BACK), {"owner": owner, "to": to, "given": list(given)})
    mark(session, {owner, to, *given})


on_move.append(_moved)
on_part.append(_parted)
_CLAIM = """
DELETE FROM score_dirty WHERE id IN (SELECT id FROM score_dirty ORDER BY id LIMIT :limit FOR UPDATE SKIP LOCKED) RETURNING profile_id
"""
_PAST_GOES_ALONG = """
UPDATE score_history h SET profile_id = m.into_id, given_id = coalesce(h.given_id, h.profile_id)
FROM unnest(CAST(:from AS uuid[]), CAST(:into AS uuid[])) m(from_id, into_id) WHERE h.profile_id = m.from_id
"""
_PAST_COMES_BACK = """
UPDATE score_history SET profile_id = CAST(:to AS uuid), given_id = NULLIF(given_id, CAST(:to AS uuid))
WHERE profile_id = :owner AND given_id = ANY(CAST(:given AS uuid[]))
"""
