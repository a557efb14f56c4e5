"""What pages and API show about journeys and runs: read only, in sets, with since when."""

from __future__ import annotations

import datetime as dt
import uuid
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.core.clock import parse_time
from crm.core.paging import Page, cursor, read_place
from crm.profiles.called import CALLED
from journeys.past import EVERY

SINCE = dt.timedelta(days=30)


@dataclass(frozen=True, slots=True)
class JourneyRow:
    """A journey with its numbers: runs now, and since 30 days ago those started and finished and the messages by status."""

    id: int
    slug: str
    name: Mapping[str, str]
    status: str
    problem: str | None
    paused_at: dt.datetime | None
    version: int | None
    published_at: dt.datetime | None
    published_by: str | None
    active_runs: int
    started: int
    finished: int
    messages: Mapping[str, int]
    since: dt.datetime


@dataclass(frozen=True, slots=True)
class StepRow:
    """A node passed."""

    node: str
    round: int
    exit: str
    detail: Mapping[str, Any]
    at: dt.datetime


@dataclass(frozen=True, slots=True)
class RunView:
    """A run with the way it took."""

    id: uuid.UUID
    journey: str
    journey_id: int
    version: int
    profile_id: uuid.UUID
    profile: str
    key: str
    node: str
    status: str
    started_at: dt.datetime
    due_at: dt.datetime | None
    ended_at: dt.datetime | None
    end_reason: str | None
    error: str | None
    event: str
    event_at: dt.datetime | None
    steps: Sequence[StepRow]


@dataclass(frozen=True, slots=True)
class RefusalRow:
    """A start that was refused."""

    profile_id: uuid.UUID
    profile: str
    reason: str
    detail: Mapping[str, Any]
    at: dt.datetime


@dataclass(frozen=True, slots=True)
class RunFilters:
    """Which runs; None means all."""

    journey: str | None = None
    profile_id: uuid.UUID | None = None
    status: str | None = None
    node: str | None = None
    run_id: uuid.UUID | None = None
    since: dt.datetime | None = None


def journeys(session: Session, *, now: dt.datetime, slug: str | None = None) -> list[JourneyRow]:
    """All journeys, or the one of this slug."""
    since = now - SINCE
    rows = session.execute(_JOURNEYS, {"slug": _text(slug), "since": since}).all()
    sent: dict[str, dict[str, int]] = defaultdict(dict)
    for name, status, count in session.execute(_MESSAGES, {"slugs": [row.slug for row in rows], "since": since}):
        sent[name][status] = count
    return [JourneyRow(**row._mapping, messages=sent[row.slug], since=since) for row in rows]


def unsent(session: Session, slug: str, since: dt.datetime) -> list[tuple[str, str, int]]:
    """(status, reason, how many) of a journey's messages that did not go out, the most first."""
    rows = session.execute(_UNSENT, {"slug": slug, "since": since})
    return [(row.status, row.reason, row.many) for row in rows]


def active_runs(session: Session) -> tuple[int, int]:
    """How many runs go on now, and in how many journeys."""
    row = session.execute(text("SELECT count(*), count(DISTINCT journey_id) FROM runs WHERE status = 'active'")).one()
    return row[0], row[1]


def graph_of(session: Session, journey_id: int, number: int) -> dict[str, Any] | None:
    """A stored version."""
    statement = text("SELECT graph FROM journey_versions WHERE journey_id = :journey AND number = :number")
    return session.execute(statement, {"journey": journey_id, "number": number}).scalar_one_or_none()


def versions(session: Session, journey_id: int) -> list[dict[str, Any]]:
    """All versions, newest first: number, when and by whom."""
    rows = session.execute(
        text("SELECT number, published_at, published_by FROM journey_versions WHERE journey_id = :id ORDER BY number DESC"), {"id": journey_id}
    )
    return [{"number": row.number, "at": row.published_at, "published_by": row.published_by} for row in rows]


def on_versions(session: Session, journey_id: int) -> dict[int, int]:
    """version -> runs that go on in it."""
    rows = session.execute(text("SELECT version, count(*) FROM runs WHERE status = 'active' AND journey_id = :id GROUP BY version"), {"id": journey_id})
    return {row[0]: row[1] for row in rows}


def failed(session: Session, journey_id: int) -> int:
    """How many runs failed and wait for somebody."""
    return session.scalar(text("SELECT count(*) FROM runs WHERE status = 'failed' AND journey_id = :id"), {"id": journey_id}) or 0


def standing(session: Session, journey_id: int) -> dict[str, int]:
    """node -> runs there now."""
    rows = session.execute(text("SELECT node, count(*) FROM runs WHERE status = 'active' AND journey_id = :id GROUP BY node"), {"id": journey_id})
    return {row[0]: row[1] for row in rows}


def passed(session: Session, journey_id: int, version: int, since: dt.datetime) -> dict[tuple[str, str], int]:
    """(node, exit) -> how often it was taken by runs of this version started since."""
    rows = session.execute(_PASSED, {"id": journey_id, "version": version, "since": since})
    return {(row[0], row[1]): row[2] for row in rows}


def runs(session: Session, filters: RunFilters, *, after: str | None = None, limit: int = 50) -> Page[RunView]:
    """Runs, newest first, with their steps."""
    at, one = read_place(after) or (None, None)
    asked: dict[str, object] = {"since": filters.since, "journey": _text(filters.journey), "profile": filters.profile_id}
    asked |= {"status": filters.status, "node": _text(filters.node), "run": filters.run_id}
    rows = session.execute(_RUNS, asked | {"before": at, "before_id": one, "limit": limit + 1}).all()
    shown = rows[:limit]
    steps = _steps(session, [(row.profile_id, row.id) for row in shown])
    found = [_run(row, steps.get(row.id, ())) for row in shown]
    return Page(found, cursor(shown[-1].started_at, shown[-1].id) if len(rows) > limit else None)


def refusals(session: Session, *, journey_id: int | None = None, profile_id: uuid.UUID | None = None, since: dt.datetime, limit: int = 20) -> list[RefusalRow]:
    """The latest starts refused."""
    asked = {"journey": journey_id, "profile": profile_id, "since": since, "limit": limit}
    return [RefusalRow(*row) for row in session.execute(_REFUSALS, asked)]


def start_of(session: Session, run_id: uuid.UUID) -> dict[str, Any]:
    """The event that started a run, as stored; empty where there is no such run."""
    return session.execute(text(f"SELECT start FROM {EVERY} r WHERE id = :id"), {"id": run_id}).scalar_one_or_none() or {}  # noqa: S608  our own words


def _text(value: str | None) -> str | None:
    """PostgreSQL takes no NUL in a text."""
    return None if value is None else value.replace("\0", "")


def _steps(session: Session, keys: Collection[tuple[uuid.UUID, uuid.UUID]]) -> dict[uuid.UUID, list[StepRow]]:
    found: dict[uuid.UUID, list[StepRow]] = defaultdict(list)
    asked = {"profiles": [profile for profile, _ in keys], "runs": [run for _, run in keys]}
    for run_id, *rest in session.execute(_STEPS, asked):
        found[run_id].append(StepRow(*rest))
    return found


def _run(row: Any, steps: Sequence[StepRow]) -> RunView:
    start = row.start
    return RunView(
        id=row.id,
        journey=row.slug,
        journey_id=row.journey_id,
        version=row.version,
        profile_id=row.profile_id,
        profile=row.profile or "",
        key=row.key,
        node=row.node,
        status=row.status,
        started_at=row.started_at,
        due_at=row.due_at,
        ended_at=row.ended_at,
        end_reason=row.end_reason,
        error=row.error,
        event=start["name"],
        event_at=parse_time(start.get("occurred_at")),
        steps=steps,
    )


_JOURNEYS = text("""
    SELECT j.id, j.slug, j.name, j.status, j.problem, j.paused_at, j.version, v.published_at, v.published_by,
           r.active_runs, r.started, r.finished
    FROM journeys j
    LEFT JOIN journey_versions v ON v.journey_id = j.id AND v.number = j.version
    LEFT JOIN LATERAL (
        SELECT count(*) FILTER (WHERE status = 'active') AS active_runs,
               count(*) FILTER (WHERE started_at >= :since) AS started,
               count(*) FILTER (WHERE started_at >= :since AND status <> 'active') AS finished
        FROM runs WHERE journey_id = j.id AND (started_at >= :since OR status = 'active')
    ) r ON true
    WHERE CAST(:slug AS text) IS NULL OR j.slug = :slug
    ORDER BY array_position(ARRAY['broken', 'live', 'paused', 'draft', 'stopped'], j.status), j.slug
""")
_MESSAGES = text("""
    SELECT journey, status, count(*) FROM messages WHERE journey = ANY(:slugs) AND created_at >= :since GROUP BY journey, status
""")
_UNSENT = text("""
    SELECT status, reason, count(*) AS many FROM messages
    WHERE journey = :slug AND created_at >= :since AND status IN ('dropped', 'held', 'failed') AND reason IS NOT NULL
    GROUP BY status, reason ORDER BY many DESC, reason
""")
_PASSED = text("""
    SELECT s.node, s.exit, count(*)
    FROM runs r JOIN run_steps s ON s.profile_id = r.profile_id AND s.run_id = r.id
    WHERE r.journey_id = :id AND r.version = :version AND r.started_at >= :since
    GROUP BY s.node, s.exit
""")
_RUNS = text(f"""
    SELECT r.id, j.slug, r.journey_id, r.version, r.profile_id, {CALLED} AS profile, r.key, r.node, r.status, r.started_at, r.due_at,
           r.ended_at, r.end_reason, r.error, r.start
    FROM {EVERY} r JOIN journeys j ON j.id = r.journey_id LEFT JOIN profiles p ON p.id = r.profile_id
    WHERE (CAST(:journey AS text) IS NULL OR j.slug = :journey)
      AND (CAST(:profile AS uuid) IS NULL OR r.profile_id = :profile)
      AND (CAST(:status AS text) IS NULL OR r.status = :status)
      AND (CAST(:node AS text) IS NULL OR r.node = :node)
      AND (CAST(:run AS uuid) IS NULL OR r.id = :run)
      AND (CAST(:since AS timestamptz) IS NULL OR r.started_at >= :since)
      AND (CAST(:before AS timestamptz) IS NULL OR (r.started_at, r.id) < (CAST(:before AS timestamptz), CAST(:before_id AS uuid)))
    ORDER BY r.started_at DESC, r.id DESC LIMIT :limit
""")  # noqa: S608  our own words
_STEPS = text("""
    SELECT run_id, node, round, exit, detail, at FROM (
        SELECT s.run_id, s.node, s.round, s.exit, s.detail, s.at, s.number
        FROM unnest(CAST(:profiles AS uuid[]), CAST(:runs AS uuid[])) AS k(profile_id, run_id)
        JOIN run_steps s ON s.profile_id = k.profile_id AND s.run_id = k.run_id
        UNION ALL
        SELECT r.id, e.step->>0, CAST(e.step->>1 AS smallint), e.step->>2, coalesce(r.why->CAST(e.place AS text), '{}'),
               CAST(e.step->>3 AS timestamptz), e.place
        FROM past_runs r CROSS JOIN LATERAL jsonb_array_elements(r.path) WITH ORDINALITY AS e(step, place) WHERE r.id = ANY(CAST(:runs AS uuid[]))
    ) s ORDER BY run_id, number
""")
_REFUSALS = text(f"""
    SELECT f.profile_id, {CALLED}, f.reason, f.detail, f.at
    FROM entry_refusals f LEFT JOIN profiles p ON p.id = f.profile_id
    WHERE (CAST(:journey AS int) IS NULL OR f.journey_id = :journey) AND (CAST(:profile AS uuid) IS NULL OR f.profile_id = :profile) AND f.at >= :since
    ORDER BY f.at DESC, f.id DESC LIMIT :limit
""")  # noqa: S608  our own fragment
