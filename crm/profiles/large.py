"""Joins of profiles with very many rows, and their undoing: noted here, done by a worker in a transaction of their own, so that nobody waits for them.

Until then both are for everybody what they were: there is no state in between, and a worker killed on the way has done nothing.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.core.json import dumps
from crm.profiles.move import Join

MOST = 10_000  # events of a profile that is joined at once; the log is what grows without bound
MOST_FAILED = 50  # shown


@dataclass(frozen=True, slots=True)
class Failed:
    """A join, or its `undoing`, that raised an error and is set aside. `profile_id` is who the one is now, `other_id` the other."""

    profile_id: uuid.UUID
    name: str
    other_id: uuid.UUID
    undoing: bool
    problem: str
    asked_at: dt.datetime


def among(session: Session, profile_ids: Collection[uuid.UUID]) -> set[uuid.UUID]:
    """Those of these profiles that are too large to be moved in passing."""
    if not profile_ids:
        return set()
    return set(session.scalars(text(_LARGE), {"ids": list(profile_ids), "most": MOST}))


def postpone(session: Session, joins: Sequence[Join], now: dt.datetime) -> None:
    """Note joins to be done soon, or, with the reason `undone`, that one be taken back; what is noted already stays as it is.

    A join that is noted of two who are one by now is needed no more: an undoing takes its place. What was set aside is tried again where a person asks.
    """
    noted: dict[tuple[uuid.UUID, ...], dict[str, Any]] = {}
    for join in joins:
        one, other = pair = tuple(sorted((join.from_id, join.into_id)))
        noted.setdefault(pair, {"one": one, "other": other, "reason": join.reason, "accepted": join.accepted, "detail": join.detail})
    if noted:  # in one order, so that two workers who note the same do not wait for each other
        session.execute(text(_NOTE), {"rows": dumps([noted[pair] for pair in sorted(noted)]), "now": now})


def set_aside(session: Session, one: uuid.UUID, other: uuid.UUID, problem: str) -> None:
    """It raised an error: the others go on, it stays with its error until a person asks for it again."""
    aside = text("UPDATE large_joins SET problem = :problem WHERE (one_id, other_id) = (:one, :other)")
    session.execute(aside, {"one": one, "other": other, "problem": problem})


def forget(session: Session, pair: Collection[uuid.UUID]) -> None:
    """A join of these two that was set aside is needed no more: they are joined at once."""
    session.execute(text(_FORGET), {"ids": list(pair)})


def failed(session: Session, profile_id: uuid.UUID | None = None) -> list[Failed]:
    """What was set aside and is still to be done, of this person or of everybody, the latest first."""
    return [Failed(*row) for row in session.execute(text(_FAILED), {"id": profile_id, "most": MOST_FAILED})]


def waits(session: Session, profile_id: uuid.UUID) -> bool:
    """Whether a join of this profile, or its undoing, is still to be done."""
    return bool(_noted(session, profile_id))


def waiting(session: Session, profile_id: uuid.UUID) -> tuple[bool, set[int]]:
    """Whether a join of this profile is still to be done, and which links of it are still to be taken back."""
    noted = _noted(session, profile_id)
    return None in noted, {int(link) for link in noted if link is not None}


def _noted(session: Session, profile_id: uuid.UUID) -> list[str | None]:
    statement = "SELECT detail->>'link' FROM large_joins WHERE :id IN (one_id, other_id) AND problem IS NULL"
    return list(session.scalars(text(statement), {"id": profile_id}))


_LARGE = """
SELECT i FROM unnest(CAST(:ids AS uuid[])) i
WHERE (SELECT count(*) FROM (SELECT FROM events e WHERE e.profile_id = i LIMIT :most + 1) x) > :most
"""
_NOTE = """
INSERT INTO large_joins (one_id, other_id, reason, accepted, detail, asked_at)
SELECT one, other, reason, accepted, detail, :now
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(one uuid, other uuid, reason text, accepted bigint, detail jsonb)
ON CONFLICT (one_id, other_id) DO UPDATE
SET (reason, accepted, detail, asked_at, problem) = (excluded.reason, excluded.accepted, excluded.detail, excluded.asked_at, NULL)
WHERE large_joins.reason <> 'undone' AND excluded.reason = 'undone' OR large_joins.problem IS NOT NULL AND excluded.accepted IS NULL
"""
_FORGET = """
DELETE FROM large_joins WHERE one_id = ANY(CAST(:ids AS uuid[])) AND other_id = ANY(CAST(:ids AS uuid[])) AND problem IS NOT NULL
"""
_FAILED = """
WITH pair AS (
    SELECT j.*, coalesce(one.merged_into, one.id) AS a, coalesce(other.merged_into, other.id) AS b
    FROM large_joins j JOIN profiles one ON one.id = j.one_id JOIN profiles other ON other.id = j.other_id WHERE j.problem IS NOT NULL
)
SELECT p.id, p.name, CASE WHEN a = b THEN CASE one_id WHEN a THEN other_id ELSE one_id END ELSE CASE p.id WHEN a THEN b ELSE a END END, a = b, problem, asked_at
FROM pair JOIN profiles p ON p.id = CASE WHEN b = CAST(:id AS uuid) THEN b ELSE a END
WHERE (CAST(:id AS uuid) IS NULL OR p.id = CAST(:id AS uuid)) AND (reason = 'undone') = (a = b)
ORDER BY asked_at DESC, one_id, other_id LIMIT :most
"""
