"""How fast runs move: many waking at once, an event on its way to a queued message, and what a million runs cost in memory."""

from __future__ import annotations

import datetime as dt
import itertools
import multiprocessing
import resource
import time
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session, sessionmaker

from crm.core import clock
from crm.core.config import Config
from crm.core.db import engine_for, sessions
from crm.core.partitions import ensure, month_bounds
from crm.events.inbox import Waiting, as_text
from crm.events.models import LIVE
from crm.events.read import read
from crm.events.spec import Call
from journeys import publish
from journeys.engine import wake_due
from workers import pipeline
from workers.batches import uncollected
from workers.bench import Measure, begin
from workers.tasks import BATCH

WORKERS, SHOP, JOURNEYS = 2, 10, 50
PER_SECOND = 200
DRAWING: dict[str, Any] = {
    "name": {"en": "Bench"},
    "trigger": {"kind": "event", "settings": {"event": "Bench Began", "key": "event"}},
    "entry": "wait",
    "nodes": {
        "wait": {"kind": "wait", "settings": {"for": "1h"}, "exits": {"next": "which"}},
        "which": {"kind": "split", "settings": {"salt": "s", "shares": [{"exit": "a", "percent": 50}, {"exit": "b", "percent": 50}]},
                  "exits": {"a": "mail", "b": "rest"}},
        "mail": {"kind": "send", "settings": {"template": "bench"}, "exits": {"next": "rest"}},
        "rest": {"kind": "wait", "settings": {"for": "30d"}, "exits": {"next": "end"}},
        "end": {"kind": "stop"},
    },
}  # fmt: skip
AT_ONCE = {**DRAWING, "entry": "mail", "nodes": {"mail": {**DRAWING["nodes"]["mail"], "exits": {"next": "end"}}, "end": {"kind": "stop"}}}


def run(config: Config, quick: bool) -> list[Measure]:
    """`wake_rate`: runs/s of those due among all waiting, two workers, half of them send; floor: a bare UPDATE of as many rows.

    `trigger_to_queue_p99`: ms from the moment an event is due to the commit of its message, at 200 events/s with 50 live journeys; floor: the same of
    events that start nothing.
    `runs_memory`: MB a worker holds at most over the last third of the runs; its floor is the middle third.
    """
    waiting, due = (60_000, 20_000) if quick else (1_000_000, 50_000)
    begin(f"putting {waiting:,} runs to wait")
    engine = engine_for(config.database_url)
    maker = sessions(engine)
    now = clock.now()
    with maker() as session:
        session.execute(text("INSERT INTO templates (name, channel, topic, purpose, version) VALUES ('bench', 'email', 'news', 'marketing', 1)"))
        publish.publish(session, "bench", DRAWING, now=now)
        _fill(session, waiting, due, now)
        session.commit()
    measures = [_wake(config, maker, due, now)]
    measures.append(_latency(config, maker, 400 if quick else 6_000))
    measures.append(_memory(config, maker, 30_000 if quick else 1_000_000))
    engine.dispose()
    return measures


def _fill(session: Session, waiting: int, due: int, now: dt.datetime) -> None:
    """Runs at the first wait; `due` of them, spread evenly, have waited long enough."""
    session.execute(text(_PEOPLE), {"many": waiting, "now": now})
    session.execute(text(_RUNS), {"began": now - dt.timedelta(hours=2), "past": now - dt.timedelta(hours=1), "later": now + dt.timedelta(days=30),
                                  "every": waiting // due})  # fmt: skip
    session.execute(text("INSERT INTO wakeups (run_id, profile_id, due_at) SELECT id, profile_id, due_at FROM runs"))
    session.commit()
    session.execute(text("ANALYZE runs, wakeups, profiles"))


def _wake(config: Config, maker: sessionmaker[Session], due: int, now: dt.datetime) -> Measure:
    begin(f"waking {due:,} of them")
    with multiprocessing.get_context("spawn").Pool(WORKERS) as pool:
        pool.map(_warm, [config] * WORKERS, chunksize=1)
        started = time.perf_counter()
        pool.starmap(_work, [(config, now)] * WORKERS, chunksize=1)
        rate = due / (time.perf_counter() - started)
    with maker() as session:
        moved = session.scalar(text("SELECT count(*) FROM runs WHERE node = 'rest'"))
        sent = session.scalar(text("SELECT count(*) FROM messages")) or 0
    if moved != due or not due * 0.4 < sent < due * 0.6:
        raise RuntimeError(f"{moved} of {due} runs moved and {sent} messages were asked for: the figure would be wrong")
    floor = _floor(maker, due)
    return Measure("wake_rate", rate, "runs/s", floor, rate / floor, clock.now())


def _floor(maker: sessionmaker[Session], due: int) -> float:
    """One process writing the same columns of as many rows, in batches as large."""
    with maker() as session:
        ids = list(session.scalars(text("SELECT id FROM runs WHERE node = 'rest'")))
        started = time.perf_counter()
        for batch in itertools.batched(ids, BATCH) if hasattr(itertools, "batched") else (ids[n : n + BATCH] for n in range(0, len(ids), BATCH)):
            session.execute(text("UPDATE runs SET steps = steps + 1, due_at = due_at + interval '1 second' WHERE id = ANY(:ids)"), {"ids": list(batch)})
            session.commit()
        return due / (time.perf_counter() - started)


def _latency(config: Config, maker: sessionmaker[Session], events: int) -> Measure:
    """Each event comes at its own moment; whatever has come by then is one batch, as a worker takes it."""
    begin(f"{events * 5 // 4:,} events at {PER_SECOND} a second")
    with maker() as session:
        for number in range(JOURNEYS):
            publish.publish(session, f"bench_{number}", {**AT_ONCE, "trigger": {"kind": "event", "settings": {"event": f"Bench {number}", "key": "event"}}},
                            now=clock.now())  # fmt: skip
        ensure(session, "events", [month_bounds(clock.now())])
        session.commit()
    late, floor = _late(config, maker, events, "Bench"), _late(config, maker, events // 4, "Nothing")
    return Measure("trigger_to_queue_p99", late, "ms", floor, late / floor, clock.now())


def _late(config: Config, maker: sessionmaker[Session], events: int, name: str) -> float:
    """How late the slowest hundredth was done, in ms."""
    took: list[float] = []
    began, done = time.perf_counter(), 0
    while done < events:
        ahead = min(events, int((time.perf_counter() - began) * PER_SECOND) + 1) - done
        if ahead <= 0:
            time.sleep(1 / PER_SECOND)
            continue
        with maker() as session:
            now = clock.now()
            pipeline.run(session, [read(_call(n, now, f"{name} {n % JOURNEYS}")) for n in range(done, done + ahead)], now, config)
            session.commit()
        finished = time.perf_counter() - began
        took += [finished - n / PER_SECOND for n in range(done, done + ahead)]
        done += ahead
    return sorted(took)[int(len(took) * 0.99) - 1] * 1000


def _call(number: int, now: dt.datetime, name: str) -> Waiting:
    call = Call(type="track", event=name, user_id=f"b{number % 5000}", message_id=f"{name}b{number}")
    return Waiting(10_000_000 + number, now, SHOP, True, LIVE, None, 0, None, as_text(call))


def _memory(config: Config, maker: sessionmaker[Session], runs: int) -> Measure:
    """Runs that begin and end, through one worker process: what it holds in each third."""
    peaks = []
    with maker() as session:
        publish.publish(session, "brief", {**AT_ONCE, "entry": "end", "nodes": {"end": {"kind": "stop"}},
                                           "trigger": {"kind": "event", "settings": {"event": "Brief", "key": "event"}}}, now=clock.now())  # fmt: skip
        session.commit()
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        for third in range(3):
            begin(f"{runs // 3:,} runs begin and end, part {third + 1} of 3")
            peaks.append(pool.apply(_begin_and_end, (config, third * runs // 3, (third + 1) * runs // 3)))
    return Measure("runs_memory", peaks[2], "MB", peaks[1], peaks[2] / peaks[1], clock.now())


def _begin_and_end(config: Config, first: int, last: int) -> float:
    engine = engine_for(config.database_url)
    maker = sessions(engine)
    for start in range(first, last, BATCH):
        with uncollected(), maker() as session:
            now = clock.now()
            pipeline.run(session, [read(_call(n, now, "Brief")) for n in range(start, min(last, start + BATCH))], now, config)
            session.commit()
    engine.dispose()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _warm(config: Config) -> None:
    """Spawned workers import before the clock starts."""
    time.sleep(0.5)


def _work(config: Config, now: dt.datetime) -> None:
    engine = engine_for(config.database_url)
    maker = sessions(engine)
    moved = 1
    while moved:
        with uncollected(), maker() as session:
            moved = wake_due(session, now, BATCH, config)
            session.commit()
    engine.dispose()


_PEOPLE = """
INSERT INTO profiles (id, bucket, known, name, first_seen, last_seen)
SELECT gen_random_uuid(), (CAST(n AS bigint) * 7919) % 10000, true, 'Person ' || n, :now, :now FROM generate_series(1, :many) n
"""
_RUNS = """
INSERT INTO runs (id, profile_id, journey_id, version, key, node, status, started_at, entered_at, due_at, start)
SELECT gen_random_uuid(), p.id, j.id, 1, p.n::text, 'wait', 'active', :began, :began,
       CASE WHEN p.n % :every = 0 THEN CAST(:past AS timestamptz) ELSE :later END,
       jsonb_build_object('name', 'Bench Began', 'occurred_at', CAST(:began AS timestamptz), 'accepted', p.n, 'source_id', 10, 'properties', '{}'::jsonb)
FROM (SELECT id, row_number() OVER () AS n FROM profiles) p, journeys j WHERE j.slug = 'bench'
"""
