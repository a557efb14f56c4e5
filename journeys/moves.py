"""What a join means for runs, and an undone one: two of one journey and key become the older; nameless carts are renamed."""

from __future__ import annotations

import datetime as dt
import uuid
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from crm.messages import outbox
from crm.profiles.move import on_move, on_part
from journeys import board, experiments, facts, runs, selling
from journeys.facts import Known, cart_of
from journeys.passage import Facts, Moment, react
from journeys.past import EVERY

FRESH = dt.timedelta(hours=24)  # a run whose time was over longer ago starts nothing any more


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of one run."""

    run_id: uuid.UUID
    profile_id: uuid.UUID
    key: str
    merged: bool
    double: bool  # another one means the same


def move_runs(session: Session, pairs: Sequence[tuple[uuid.UUID, uuid.UUID]], now: dt.datetime) -> None:
    """Give the runs of each first profile to the second, carts already refolded. The younger of two that mean the same ends `merged`."""
    if not pairs:
        return
    session.execute(text("SELECT pg_advisory_xact_lock_shared(:lock)"), {"lock": board.LOCK})
    into = dict(pairs)
    rows = session.execute(_RUNS, {"profiles": sorted({*into, *into.values()})}).all()
    if not rows:
        return
    known = facts.read(session, set(into.values()), {"cart"}, "")
    changes = decide(rows, into, known)
    _write(session, changes, now)
    merged = [each.run_id for each in changes if each.merged]
    outbox.withdraw(session, merged, "merged", now)
    selling.withdraw(session, merged, now)
    runs.tell(session, merged, now)
    end_by_log(session, [row.id for row in rows if row.status == "active"], now)
    if any(row.status != "active" for row in rows):
        runs.take_back_by_log(session, board.read(session), set(into.values()), now)


def end_by_log(session: Session, run_ids: Sequence[uuid.UUID], now: dt.datetime) -> None:
    """End those of these runs whose end stands in the log since they began: it came while it was another's, or while they were over."""
    if not run_ids:
        return
    among = set(run_ids)
    passages = [each for each in runs.active_of(session, board.read(session), _owners(session, among)) if each.id in among]
    later = facts.since_start(session, passages)
    for passage in passages:
        for event, _ in later.get(passage.profile_id, ()):
            if passage.active and event.name in passage.graph.exit_on:
                react(passage, event, Facts(), Moment(now), live=False)
    if ended := [each for each in passages if each.changed]:
        runs.save(session, ended, [], now)


def part_runs(session: Session, rest: uuid.UUID, alone: uuid.UUID, side: Collection[uuid.UUID], now: dt.datetime) -> None:
    """After an undone join a run goes where it came from, and one started meanwhile where the event went that started it; what was sent stays."""
    session.execute(text("SELECT pg_advisory_xact_lock_shared(:lock)"), {"lock": board.LOCK})
    both = {"rest": rest, "alone": alone, "side": list(side)}
    moved = session.execute(_BACK, both).all()
    session.execute(_CODES, both)
    if not moved:
        return
    rows = session.execute(_RUNS, {"profiles": sorted({rest, alone})}).all()
    changes = decide(rows, {}, facts.read(session, {rest, alone}, {"cart"}, ""))
    _write(session, changes, now)
    merged = [each.run_id for each in changes if each.merged]
    outbox.withdraw(session, merged, "merged", now)
    selling.withdraw(session, merged, now)
    runs.tell(session, merged, now)
    _revive(session, [each.run_id for each in changes if not each.double], now)
    for beside in _BESIDE:
        session.execute(beside, both)


def decide(rows: Sequence[Row[Any]], into: dict[uuid.UUID, uuid.UUID], known: Known) -> list[Change]:
    """Owner and key of each run, oldest first, and whether it ends here: a younger one gives way, also to a run that is over."""
    first: dict[tuple[uuid.UUID, int, str], uuid.UUID] = {}
    changes = []
    for row in rows:
        owner = into.get(row.profile_id, row.profile_id)
        key = _key_today(row, owner, known)
        double = first.setdefault((owner, row.journey_id, key), row.id) != row.id
        merged = double and row.status == "active"
        changes.append(Change(row.id, owner, f"{key}#{row.id}" if double else key, merged, double))
    return changes


def _key_today(row: Row[Any], owner: uuid.UUID, known: Known) -> str:
    """A nameless cart's key follows the cart that holds the run's start now; every other key is kept."""
    source_id, _, name = row.key.partition(":")
    if not name.startswith("~"):
        return str(row.key).removesuffix(f"#{row.id}")
    cart = cart_of(known.carts.get(owner, ()), runs.start_from(row.start))
    return f"{cart.source_id}:{cart.key}" if cart else f"{source_id}:{name.partition('#')[0]}"


def _revive(session: Session, run_ids: Sequence[uuid.UUID], now: dt.datetime) -> None:
    """Runs that gave way to another and mean something of their own again go on, unless their time is long over or what ends them came meanwhile."""
    revived = set(session.scalars(_REVIVE, {"runs": list(run_ids), "since": now - FRESH}))
    if not revived:
        return
    end_by_log(session, list(revived), now)
    session.execute(_WAIT, {"runs": list(revived)})


def _owners(session: Session, run_ids: Collection[uuid.UUID]) -> list[uuid.UUID]:
    return list(session.scalars(text("SELECT DISTINCT profile_id FROM runs WHERE id = ANY(:runs)"), {"runs": list(run_ids)}))


def _write(session: Session, changes: Sequence[Change], now: dt.datetime) -> None:
    """Two passes, since keys may change places and the unique key is checked row by row."""
    columns: dict[str, list[Any]] = defaultdict(list)
    for each in changes:
        columns["id"].append(each.run_id)
        columns["profile_id"].append(each.profile_id)
        columns["key"].append(each.key)
        columns["merged"].append(each.merged)
    session.execute(text("UPDATE runs SET key = key || '#' || id WHERE id = ANY(:id)"), {"id": columns["id"]})
    session.execute(_UPDATE, {**columns, "now": now})
    session.execute(text("DELETE FROM wakeups WHERE run_id = ANY(:runs)"), {"runs": [each.run_id for each in changes if each.merged]})


on_move.append(move_runs)
on_part.extend((part_runs, experiments.part_arms))  # which way a side took is read from its own runs

_RUNS = text("""
    SELECT id, profile_id, journey_id, key, status, start FROM runs WHERE profile_id = ANY(:profiles)
    ORDER BY started_at, id FOR UPDATE
""")
_BACK = text("""
    UPDATE runs r SET profile_id = :alone, given_id = NULLIF(r.given_id, CAST(:alone AS uuid)) WHERE r.profile_id = :rest
    AND (r.given_id = ANY(CAST(:side AS uuid[])) OR r.given_id IS NULL AND EXISTS (
        SELECT FROM events e WHERE e.profile_id = :alone AND e.accepted = CAST(r.start->>'accepted' AS bigint)
        AND e.occurred_at = CAST(r.start->>'occurred_at' AS timestamptz)))
    RETURNING r.id
""")
_BESIDE = tuple(
    text(f"UPDATE {table} t SET profile_id = r.profile_id FROM runs r WHERE r.id = t.run_id AND t.profile_id = :rest AND r.profile_id = :alone{more}")  # noqa: S608  our own fragments
    for table, more in (("wakeups", ""), ("run_steps", ""), ("messages", " AND t.status IN ('queued', 'held')"))
)
_CODES = text(f"""
    UPDATE coupons t SET profile_id = r.profile_id FROM {EVERY} r WHERE r.id = t.run_id AND t.profile_id = :rest AND r.profile_id = :alone
""")  # noqa: S608  our own words
_REVIVE = text("""
    UPDATE runs r SET status = 'active', ended_at = NULL, end_reason = NULL FROM journeys j
    WHERE r.id = ANY(:runs) AND r.status = 'done' AND r.end_reason = 'merged' AND (r.due_at IS NULL OR r.due_at > :since)
      AND j.id = r.journey_id AND j.status IN ('live', 'paused', 'broken')
    RETURNING r.id
""")
_WAIT = text("""
    INSERT INTO wakeups (run_id, profile_id, due_at)
    SELECT r.id, r.profile_id, r.due_at FROM runs r JOIN journeys j ON j.id = r.journey_id AND j.status = 'live'
    WHERE r.id = ANY(:runs) AND r.status = 'active' AND r.due_at IS NOT NULL ON CONFLICT DO NOTHING
""")
_UPDATE = text("""
    UPDATE runs r
    SET profile_id = n.profile_id, key = n.key,
        given_id = CASE WHEN r.profile_id <> n.profile_id THEN coalesce(r.given_id, r.profile_id) ELSE r.given_id END,
        status = CASE WHEN n.merged THEN 'done' ELSE r.status END,
        ended_at = CASE WHEN n.merged THEN CAST(:now AS timestamptz) ELSE r.ended_at END,
        end_reason = CASE WHEN n.merged THEN 'merged' ELSE r.end_reason END
    FROM unnest(CAST(:id AS uuid[]), CAST(:profile_id AS uuid[]), CAST(:key AS text[]), CAST(:merged AS bool[])) AS n(id, profile_id, key, merged)
    WHERE r.id = n.id
""")
