"""The queue of people who may be known twice: filled in sets by the clock, emptied by a person."""

from __future__ import annotations

import datetime as dt
import uuid
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.core.json import dumps
from crm.profiles.suggest.facts import Facts, facts_of, keys_of
from crm.profiles.suggest.judge import CERTAIN, LIKELY, Judgement, judge
from crm.profiles.suggest.settle import settle

CHUNK = 2_000  # new profiles looked at in one turn
AGAIN = 500  # and of those known longer, whose traits may have changed
CROWD = 60  # a key that more profiles share tells nothing
MOST_OPEN = 5_000  # suggestions that wait; beyond, only certain ones are added


@dataclass(frozen=True, slots=True)
class Waiting:
    """One suggestion to decide."""

    one_id: uuid.UUID
    other_id: uuid.UUID
    one_name: str
    other_name: str
    level: str
    agrees: list[str]
    contradicts: list[str]
    at: dt.datetime


def look(session: Session, now: dt.datetime) -> int:
    """One turn: the next profiles get their keys, and who meets them is judged; returns how many suggestions are new or changed."""
    ids = _next(session)
    return compare(session, ids, now) if ids else 0


def compare(session: Session, ids: Collection[uuid.UUID], now: dt.datetime) -> int:
    """Judge these profiles against everybody under whose keys they fall; one that is joined or erased drops out of the queue."""
    facts = _facts(session, ids)
    _write_keys(session, ids, facts)
    said = _judged(session, list(facts), facts)
    said |= _judged(session, {third for pair, found in said.items() if found.level == CERTAIN for third in pair} - set(ids), facts)
    judged = settle(said, facts)
    session.execute(text(_WITHDRAW), {"ids": list(ids), "ones": [a for a, _ in judged], "others": [b for _, b in judged]})
    return _write(session, judged, now)


def waiting(session: Session, *, level: str | None = None, limit: int = 50) -> list[Waiting]:
    """What a person should look at, the certain ones first, then the latest."""
    rows = session.execute(text(_WAITING), {"level": level, "limit": limit})
    return [Waiting(*row) for row in rows]


def counts(session: Session) -> dict[str, int]:
    """How many wait, by level."""
    rows = session.execute(text("SELECT level, count(*) FROM suggestions WHERE state = 'open' GROUP BY level"))
    return {CERTAIN: 0, LIKELY: 0} | {row[0]: row[1] for row in rows}


def decide(session: Session, one: uuid.UUID, other: uuid.UUID, *, state: str, by: str, now: dt.datetime) -> bool:
    """Remember what a person said of a pair (`confirmed` or `rejected`); False where somebody said so before."""
    pair = {"one": min(one, other), "other": max(one, other), "state": state, "by": by, "now": now}
    return session.execute(text(_DECIDE), pair).first() is not None


def _next(session: Session) -> list[uuid.UUID]:
    """Who is due: people born since the last turn, then, round and round, the others, whose traits may have changed."""
    place = session.execute(text(_PLACE)).one()
    new = list(session.scalars(text(_NEW), {"after": place.newest, "limit": CHUNK}))
    again = list(session.scalars(text(_AGAIN), {"after": place.again, "until": place.newest, "limit": AGAIN})) if place.newest else []
    params = {"newest": max(new, default=None), "again": max(again, default=None)}  # past the last one it begins anew
    session.execute(text("UPDATE suggestion_place SET newest = coalesce(CAST(:newest AS uuid), newest), again = CAST(:again AS uuid)"), params)
    return new + again


def _facts(session: Session, ids: Collection[uuid.UUID]) -> dict[uuid.UUID, Facts]:
    owned: dict[uuid.UUID, list[tuple[str, str]]] = defaultdict(list)
    params = {"ids": list(ids)}
    for row in session.execute(text(_IDENTITIES), params):
        owned[row.profile_id].append((row.kind, row.value))
    rows = session.execute(text("SELECT id, traits FROM profiles WHERE id = ANY(CAST(:ids AS uuid[])) AND merged_into IS NULL AND known"), params)
    return {row.id: facts_of(row.traits, owned[row.id]) for row in rows}


def _judged(session: Session, mine: Collection[uuid.UUID], facts: dict[uuid.UUID, Facts]) -> dict[tuple[uuid.UUID, uuid.UUID], Judgement]:
    """These profiles and everybody they meet, whose facts are added."""
    pairs = [(row.one, row.other) for row in session.execute(text(_MEETING), {"ids": list(mine), "crowd": CROWD})]
    facts |= _facts(session, {profile_id for pair in pairs for profile_id in pair} - facts.keys())
    return {pair: found for pair in pairs if pair[0] in facts and pair[1] in facts and (found := judge(facts[pair[0]], facts[pair[1]]))}


def _write_keys(session: Session, ids: Collection[uuid.UUID], facts: dict[uuid.UUID, Facts]) -> None:
    rows = sorted({(key[:200], profile_id) for profile_id, each in facts.items() for key in keys_of(each)})
    params = {"ids": list(ids), "keys": [key for key, _ in rows], "profiles": [profile_id for _, profile_id in rows]}
    session.execute(text(_DROP_KEYS), params)
    session.execute(text(_ADD_KEYS), params)


def _write(session: Session, judged: dict[tuple[uuid.UUID, uuid.UUID], Judgement], now: dt.datetime) -> int:
    full = (session.scalar(text("SELECT count(*) FROM suggestions WHERE state = 'open'")) or 0) >= MOST_OPEN
    rows: Sequence[Any] = sorted((pair, found) for pair, found in judged.items() if found.level == CERTAIN or not full) if judged else []
    if not rows:
        return 0
    params = {
        "ones": [pair[0] for pair, _ in rows],
        "others": [pair[1] for pair, _ in rows],
        "levels": [found.level for _, found in rows],
        "agrees": [dumps(found.agrees) for _, found in rows],
        "contradicts": [dumps(found.contradicts) for _, found in rows],
        "now": now,
    }
    return len(session.execute(text(_ADD), params).all())


_PLACE = "INSERT INTO suggestion_place (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET id = 1 RETURNING newest, again"
_NEW = "SELECT id FROM profiles WHERE known AND merged_into IS NULL AND (CAST(:after AS uuid) IS NULL OR id > :after) ORDER BY id LIMIT :limit"
_AGAIN = """
SELECT id FROM profiles WHERE known AND merged_into IS NULL AND (CAST(:after AS uuid) IS NULL OR id > :after) AND id <= :until ORDER BY id LIMIT :limit
"""
_IDENTITIES = "SELECT profile_id, kind, value FROM identities WHERE profile_id = ANY(CAST(:ids AS uuid[])) AND kind <> 'anonymous_id'"
_DROP_KEYS = """
DELETE FROM suggestion_keys k WHERE k.profile_id = ANY(CAST(:ids AS uuid[]))
AND NOT EXISTS (SELECT FROM unnest(CAST(:keys AS text[]), CAST(:profiles AS uuid[])) u(key, id) WHERE u.key = k.key AND u.id = k.profile_id)
"""
_ADD_KEYS = """
INSERT INTO suggestion_keys (key, profile_id) SELECT * FROM unnest(CAST(:keys AS text[]), CAST(:profiles AS uuid[])) ON CONFLICT DO NOTHING
"""
_MEETING = """
WITH mine AS (
    SELECT k.key, k.profile_id FROM suggestion_keys k WHERE k.profile_id = ANY(CAST(:ids AS uuid[]))
), quiet AS (
    SELECT key FROM (SELECT DISTINCT key FROM mine) m
    WHERE (SELECT count(*) FROM (SELECT FROM suggestion_keys k WHERE k.key = m.key LIMIT :crowd + 1) some_of_them) BETWEEN 2 AND :crowd
)
SELECT DISTINCT least(m.profile_id, k.profile_id) AS one, greatest(m.profile_id, k.profile_id) AS other
FROM quiet q JOIN mine m USING (key) JOIN suggestion_keys k ON k.key = q.key AND k.profile_id <> m.profile_id
"""
_WITHDRAW = """
DELETE FROM suggestions s WHERE s.state = 'open' AND (s.one_id = ANY(CAST(:ids AS uuid[])) OR s.other_id = ANY(CAST(:ids AS uuid[])))
AND NOT EXISTS (SELECT FROM unnest(CAST(:ones AS uuid[]), CAST(:others AS uuid[])) u(one, other) WHERE u.one = s.one_id AND u.other = s.other_id)
"""
_ADD = """
INSERT INTO suggestions (one_id, other_id, level, agrees, contradicts, at)
SELECT o, t, l, CAST(a AS jsonb), CAST(c AS jsonb), :now FROM unnest(CAST(:ones AS uuid[]), CAST(:others AS uuid[]), CAST(:levels AS text[]),
  CAST(:agrees AS text[]), CAST(:contradicts AS text[])) AS u(o, t, l, a, c)
ON CONFLICT (one_id, other_id) DO UPDATE SET level = excluded.level, agrees = excluded.agrees, contradicts = excluded.contradicts
WHERE suggestions.state = 'open' AND (suggestions.level, suggestions.agrees, suggestions.contradicts) IS DISTINCT FROM
  (excluded.level, excluded.agrees, excluded.contradicts)
RETURNING 1
"""
_WAITING = """
SELECT s.one_id, s.other_id, a.name, b.name, s.level, s.agrees, s.contradicts, s.at
FROM suggestions s JOIN profiles a ON a.id = s.one_id JOIN profiles b ON b.id = s.other_id
WHERE s.state = 'open' AND a.merged_into IS NULL AND b.merged_into IS NULL AND (CAST(:level AS text) IS NULL OR s.level = :level)
ORDER BY s.level, s.at DESC, s.one_id, s.other_id LIMIT :limit
"""
_DECIDE = """
UPDATE suggestions SET state = :state, decided_at = :now, decided_by = :by
WHERE one_id = :one AND other_id = :other AND state = 'open' RETURNING 1
"""
