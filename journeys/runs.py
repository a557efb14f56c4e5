"""Runs in and out of the database, in sets."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, assert_never

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from crm.commerce.cart import cart_id
from crm.core.json import dumps
from crm.events.inbox import NewRow, append, system_event
from crm.events.models import LIVE, SYSTEM_SOURCE
from crm.events.spec import Call, Happened
from crm.messages import outbox
from crm.segments.rules.journey import STARTED
from journeys import asking, experiments, facts, listing, selling, webhooks
from journeys.board import Board
from journeys.node import ENDED, CallWebhook, ChangeDeal, ChangeList, Effect, Exposed, GiveOwner, MakeTask, RunEvent, SendEvent, SendMessage, SetTraits
from journeys.passage import Passage, seen

WITHDRAWING = ("exit:", "goal:", "merged", "stopped", "new_version", "dropped")  # endings that take back what was not yet sent


@dataclass(frozen=True, slots=True)
class Refused:
    """A trigger that matched and started nothing."""

    profile_id: uuid.UUID
    journey_id: int
    key: str
    reason: str
    detail: Mapping[str, Any] = field(default_factory=dict)


def active_of(session: Session, board: Board, profiles: Collection[uuid.UUID]) -> list[Passage]:
    """The active runs of these profiles, of journeys whose version can be read."""
    rows = session.execute(_ACTIVE, {"profiles": list(profiles)}).all()
    return [passage for row in rows if (passage := _passage(row, board))]


def _passage(row: Row[Any], board: Board) -> Passage | None:
    standing = board.journeys.get(row.journey_id)
    graph = standing.graphs.get(row.version) if standing else None
    if standing is None or graph is None or row.node not in graph.nodes:
        return None
    return Passage(
        id=row.id,
        profile_id=row.profile_id,
        journey_id=row.journey_id,
        slug=standing.slug,
        version=row.version,
        graph=graph,
        key=row.key,
        node=row.node,
        start=start_from(row.start),
        started_at=row.started_at,
        entered_at=row.entered_at,
        data=row.data or {},
        hops=row.hops,
        round=row.round,
        steps=row.steps,
        due_at=row.due_at,
        error=row.error,
        held=standing.held,
    )


def start_from(stored: Mapping[str, Any]) -> RunEvent:
    """The event in a run's `start`."""
    at = dt.datetime.fromisoformat(stored["occurred_at"])
    return RunEvent(stored["name"], at, stored["accepted"], stored["source_id"], stored["properties"])


def start_to(event: RunEvent) -> dict[str, Any]:
    """A run's `start`."""
    return {
        "name": event.name,
        "occurred_at": event.occurred_at.isoformat(),
        "accepted": event.accepted,
        "source_id": event.source_id,
        "properties": dict(event.properties),
    }


def save(session: Session, passages: Sequence[Passage], new: Sequence[Passage], now: dt.datetime) -> None:
    """Write what moving brought about. A new run whose key is taken leaves no trace."""
    taken = {passage.id for passage in new} - _insert(session, new)
    changed = [passage for passage in passages if passage.changed]
    _update(session, changed)
    written = changed + [passage for passage in new if passage.id not in taken]
    _insert_steps(session, written)
    _wakeups(session, written)
    _messages(session, written, now)
    webhooks.queue(session, [(p, node, round_, each) for p in written for node, round_, each in p.effects if isinstance(each, CallWebhook)], now)
    break_journeys(session, listing.change(session, written, now) | selling.apply(session, written, now))
    experiments.expose(session, written, now)
    said = [row for passage in written for each in passage.effects if (row := _said(passage, *each))]
    started = [_started(passage) for passage in new if passage.id not in taken]
    append(session, started + said + [_ended(passage) for passage in written if not passage.active], now)


def take_back(session: Session, board: Board, events: Sequence[Happened], now: dt.datetime) -> None:
    """What would have ended a run takes back what a run already over has waiting, or on its way, should it come back."""
    ending = _ending(board)
    mine: dict[uuid.UUID, list[RunEvent]] = {}
    for event in events:
        if event.name in ending:
            mine.setdefault(event.profile_id, []).append(seen(event))
    _withdraw(session, board, session.execute(_PENDING, {"profiles": list(mine)}).all() if mine else (), mine, now)


def take_back_by_log(session: Session, board: Board, profiles: Collection[uuid.UUID], now: dt.datetime) -> None:
    """The same, by what the log of these people holds since: it came while it was another's."""
    pending = session.execute(_PENDING, {"profiles": list(profiles)}).all()
    begun = [(row.profile_id, start_from(row.start).occurred_at) for row in pending]
    later = facts.since(session, begun, _ending(board))
    _withdraw(session, board, pending, {profile: [event for event, _ in events] for profile, events in later.items()}, now)


def _ending(board: Board) -> frozenset[str]:
    """Names of the events that end runs of any version."""
    return frozenset[str]().union(*(graph.exit_on for standing in board.journeys.values() for graph in standing.graphs.values()))


def _withdraw(session: Session, board: Board, pending: Sequence[Row[Any]], mine: Mapping[uuid.UUID, Sequence[RunEvent]], now: dt.datetime) -> None:
    gone: dict[str, list[uuid.UUID]] = {}
    for row in pending:
        standing = board.journeys.get(row.journey_id)
        graph, start = standing.graphs.get(row.version) if standing else None, start_from(row.start)
        for each in mine.get(row.profile_id, ()) if graph else ():
            rule = graph.ends(start, each) if graph and each.order > start.order else None
            if rule:
                gone.setdefault(f"{'goal' if rule.goal else 'exit'}:{each.name}", []).append(row.run_id)
    for reason, ids in gone.items():
        outbox.withdraw(session, ids, reason, now)


def refuse(session: Session, refused: Iterable[Refused], now: dt.datetime) -> None:
    """Keep why a trigger started nothing."""
    rows = [{"profile": r.profile_id, "journey": r.journey_id, "key": r.key, "reason": r.reason, "detail": dumps(r.detail), "at": now} for r in refused]
    if rows:
        session.execute(
            text(
                "INSERT INTO entry_refusals (profile_id, journey_id, key, reason, detail, at)"
                " VALUES (:profile, :journey, :key, :reason, CAST(:detail AS jsonb), :at)"
            ),
            rows,
        )


def break_journeys(session: Session, problems: Mapping[int, str]) -> None:
    """Switch journeys to `broken`, with the problem; their runs stay where they are and wake no more until someone resumes."""
    for journey_id in sorted(problems):
        session.execute(
            text("UPDATE journeys SET status = 'broken', problem = :problem WHERE id = :id AND status IN ('live', 'paused')"),
            {"id": journey_id, "problem": problems[journey_id]},
        )


def fail(session: Session, profile_id: uuid.UUID, error: str, now: dt.datetime) -> int:
    """Park what is due of one person where it stands, with the error, until someone lets it go on; returns how many runs that was."""
    failed = session.scalars(_FAIL, {"profile": profile_id, "error": error, "now": now}).all()
    session.execute(text("DELETE FROM wakeups WHERE run_id = ANY(:runs)"), {"runs": failed})
    tell(session, failed, now)
    return len(failed)


def _insert(session: Session, new: Sequence[Passage]) -> set[uuid.UUID]:
    if not new:
        return set()
    rows = [
        _row(p)
        | {"profile_id": p.profile_id, "journey_id": p.journey_id, "version": p.version, "key": p.key, "started_at": p.started_at}
        | {"start": start_to(p.start), "hops": p.hops}
        for p in new
    ]
    return set(session.scalars(_INSERT, {"rows": dumps(rows)}))


def _update(session: Session, changed: Sequence[Passage]) -> None:
    if changed:
        session.execute(_UPDATE, {"rows": dumps([_row(p) for p in changed])})


def _row(p: Passage) -> dict[str, Any]:
    """What moving may change. Rows go to the database as one JSON text: far cheaper to write than many arrays."""
    return {
        "id": p.id,
        "node": p.node,
        "round": p.round,
        "status": p.status,
        "entered_at": p.entered_at,
        "due_at": p.due_at,
        "steps": p.steps,
        "ended_at": p.ended_at,
        "end_reason": p.end_reason,
        "error": p.error,
        "data": dict(p.data) or None,
    }


def _insert_steps(session: Session, passages: Sequence[Passage]) -> None:
    steps = [{"p": p.profile_id, "r": p.id, "n": s.node, "o": s.round, "i": s.number, "e": s.exit, "d": s.why, "t": s.at} for p in passages for s in p.passed]
    if steps:
        session.execute(_STEPS, {"rows": dumps(steps)})


def _wakeups(session: Session, passages: Sequence[Passage]) -> None:
    """One row for each run that may be woken; none for one that is over or held."""
    waiting = [{"r": p.id, "p": p.profile_id, "d": p.due_at} for p in passages if p.active and p.due_at is not None and not p.held]
    gone = [p.id for p in passages if not p.active or p.due_at is None or p.held]
    if gone:
        session.execute(text("DELETE FROM wakeups WHERE run_id = ANY(:runs)"), {"runs": gone})
    if waiting:
        session.execute(_WAKEUPS, {"rows": dumps(waiting)})


def _messages(session: Session, passages: Sequence[Passage], now: dt.datetime) -> None:
    asked = [(passage, node, round_, effect) for passage in passages for node, round_, effect in passage.effects if isinstance(effect, SendMessage)]
    if asked:
        coupons = asking.given(session, [each[0] for each in asked])
        outbox.queue(session, [_request(*each, coupons) for each in asked], now)
    taken_back: dict[str, list[uuid.UUID]] = {}
    for passage in passages:
        if passage.end_reason and passage.end_reason.startswith(WITHDRAWING):
            taken_back.setdefault(passage.end_reason, []).append(passage.id)
    for reason, runs in taken_back.items():
        outbox.withdraw(session, runs, reason, now)


def _request(passage: Passage, node: str, round_: int, effect: SendMessage, coupons: Mapping[uuid.UUID, Mapping[str, Any]]) -> outbox.Request:
    cart = cart_ref(passage.start)
    data: dict[str, Any] = {"event": dict(passage.start.properties)} | ({"cart": cart} if passage.graph.key == "cart" else {})
    return outbox.Request(
        profile_id=passage.profile_id,
        run_id=passage.id,
        journey=passage.slug,
        node=node,
        round=round_,
        channel=effect.channel,
        template=effect.template,
        relevant_if=_still(passage, cart if effect.while_cart_open else None),
        data=data | ({"run": dict(passage.data)} if passage.data else {}) | ({"coupon": coupons[passage.id]} if passage.id in coupons else {}),
        hops=passage.hops + 1,
        cause=f"run:{passage.id}",
    )


def _still(passage: Passage, cart: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What the gate asks again at the last moment: what the message wants, and what the start does."""
    wanted = dict(passage.graph.trigger.holds(passage.graph.trigger_settings, passage.start) or {})
    return (wanted | ({"cart": cart} if cart else {})) or None


def _said(passage: Passage, node: str, round_: int, effect: Effect) -> NewRow | None:
    """What a node tells the log; under one number for ever, so that a doubled task says it once."""
    number, cause = f"run:{passage.id}:{node}:{round_}", f"run:{passage.id}"
    match effect:
        case SendMessage() | CallWebhook() | ChangeList() | Exposed() | MakeTask() | GiveOwner() | ChangeDeal():
            return None
        case SendEvent(name, properties):
            return system_event(name, passage.profile_id, dict(properties), cause=cause, hops=passage.hops + 1, message_id=number)
        case SetTraits(traits):
            call = Call(type="identify", profile_id=str(passage.profile_id), message_id=number, traits=dict(traits))
            return NewRow(SYSTEM_SOURCE, trusted=True, origin=LIVE, body=call, hops=passage.hops + 1, cause=cause)
        case _:
            assert_never(effect)


def tell(session: Session, ids: Collection[uuid.UUID], now: dt.datetime) -> None:
    """Say how it stands with runs that were changed elsewhere than on their way: over by a join, or going on again."""
    said = []
    for row in session.execute(_STANDING, {"ids": list(ids)}) if ids else ():
        about = {"journey": row.slug, "version": row.version, "run_id": str(row.id)}
        about |= {} if row.status == "active" else {"reason": row.end_reason, "how": str(row.end_reason).partition(":")[0]}
        said.append(system_event(STARTED if row.status == "active" else ENDED, row.profile_id, about, cause=f"run:{row.id}", hops=row.hops + 1))
    append(session, said, now)


def cart_ref(event: RunEvent) -> dict[str, Any]:
    """How a run names its cart: stays true when a join renames nameless carts."""
    return {"source_id": event.source_id, "key": cart_id(dict(event.properties)), "at": event.occurred_at.isoformat()}


def _started(passage: Passage) -> NewRow:
    """The event that tells the log a run began."""
    said = {"journey": passage.slug, "version": passage.version, "run_id": str(passage.id)}
    return system_event(STARTED, passage.profile_id, said, cause=f"run:{passage.id}", hops=passage.hops + 1, message_id=f"run:{passage.id}:started")


def _ended(passage: Passage) -> Any:
    """The event that tells the log a run is over; `how` is the reason without what it was."""
    reason = passage.end_reason or ""
    said = {"journey": passage.slug, "version": passage.version, "run_id": str(passage.id), "reason": reason, "how": reason.partition(":")[0]}
    return system_event(ENDED, passage.profile_id, said, cause=f"run:{passage.id}", hops=passage.hops + 1, message_id=f"run:{passage.id}:ended")


_ACTIVE = text("""
    SELECT id, profile_id, journey_id, version, key, node, round, started_at, entered_at, due_at, steps, start, hops, error, data
    FROM runs WHERE status = 'active' AND profile_id = ANY(:profiles)
    ORDER BY started_at, id
""")
_STANDING = text("""
    SELECT r.id, r.profile_id, r.version, r.status, r.end_reason, r.hops, j.slug FROM runs r JOIN journeys j ON j.id = r.journey_id
    WHERE r.id = ANY(CAST(:ids AS uuid[])) ORDER BY r.id
""")
_PENDING = text("""
    SELECT DISTINCT m.run_id, m.profile_id, r.journey_id, r.version, r.start
    FROM messages m JOIN runs r ON r.id = m.run_id
    WHERE m.profile_id = ANY(:profiles) AND m.status IN ('queued', 'held', 'sending') AND r.status <> 'active'
""")
_FIELDS = """id uuid, node text, round smallint, status text, entered_at timestamptz, due_at timestamptz, steps smallint,
        ended_at timestamptz, end_reason text, error text, data jsonb"""
_FAIL = text("""
    UPDATE runs r SET status = 'failed', ended_at = :now, end_reason = 'not_written', error = :error, due_at = NULL
    FROM wakeups w WHERE w.run_id = r.id AND w.profile_id = :profile AND w.due_at <= :now AND r.status = 'active' RETURNING r.id
""")
_INSERT = text(f"""
    INSERT INTO runs (id, profile_id, journey_id, version, key, node, round, status, started_at,
                      entered_at, due_at, steps, start, hops, ended_at, end_reason, error, data)
    SELECT id, profile_id, journey_id, version, key, node, round, status, started_at,
           entered_at, due_at, steps, start, hops, ended_at, end_reason, error, data
    FROM json_to_recordset(CAST(:rows AS json)) AS n(
        {_FIELDS}, profile_id uuid, journey_id int, version int, key text, started_at timestamptz, start jsonb, hops smallint)
    ON CONFLICT (profile_id, journey_id, key) DO NOTHING
    RETURNING id
""")  # noqa: S608  our own column names
_UPDATE = text(f"""
    UPDATE runs r
    SET node = n.node, round = n.round, status = n.status, entered_at = n.entered_at, due_at = n.due_at, steps = n.steps,
        ended_at = n.ended_at, end_reason = n.end_reason, error = n.error, data = n.data
    FROM json_to_recordset(CAST(:rows AS json)) AS n({_FIELDS})
    WHERE r.id = n.id
""")  # noqa: S608  our own column names
_STEPS = text("""
    INSERT INTO run_steps (profile_id, run_id, node, round, number, exit, detail, at)
    SELECT p, r, n, o, i, e, d, t
    FROM json_to_recordset(CAST(:rows AS json)) AS n(p uuid, r uuid, n text, o smallint, i smallint, e text, d jsonb, t timestamptz)
    ON CONFLICT DO NOTHING
""")
_WAKEUPS = text("""
    INSERT INTO wakeups (run_id, profile_id, due_at)
    SELECT r, p, d FROM json_to_recordset(CAST(:rows AS json)) AS n(r uuid, p uuid, d timestamptz)
    ON CONFLICT (run_id) DO UPDATE SET profile_id = excluded.profile_id, due_at = excluded.due_at
""")
