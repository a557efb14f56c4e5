"""Publishing, pausing, resuming, stopping: each alone, while no batch moves runs."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from crm.core.errors import InvalidError, NotFoundError
from crm.messages import outbox
from journeys import audiences, board, moves, selling, waves, webhooks
from journeys.changes import node_change
from journeys.graph import parse
from journeys.models import Journey, RunRow, Version
from journeys.runs import tell


def publish(session: Session, slug: str, graph: object, *, now: dt.datetime, by: str | None = None) -> int:
    """Make this graph the one new runs follow; returns its version number. Runs under way stay on theirs.

    A graph equal to the current one adds no version. A new journey goes live at once; a broken one is live again, or
    paused where it broke during a pause: going on is for a person to choose.
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
    if journey.status == "broken" and journey.paused_at is not None:
        journey.status, journey.problem = "paused", None
    elif journey.status in {"draft", "broken"}:
        _revive(session, journey)
    session.flush()
    return number


@dataclass(frozen=True, slots=True)
class Choice:
    """What becomes of people on nodes that changed: `old` they finish as they began, `same` they stay on their node in its new form,
    `chosen` they go to the node `to` names, `exit` their run ends. Those on unchanged nodes take the new version, unless `old`."""

    move: str = "old"
    to: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Published:
    """The version, how many runs took it over, and how many ended."""

    version: int
    moved: int = 0
    ended: int = 0


CHOICES = ("old", "same", "chosen", "exit")
STANDING = ("active", "failed")  # a failed one too: it goes on from there
RESUMES = ("catch_up", "shift", "drop")


def publish_moving(session: Session, slug: str, graph: object, *, choice: Choice, now: dt.datetime, by: str | None = None) -> Published:
    """Publish, and bring people under way to where `choice` says. Raises InvalidError also where a chosen node is not there."""
    number = publish(session, slug, graph, now=now, by=by)
    if choice.move == "old":
        return Published(number)
    journey = _journey(session, slug)
    nodes = _graph(session, journey.id, number)["nodes"]
    if choice.move == "chosen" and (missing := sorted(set(choice.to.values()) - set(nodes))):
        raise InvalidError(f"people cannot go to {', '.join(missing)}: there is no such node in the new version")
    versions = {each.number: each.graph["nodes"] for each in session.scalars(select(Version).where(Version.journey_id == journey.id))}
    onto: list[tuple[uuid.UUID, str, bool]] = []
    freed = set[str]()
    over: list[uuid.UUID] = []
    wanted = select(RunRow.id, RunRow.version, RunRow.node).where(RunRow.journey_id == journey.id, RunRow.status.in_(STANDING), RunRow.version != number)
    for run_id, version, node in session.execute(wanted):
        change = node_change(versions[version].get(node), nodes.get(node))
        target = choice.to.get(node) if choice.move == "chosen" and change else node
        if change and choice.move == "exit":
            over.append(run_id)
        elif target is not None and target in nodes:
            onto.append((run_id, target, bool(change)))
            freed |= {node} if change else set()
    _move(session, journey, number, onto, now)
    session.execute(_FREE, {"id": journey.id, "nodes": sorted(freed), "now": now})
    _end(session, over, "new_version", now)
    return Published(number, len(onto), len(over))


def _move(session: Session, journey: Journey, number: int, onto: Sequence[tuple[uuid.UUID, str, bool]], now: dt.datetime) -> None:
    """Onto the new version; who stands on something that changed decides anew at once, as if just come: a place somebody waited for is given back."""
    columns = {"ids": [each[0] for each in onto], "nodes": [each[1] for each in onto], "anew": [each[2] for each in onto]}
    session.execute(_MOVE, {**columns, "number": number, "now": now})
    if journey.status == "live":
        _wake(session, [each[0] for each in onto if each[2]])


def _end(session: Session, runs: Sequence[uuid.UUID], reason: str, now: dt.datetime) -> None:
    session.execute(_END, {"runs": list(runs), "reason": reason, "now": now})
    session.execute(text("DELETE FROM wakeups WHERE run_id = ANY(:runs)"), {"runs": list(runs)})
    outbox.withdraw(session, runs, reason, now)
    selling.withdraw(session, runs, now)
    tell(session, runs, now)


def pause(session: Session, slug: str, *, now: dt.datetime) -> None:
    """Hold every run where it is and every message not yet on its way; new runs begin and wait at their first step. Nothing is dropped."""
    _alone(session)
    journey = _journey(session, slug)
    if journey.status != "live":
        raise InvalidError(f"only a live journey can be paused; this one is {journey.status}")
    journey.status, journey.paused_at = "paused", now
    session.execute(text("DELETE FROM wakeups w USING runs r WHERE r.id = w.run_id AND r.journey_id = :id"), {"id": journey.id})
    outbox.hold(session, slug, now)
    session.flush()


def resume(session: Session, slug: str, *, now: dt.datetime, how: str = "catch_up") -> None:
    """Let a paused or broken journey go on, or a stopped one begin again with nobody in it.

    `catch_up`: what came due meanwhile moves at once; `shift`: every wait lasts longer by the pause; `drop`: runs that came due
    meanwhile end, and nobody more of an audience or a wave comes in.

    Since when a journey is broken is not written down: no wait can be made longer by that. What is due then came due meanwhile, for until then it moved.
    """
    _alone(session)
    journey = _journey(session, slug)
    if journey.status not in {"paused", "broken", "stopped"}:
        raise InvalidError(f"only a paused, broken or stopped journey can be resumed; this one is {journey.status}")
    if how not in RESUMES:
        raise InvalidError(f"a journey is resumed by one of {', '.join(RESUMES)}")
    if how == "shift" and journey.paused_at is None:
        raise InvalidError("it was not paused: no wait can be made longer by the pause")
    asked = {"id": journey.id, "since": journey.paused_at, "now": now}
    if how == "shift":
        session.execute(_SHIFT, asked)
        webhooks.shift(session, journey.id)
    elif how == "drop":
        _end(session, list(session.scalars(_MISSED, asked)), "dropped", now)
        audiences.close(session, journey.id, "dropped", now)
        waves.close(session, journey.id, "dropped")
    audiences.go_on(session, journey.id, journey.paused_at, now)
    journey.paused_at = None
    outbox.release(session, slug, now)
    _revive(session, journey)


def stop(session: Session, slug: str, *, now: dt.datetime) -> int:
    """End the journey and all its runs, failed ones too, and take back what was not yet sent; returns how many runs ended."""
    _alone(session)
    journey = _journey(session, slug)
    journey.status, journey.problem, journey.paused_at = "stopped", None, None
    ended = list(session.scalars(select(RunRow.id).where(RunRow.journey_id == journey.id, RunRow.status.in_(STANDING))))
    _end(session, ended, "stopped", now)
    outbox.withdraw(session, outbox.waiting_runs(session, slug), "stopped", now)
    audiences.close(session, journey.id, "stopped", now)
    waves.close(session, journey.id, "stopped")
    session.flush()
    return len(ended)


def retry(session: Session, slug: str, *, now: dt.datetime) -> int:
    """Let every failed run of a journey go on from where it stands; returns how many. What would have ended one meanwhile ends it now."""
    _alone(session)
    journey = _journey(session, slug)
    again = list(session.scalars(_RETRY, {"id": journey.id, "now": now}))
    moves.end_by_log(session, again, now)
    tell(session, again, now)
    if journey.status == "live":
        _wake(session, again)
    return len(again)


def _wake(session: Session, runs: Sequence[uuid.UUID]) -> None:
    session.execute(_WAKE, {"runs": list(runs)})


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


_END = text("UPDATE runs SET status = 'done', ended_at = :now, end_reason = :reason, due_at = NULL WHERE id = ANY(:runs)")
_WAKE_ALL = text("""
    INSERT INTO wakeups (run_id, profile_id, due_at)
    SELECT id, profile_id, due_at FROM runs WHERE journey_id = :id AND status = 'active' AND due_at IS NOT NULL
    ON CONFLICT (run_id) DO NOTHING
""")
_WAKE = text("""
    INSERT INTO wakeups (run_id, profile_id, due_at)
    SELECT id, profile_id, due_at FROM runs WHERE id = ANY(:runs) AND due_at IS NOT NULL
    ON CONFLICT (run_id) DO UPDATE SET due_at = excluded.due_at
""")
_SHIFT = text("""
    UPDATE runs SET due_at = due_at + (CAST(:now AS timestamptz) - greatest(entered_at, started_at, CAST(:since AS timestamptz))),
                    entered_at = entered_at + (CAST(:now AS timestamptz) - greatest(entered_at, started_at, CAST(:since AS timestamptz)))
    WHERE journey_id = :id AND status = 'active' AND due_at IS NOT NULL
""")
_MISSED = text("""
    SELECT id FROM runs WHERE journey_id = :id AND status = 'active' AND due_at <= :now
    AND (CAST(:since AS timestamptz) IS NULL OR due_at >= CAST(:since AS timestamptz))
""")
_RETRY = text("""
    UPDATE runs SET status = 'active', steps = 0, error = NULL, ended_at = NULL, end_reason = NULL, due_at = :now
    WHERE journey_id = :id AND status = 'failed' RETURNING id
""")
_MOVE = text("""
    UPDATE runs r
    SET version = :number, node = n.node,
        round = CASE WHEN r.node = n.node THEN r.round
                ELSE (SELECT count(*) FROM run_steps s WHERE s.profile_id = r.profile_id AND s.run_id = r.id AND s.node = n.node) END,
        entered_at = CASE WHEN r.node = n.node THEN r.entered_at ELSE :now END,
        due_at = CASE WHEN r.status <> 'active' THEN NULL WHEN NOT n.anew THEN r.due_at WHEN r.node = n.node THEN least(r.entered_at, :now) ELSE :now END
    FROM unnest(CAST(:ids AS uuid[]), CAST(:nodes AS text[]), CAST(:anew AS bool[])) AS n(id, node, anew)
    WHERE r.id = n.id
""")
_FREE = text("DELETE FROM journey_slots WHERE journey_id = :id AND node = ANY(CAST(:nodes AS text[])) AND begins_at > :now")
