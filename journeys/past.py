"""Runs long over leave the table that moving works on: each becomes one row of a compact history, which still says who went which way and why."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import text
from sqlalchemy.orm import Session

KEEP = dt.timedelta(days=120)  # a quarter that somebody may still play through, and a month to look at it
AT_ONCE = 10_000  # runs of one transaction

# Runs as those who only look back see them, whether past or not. Columns: id, profile_id, journey_id, version, key, node, status, started_at, due_at,
# ended_at, end_reason, error, start.
EVERY = """(
    SELECT id, profile_id, journey_id, version, key, node, status, started_at, due_at, ended_at, end_reason, error, start FROM runs
    UNION ALL
    SELECT id, profile_id, journey_id, version, key, node, 'done', started_at, NULL, ended_at, end_reason, NULL, start FROM past_runs
)"""


def fold(session: Session, now: dt.datetime, *, limit: int = AT_ONCE) -> int:
    """Fold finished runs that ended too long ago; returns how many. Failed ones wait for somebody and stay; people somebody else holds come back later."""
    return int(session.scalar(_FOLD, {"before": now - KEEP, "limit": limit}) or 0)


_FOLD = text("""
    WITH ripe AS MATERIALIZED (
        SELECT id, profile_id FROM runs WHERE ended_at < :before AND status = 'done' ORDER BY ended_at LIMIT :limit
    ), held AS MATERIALIZED (
        SELECT id FROM profiles WHERE id IN (SELECT profile_id FROM ripe) ORDER BY id FOR UPDATE SKIP LOCKED
    ), gone AS (
        DELETE FROM runs r USING ripe WHERE r.id = ripe.id AND r.profile_id = ripe.profile_id
        AND (r.profile_id IN (SELECT id FROM held) OR NOT EXISTS (SELECT FROM profiles p WHERE p.id = r.profile_id))
        RETURNING r.*
    ), steps AS (
        DELETE FROM run_steps s USING gone g WHERE s.profile_id = g.profile_id AND s.run_id = g.id RETURNING s.*
    ), folded AS (
        SELECT run_id, jsonb_agg(jsonb_build_array(node, round, exit, at) ORDER BY place) AS path,
               jsonb_object_agg(place, detail) FILTER (WHERE detail <> '{}') AS why
        FROM (SELECT *, row_number() OVER (PARTITION BY run_id ORDER BY number) AS place FROM steps) s GROUP BY run_id
    ), kept AS (
        INSERT INTO past_runs (id, profile_id, given_id, journey_id, version, key, node, started_at, ended_at, end_reason, start, path, why)
        SELECT g.id, g.profile_id, g.given_id, g.journey_id, g.version, g.key, g.node, g.started_at, g.ended_at, g.end_reason, g.start,
               coalesce(f.path, '[]'), coalesce(f.why, '{}')
        FROM gone g LEFT JOIN folded f ON f.run_id = g.id RETURNING 1
    ) SELECT count(*) FROM kept
""")
