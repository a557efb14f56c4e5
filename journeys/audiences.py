"""Everybody in a segment brought into a journey at once: at the occasions of a schedule, or who was in it when the journey went live."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from crm.core.config import Config
from crm.events.inbox import NewRow, append, system_event, waiting
from journeys import board
from journeys.board import Standing
from journeys.node import AUDIENCE
from journeys.triggers.schedule import FRESH, ScheduleSettings, plugin

CHUNK = 2_000  # people of one transaction
FULL = 50_000  # calls that may wait in the inbox before we wait too
HOUR = dt.timedelta(hours=1)  # so often what is held is kept from growing old


def begin(session: Session, now: dt.datetime, config: Config) -> int:
    """Open the occasions that have come; each is one row for ever, whoever's clock sees it. One from before the schedule was published is not opened."""
    opened = 0
    for journey in board.read(session).journeys.values():
        graph = journey.graph
        if journey.takes and graph and isinstance(graph.trigger_settings, ScheduleSettings):
            for occasion in plugin.due(graph.trigger_settings, config.timezone, now):
                opened += _open_since(session, journey, graph.trigger_settings.segment, occasion, now)
    return opened


def _open_since(session: Session, journey: Standing, segment: str, occasion: dt.datetime, now: dt.datetime) -> int:
    published = session.scalar(_SCHEDULED, {"journey": journey.id, "version": journey.current})
    if published is None or occasion < published:
        return 0
    return include(session, journey.id, occasion.isoformat(), segment, now)


def include(session: Session, journey_id: int, occasion: str, segment: str, now: dt.datetime) -> int:
    """Ask for everybody in a segment, once for an occasion; returns how many askings that is (0: it was asked before)."""
    asked = {"journey": journey_id, "occasion": occasion, "segment": segment, "now": now, "until": now + FRESH}
    return len(session.execute(_OPEN, asked).all())


def advance(session: Session, now: dt.datetime) -> int:
    """Say to the log who is in the next open audience, one chunk; returns how many. What a crash kept back is said by the next call, nothing twice.

    While its journey is held or its segment is filled an audience does not grow old.
    """
    if waiting(session, FULL) >= FULL:
        return 0
    session.execute(_HELD, {"soon": now + FRESH - HOUR, "until": now + FRESH})
    session.execute(_OVER, {"now": now})
    row = session.execute(_NEXT).one_or_none()
    if row is None:
        return 0
    people = list(session.scalars(_MEMBERS, {"segment": row.segment, "after": row.after, "limit": CHUNK}))
    append(session, [_said(row, each) for each in people], now)
    moved = {"journey": row.journey_id, "occasion": row.occasion, "after": people[-1] if people else row.after, "members": len(people)}
    session.execute(_MOVE, moved | {"done": now if len(people) < CHUNK else None})
    return len(people)


def _said(row: Row[Any], profile: uuid.UUID) -> NewRow:
    said = {"journey": row.slug, "segment": row.segment, "occasion": row.occasion}
    number = f"audience:{row.journey_id}:{row.occasion}:{profile}"
    return system_event(AUDIENCE, profile, said, cause=None, hops=0, message_id=number)


def go_on(session: Session, journey_id: int, since: dt.datetime | None, now: dt.datetime) -> None:
    """Give what was held with its journey a day to come in, also where no clock ran meanwhile that kept it from growing old."""
    session.execute(_GO_ON, {"journey": journey_id, "since": since, "until": now + FRESH})


def close(session: Session, journey_id: int, reason: str, now: dt.datetime) -> None:
    """Bring in nobody more of what was asked for so far."""
    session.execute(_CLOSE, {"journey": journey_id, "reason": reason, "now": now})


def members(session: Session, segment: str) -> int:
    """How many are in a segment now."""
    return session.scalar(text("SELECT count(*) FROM memberships b JOIN segments s ON s.id = b.segment_id WHERE s.slug = :slug"), {"slug": segment}) or 0


_SCHEDULED = text("""
    SELECT min(v.published_at) FROM journey_versions v JOIN journey_versions c ON c.journey_id = v.journey_id AND c.number = :version
    WHERE v.journey_id = :journey AND v.graph->'trigger' = c.graph->'trigger'
""")
_OPEN = text("""
    INSERT INTO journey_audiences (journey_id, occasion, segment, at, until) VALUES (:journey, :occasion, :segment, :now, :until)
    ON CONFLICT DO NOTHING RETURNING journey_id
""")
_HELD = text("""
    UPDATE journey_audiences a SET until = :until FROM journeys j
    WHERE a.done_at IS NULL AND a.until < :soon AND j.id = a.journey_id
      AND (j.status IN ('paused', 'broken') OR EXISTS (SELECT FROM segments s WHERE s.slug = a.segment AND s.status <> 'live'))
""")
_GO_ON = text("""
    UPDATE journey_audiences SET until = :until WHERE journey_id = :journey AND done_at IS NULL
    AND (CAST(:since AS timestamptz) IS NULL OR until >= CAST(:since AS timestamptz))
""")
_OVER = text("UPDATE journey_audiences SET done_at = :now, end_reason = 'late' WHERE done_at IS NULL AND until < :now")
_CLOSE = text("UPDATE journey_audiences SET done_at = :now, end_reason = :reason WHERE journey_id = :journey AND done_at IS NULL")
_NEXT = text("""
    SELECT a.journey_id, a.occasion, a.segment, a.after, j.slug
    FROM journey_audiences a JOIN journeys j ON j.id = a.journey_id AND j.status = 'live' JOIN segments s ON s.slug = a.segment AND s.status = 'live'
    WHERE a.done_at IS NULL ORDER BY a.at, a.journey_id, a.occasion LIMIT 1 FOR UPDATE OF a SKIP LOCKED
""")
_MEMBERS = text("""
    SELECT b.profile_id FROM memberships b JOIN segments s ON s.id = b.segment_id
    WHERE s.slug = :segment AND (CAST(:after AS uuid) IS NULL OR b.profile_id > CAST(:after AS uuid)) ORDER BY b.profile_id LIMIT :limit
""")
_MOVE = text("""
    UPDATE journey_audiences SET after = :after, members = members + :members, done_at = :done,
        end_reason = CASE WHEN CAST(:done AS timestamptz) IS NULL THEN NULL ELSE 'finished' END
    WHERE journey_id = :journey AND occasion = :occasion
""")
