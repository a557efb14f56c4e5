"""Answers to what nodes ask of the engine: codes of a pool, places of a rate limit, what a person did. Found for many runs at once, each once."""

from __future__ import annotations

import datetime as dt
import uuid
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.core.clock import scaled
from crm.core.crypto import Keys
from journeys import experiments, looking, offers, surveys
from journeys.node import Coupon, Look, Recommend, Slot, Survey, Winner
from journeys.passage import Moment, Passage

EPOCH = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
AHEAD = 100_000  # stretches of time looked through for a free place


def answers(session: Session, passages: Sequence[Passage], moment: Moment, keys: Keys) -> dict[uuid.UUID, object]:
    """run -> its answer, for every run that asks."""
    found: dict[uuid.UUID, object] = {}
    pools: dict[Coupon, list[Passage]] = defaultdict(list)
    queues: dict[tuple[int, str, Slot], list[Passage]] = defaultdict(list)
    for passage in passages:
        if isinstance(passage.asking, Coupon):
            pools[passage.asking].append(passage)
        elif isinstance(passage.asking, Slot):
            queues[passage.journey_id, passage.node, passage.asking].append(passage)
    polled = [(passage, passage.asking) for passage in passages if isinstance(passage.asking, Survey)]
    if polled:
        found |= surveys.may_ask(session, polled, keys, moment.now)
    contested = [(passage, (passage.journey_id, passage.asking.salt)) for passage in passages if isinstance(passage.asking, Winner)]
    if contested:
        ways = experiments.won(session, {key for _, key in contested})
        found |= {passage.id: ways.get(key) for passage, key in contested}
    wondering = [(passage, passage.asking) for passage in passages if isinstance(passage.asking, Recommend)]
    if wondering:
        found |= offers.answers(session, wondering, moment.now)
    looking_at = [(passage, passage.asking) for passage in passages if isinstance(passage.asking, Look)]
    if looking_at:
        found |= looking.answers(session, looking_at, keys, moment.now)
    for pool in sorted(pools, key=lambda each: (each.pool, each.at_most or 0)):
        found |= _codes(session, pool, pools[pool], moment.now)
    for queue in sorted(queues, key=lambda each: each[:2]):
        found |= _places(session, queue, queues[queue], moment)
    return found


def _codes(session: Session, question: Coupon, passages: Sequence[Passage], now: dt.datetime) -> dict[uuid.UUID, object]:
    """A free code each, no two the same whoever else takes some; who has one of this pool under this key gets it again."""
    columns = {
        "runs": [p.id for p in passages],
        "profiles": [p.profile_id for p in passages],
        "journeys": [p.journey_id for p in passages],
        "keys": [p.key for p in passages],
    }
    had: dict[uuid.UUID, object] = {row.run_id: row.code for row in session.execute(_HAD, {"pool": question.pool, **columns})}
    new, enough = _within(session, question, [p for p in passages if p.id not in had])
    free = list(session.scalars(_FREE, {"pool": question.pool, "many": len(new)})) if new else []
    taken = list(zip(new, free, strict=False))
    if taken:
        said: dict[str, Any] = {"ids": [code for _, code in taken], "runs": [p.id for p, _ in taken], "profiles": [p.profile_id for p, _ in taken]}
        said |= {"journeys": [p.journey_id for p, _ in taken], "keys": [p.key for p, _ in taken], "now": now}
        had |= {row.run_id: row.code for row in session.execute(_GIVE, said)}
    return {p.id: had.get(p.id) for p in passages} | {p.id: False for p in enough}


def _within(session: Session, question: Coupon, passages: Sequence[Passage]) -> tuple[list[Passage], list[Passage]]:
    """Who may have one more code of the pool, and who has had enough."""
    if question.at_most is None or not passages:
        return list(passages), []
    many: Counter[uuid.UUID] = Counter()
    for row in session.execute(_MANY, {"pool": question.pool, "profiles": list({p.profile_id for p in passages})}):
        many[row.profile_id] = row.many
    may: list[Passage] = []
    enough: list[Passage] = []
    for passage in passages:
        many[passage.profile_id] += 1
        (may if many[passage.profile_id] <= question.at_most else enough).append(passage)
    return may, enough


def given(session: Session, passages: Sequence[Passage]) -> dict[uuid.UUID, Mapping[str, Any]]:
    """run -> pool -> code, of runs whose graph gives coupons; `code` names it where there is but one."""
    giving = [p.id for p in passages if any(spot.node.kind == "coupon" for spot in p.graph.nodes.values())]
    found: dict[uuid.UUID, Mapping[str, Any]] = {}
    if giving:
        for run_id, pool, code in session.execute(_GIVEN, {"runs": giving}):
            found[run_id] = {**found.get(run_id, {}), pool: code, "code": code}
    return found


def _places(session: Session, queue: tuple[int, str, Slot], passages: Sequence[Passage], moment: Moment) -> dict[uuid.UUID, object]:
    """The first stretches with a free place, in the order of asking. Others who ask wait for this transaction."""
    journey_id, node, slot = queue
    period = scaled(slot.period, moment.time_scale)
    session.execute(text("SELECT pg_advisory_xact_lock(:journey, hashtext(:node))"), {"journey": journey_id, "node": node})
    first = EPOCH + ((moment.now - EPOCH) // period) * period
    rows = session.execute(_USED, {"journey": journey_id, "node": node, "first": first})
    used: dict[dt.datetime, int] = {row[0]: row[1] for row in rows}
    found: dict[uuid.UUID, object] = {}
    begins, touched = first, set()
    for passage in passages:
        for _ in range(AHEAD):
            if used.get(begins, 0) < slot.limit:
                break
            begins += period
        used[begins] = used.get(begins, 0) + 1
        touched.add(begins)
        found[passage.id] = max(begins, moment.now)
    taken = sorted(touched)
    session.execute(_USE, {"journey": journey_id, "node": node, "begins": taken, "used": [used[each] for each in taken]})
    return found


_HAD = text("""
    SELECT a.run_id, c.code
    FROM unnest(CAST(:runs AS uuid[]), CAST(:profiles AS uuid[]), CAST(:journeys AS int[]), CAST(:keys AS text[])) AS a(run_id, profile_id, journey_id, key)
    JOIN coupons c ON c.pool = :pool AND c.profile_id = a.profile_id AND c.given_at IS NOT NULL
    AND (c.run_id = a.run_id OR c.journey_id = a.journey_id AND c.key = a.key)  -- a join of people leaves the run, and gives the key another name
""")
_GIVEN = text("SELECT run_id, pool, code FROM coupons WHERE run_id = ANY(:runs) ORDER BY given_at, id")
_MANY = text("""
    SELECT profile_id, count(*) AS many FROM coupons
    WHERE pool = :pool AND profile_id = ANY(CAST(:profiles AS uuid[])) AND given_at IS NOT NULL GROUP BY profile_id
""")
_FREE = text("SELECT id FROM coupons WHERE pool = :pool AND given_at IS NULL ORDER BY id LIMIT :many FOR UPDATE SKIP LOCKED")
_GIVE = text("""
    UPDATE coupons c SET run_id = n.run_id, profile_id = n.profile_id, journey_id = n.journey_id, key = n.key, given_at = :now
    FROM unnest(CAST(:ids AS bigint[]), CAST(:runs AS uuid[]), CAST(:profiles AS uuid[]), CAST(:journeys AS int[]), CAST(:keys AS text[]))
        AS n(id, run_id, profile_id, journey_id, key)
    WHERE c.id = n.id RETURNING c.run_id, c.code
""")
_USED = text("SELECT begins_at, used FROM journey_slots WHERE journey_id = :journey AND node = :node AND begins_at >= :first ORDER BY begins_at")
_USE = text("""
    INSERT INTO journey_slots (journey_id, node, begins_at, used)
    SELECT :journey, :node, * FROM unnest(CAST(:begins AS timestamptz[]), CAST(:used AS int[]))
    ON CONFLICT (journey_id, node, begins_at) DO UPDATE SET used = excluded.used
""")
