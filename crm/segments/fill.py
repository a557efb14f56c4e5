"""All members of a segment found at once: silently for a new or changed one, a span of people at a time; and compared, for a check."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from crm.core.config import Config
from crm.core.db import is_passing
from crm.segments import store
from crm.segments.evaluate import statement
from crm.segments.refresh import NOTE_SIZE, place_of
from crm.segments.store import Loaded

FILLING = 0x73656732
AT_ONCE = 50_000  # people of one transaction
FIRST, LAST = uuid.UUID(int=0), uuid.UUID(int=2**128 - 1)
Span = tuple[uuid.UUID, uuid.UUID]


def fill(session: Session, now: dt.datetime, config: Config, *, at_once: int = AT_ONCE) -> int:
    """Find the members of the next segment that waits for it among the next people; 0 where none waits or another worker is at it.

    Where it stands is kept in the segment's row, so that a killed worker's filling goes on there. One that was changed meanwhile begins anew.
    """
    if not session.scalar(text("SELECT pg_try_advisory_xact_lock(:lock)"), {"lock": FILLING}):
        return 0
    waiting = store.load(session, "filling")
    if not waiting:
        return 0
    segment = waiting[0]
    low = segment.filled or FIRST
    high = session.scalar(text(_SPAN), {"after": low, "limit": at_once}) or LAST
    try:
        with session.begin_nested():
            _write(session, segment, (low, high), now, config)
    except DBAPIError as error:
        if is_passing(error):
            raise
        store.broke(session, segment.id, error.orig)
        return 1
    over = high == LAST
    after = {"id": segment.id, "fillings": segment.fillings, "filled": None if over else high, "status": "live" if over else "filling"}
    if session.execute(text(_STANDS), after).first() and over:
        _count(session, segment, now)
    return 1


def rebuild(session: Session, segment: Loaded, now: dt.datetime, config: Config) -> tuple[int, int]:
    """Compute all members anew and write the difference, without events; returns how many came and left."""
    done = _write(session, segment, (FIRST, LAST), now, config)
    _count(session, segment, now)
    return done


def differences(session: Session, segment: Loaded, now: dt.datetime, config: Config, *, span: Span = (FIRST, LAST)) -> int:
    """How many people of a span are in a live segment who should not be, or should be and are not; who is to be looked at anyway is left out."""
    made = statement(segment.tree, now=now, place=place_of(config), span=span)
    with _in_sets(session):
        return int(session.scalar(text(_DIFFERENT.replace("{found}", made.sql)), made.values | {"segment": segment.id, "now": now}) or 0)


@contextmanager
def _in_sets(session: Session) -> Iterator[None]:
    """No loop over everybody: where PostgreSQL knows nothing yet of many new people, it takes them for one, and goes through all for each."""
    session.execute(text("SET LOCAL enable_nestloop = off"))
    yield
    session.execute(text("SET LOCAL enable_nestloop = on"))


def _write(session: Session, segment: Loaded, span: Span, now: dt.datetime, config: Config) -> tuple[int, int]:
    made = statement(segment.tree, now=now, place=place_of(config), span=span)
    with _in_sets(session):
        row = session.execute(text(_WRITE.replace("{found}", made.sql)), made.values | {"segment": segment.id, "now": now}).one()
    return row.came, row.went


def _count(session: Session, segment: Loaded, now: dt.datetime) -> None:
    session.execute(text("DELETE FROM segment_moves WHERE segment_id = :segment"), {"segment": segment.id})
    session.execute(
        text("UPDATE segments SET size = (SELECT count(*) FROM memberships WHERE segment_id = :segment) WHERE id = :segment"), {"segment": segment.id}
    )
    session.execute(text(NOTE_SIZE), {"at": now.replace(minute=0, second=0, microsecond=0)})


_SPAN = "SELECT id FROM profiles WHERE id > :after ORDER BY id OFFSET :limit - 1 LIMIT 1"
_STANDS = "UPDATE segments SET filled = :filled, status = :status WHERE id = :id AND fillings = :fillings AND status = 'filling' RETURNING 1"
_WRITE = """
WITH found AS MATERIALIZED (SELECT * FROM ({found}) x WHERE inside OR due_at IS NOT NULL),
came AS (INSERT INTO memberships (profile_id, segment_id, since) SELECT profile_id, :segment, :now FROM found WHERE inside ON CONFLICT DO NOTHING RETURNING 1),
went AS (DELETE FROM memberships m WHERE m.segment_id = :segment AND m.profile_id > CAST(:low AS uuid) AND m.profile_id <= CAST(:high AS uuid)
         AND NOT EXISTS (SELECT FROM found f WHERE f.profile_id = m.profile_id AND f.inside) RETURNING 1),
due AS (INSERT INTO segment_lapses (profile_id, segment_id, due_at) SELECT profile_id, :segment, due_at FROM found WHERE due_at IS NOT NULL ON CONFLICT DO NOTHING)
SELECT (SELECT count(*) FROM came) AS came, (SELECT count(*) FROM went) AS went
"""  # noqa: E501  reads best as one line
_DIFFERENT = """
WITH found AS MATERIALIZED (SELECT profile_id FROM ({found}) x WHERE inside),
there AS (SELECT profile_id FROM memberships WHERE segment_id = :segment AND profile_id > CAST(:low AS uuid) AND profile_id <= CAST(:high AS uuid)),
other AS ((TABLE found EXCEPT TABLE there) UNION ALL (TABLE there EXCEPT TABLE found))
SELECT count(*) FROM other o WHERE NOT EXISTS (
    SELECT FROM segment_lapses l WHERE l.profile_id = o.profile_id AND l.segment_id = :segment AND l.due_at <= :now)
"""
