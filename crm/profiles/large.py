"""Joins of profiles with very many rows, and their undoing: noted here, done by a worker in a transaction of their own, so that nobody waits for them.

Until then both are for everybody what they were: there is no state in between, and a worker killed on the way has done nothing.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.core.json import dumps
from crm.profiles.move import Join

MOST = 10_000  # events of a profile that is joined at once; the log is what grows without bound


def among(session: Session, profile_ids: Collection[uuid.UUID]) -> set[uuid.UUID]:
    """Those of these profiles that are too large to be moved in passing."""
    if not profile_ids:
        return set()
    return set(session.scalars(text(_LARGE), {"ids": list(profile_ids), "most": MOST}))


def postpone(session: Session, joins: Sequence[Join], now: dt.datetime) -> None:
    """Note joins to be done soon, or, with the reason `undone`, that one be taken back; what is noted already stays as it is.

    A join that is noted of two who are one by now is needed no more: an undoing takes its place.
    """
    noted: dict[tuple[uuid.UUID, ...], dict[str, Any]] = {}
    for join in joins:
        one, other = pair = tuple(sorted((join.from_id, join.into_id)))
        noted.setdefault(pair, {"one": one, "other": other, "reason": join.reason, "accepted": join.accepted, "detail": join.detail})
    if noted:  # in one order, so that two workers who note the same do not wait for each other
        session.execute(text(_NOTE), {"rows": dumps([noted[pair] for pair in sorted(noted)]), "now": now})


def waits(session: Session, profile_id: uuid.UUID) -> bool:
    """Whether a join of this profile, or its undoing, is still to be done."""
    return bool(_noted(session, profile_id))


def waiting(session: Session, profile_id: uuid.UUID) -> tuple[bool, set[int]]:
    """Whether a join of this profile is still to be done, and which links of it are still to be taken back."""
    noted = _noted(session, profile_id)
    return None in noted, {int(link) for link in noted if link is not None}


def _noted(session: Session, profile_id: uuid.UUID) -> list[str | None]:
    return list(session.scalars(text("SELECT detail->>'link' FROM large_joins WHERE :id IN (one_id, other_id)"), {"id": profile_id}))


_LARGE = """
SELECT i FROM unnest(CAST(:ids AS uuid[])) i
WHERE (SELECT count(*) FROM (SELECT FROM events e WHERE e.profile_id = i LIMIT :most + 1) x) > :most
"""
_NOTE = """
INSERT INTO large_joins (one_id, other_id, reason, accepted, detail, asked_at)
SELECT one, other, reason, accepted, detail, :now
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(one uuid, other uuid, reason text, accepted bigint, detail jsonb)
ON CONFLICT (one_id, other_id) DO UPDATE SET (reason, accepted, detail, asked_at) = (excluded.reason, excluded.accepted, excluded.detail, excluded.asked_at)
WHERE large_joins.reason <> 'undone' AND excluded.reason = 'undone'
"""
