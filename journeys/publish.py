"""Publishing, pausing, resuming, stopping: each alone, while no batch moves runs."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import select, text, update
from sqlalchemy.orm import Session

from crm.core.errors import InvalidError, NotFoundError
from crm.messages import outbox
from journeys import board
from journeys.graph import parse
from journeys.models import Journey, RunRow, Version


def publish(session: Session, slug: str, graph: object, *, now: dt.datetime, by: str | None = None) -> int:
    """Make this graph the one new runs follow; returns its version number. Runs under way stay on theirs.

    A graph equal to the current one adds no version. A new journey goes live at once; a broken one is live again.
    Raises InvalidError with every problem of the graph.
    """
    stored = parse(graph).drawing.model_dump(by_alias=True, exclude_defaults=True, mode="json")
    _alone(session)
    journey = session.scalars(select(Journey).where(Journey.slug == slug)).one_or_none()
    if journey is None:
        journey = Journey(slug=slug, name=stored["name"], status="live", created_at=now)
        session.add(journey)
        session.flush()
    elif journey.version is not None and _graph(session, journey.id, journey.version) == stored:
        return journey.version
    number = (journey.version or 0) + 1
    session.add(Version(journey_id=journey.id, number=number, graph=stored, published_at=now, published_by=by))
    journey.version, journey.name = number, stored["name"]
    if journey.status in {"draft", "broken"}:
        _revive(session, journey)
    session.flush()
    return number


def pause(session: Session, slug: str) -> None:
    """Hold every run where it is; new ones begin and wait at their first step. Nothing is dropped."""
    _alone(session)
    journey = _journey(session, slug)
    if journey.status != "live":
        raise InvalidError(f"only a live journey can be paused; this one is {journey.status}")
    journey.status = "paused"
    session.execute(text("DELETE FROM wakeups w USING runs r WHERE r.id = w.run_id AND r.journey_id = :id"), {"id": journey.id})
    session.flush()


def resume(session: Session, slug: str) -> None:
    """Let a paused or broken journey go on: what came due meanwhile moves at once."""
    _alone(session)
    journey = _journey(session, slug)
    if journey.status not in {"paused", "broken"}:
        raise InvalidError(f"only a paused or broken journey can be resumed; this one is {journey.status}")
    _revive(session, journey)


def stop(session: Session, slug: str, *, now: dt.datetime) -> int:
    """End the journey and all its runs, and take back what was not yet sent; returns how many runs ended."""
    _alone(session)
    journey = _journey(session, slug)
    journey.status, journey.problem = "stopped", None
    ended = list(
        session.scalars(
            update(RunRow)
            .where(RunRow.journey_id == journey.id, RunRow.status == "active")
            .values(status="done", ended_at=now, end_reason="stopped", due_at=None)
            .returning(RunRow.id)
        )
    )
    session.execute(text("DELETE FROM wakeups WHERE run_id = ANY(:runs)"), {"runs": ended})
    outbox.withdraw(session, ended, "stopped", now)
    session.flush()
    return len(ended)


def _graph(session: Session, journey_id: int, number: int) -> dict[str, Any]:
    return session.scalars(select(Version.graph).where(Version.journey_id == journey_id, Version.number == number)).one()


def _journey(session: Session, slug: str) -> Journey:
    found = session.scalars(select(Journey).where(Journey.slug == slug)).one_or_none()
    if found is None:
        raise NotFoundError(f"there is no journey {slug!r}")
    return found


def _alone(session: Session) -> None:
    """No batch moves runs while the journey changes; those under way are waited for."""
    session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": board.LOCK})


def _revive(session: Session, journey: Journey) -> None:
    journey.status, journey.problem = "live", None
    session.execute(_WAKE_ALL, {"id": journey.id})
    session.flush()


_WAKE_ALL = text("""
    INSERT INTO wakeups (run_id, profile_id, due_at)
    SELECT id, profile_id, due_at FROM runs WHERE journey_id = :id AND status = 'active' AND due_at IS NOT NULL
    ON CONFLICT (run_id) DO NOTHING
""")
