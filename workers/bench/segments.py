"""How fast segments are with many people: counting, one event's way into memberships, lapsing windows, search, a profile's page."""

from __future__ import annotations

import datetime as dt
import random
import statistics
import time
import uuid
from collections.abc import Callable, Sequence

from sqlalchemy import text
from sqlalchemy.orm import Session, sessionmaker

from crm.analytics.profile_view import profile
from crm.core import clock, partitions
from crm.core.config import Config
from crm.core.crypto import Keys
from crm.core.db import engine_for, sessions
from crm.core.ids import new_id
from crm.core.json import dumps
from crm.events import inbox
from crm.events.inbox import NewRow
from crm.events.models import LIVE
from crm.events.spec import Call
from crm.profiles.search import refresh_search, search
from crm.segments import evaluate, refresh, store, tree
from crm.segments.ready import ready_made
from workers import pipeline
from workers.bench import Measure

SHOP, LIVE_SEGMENTS, PER_SECOND = 10, 200, 500
CITIES = ("Haifa", "Yafo", "Eilat", "Akko", "Lod")
NAMES = ("Page Viewed", "Product Viewed", "Product Added", "Email Opened")
Maker = sessionmaker[Session]


def run(config: Config, quick: bool) -> list[Measure]:
    """Milliseconds but for `sweep_100k` (s) and `seed_rate` (events/s). Floors: the bare SQL count of members, or COPY of the same rows."""
    people, events, sweep = (20_000, 200_000, 10_000) if quick else (1_000_000, 20_000_000, 100_000)
    random.seed(7)
    engine = engine_for(config.database_url)
    maker, now = sessions(engine), clock.now()
    ids, rate = _seed(maker, people, events, now)
    found = [
        Measure("seed_rate", rate, "events/s", None, None, clock.now()),
        _counts(maker, config),
        *_pages(maker, config, ids),
        _sweep(maker, config, ids[:sweep], 100_000 / sweep),
        _membership(maker, config, 20 if quick else 60),
    ]
    engine.dispose()
    return found


def _seed(maker: Maker, people: int, events: int, now: dt.datetime) -> tuple[list[uuid.UUID], float]:
    """Profiles, orders and a year of events, copied in chunks with every index in place; returns the profiles and events per second."""
    with maker() as session:
        partitions.ensure(session, "events", [partitions.month_bounds(now - dt.timedelta(days=15 * n)) for n in range(26)])
        session.commit()
    ids = [new_id() for _ in range(people)]
    for start in range(0, people, 20_000):
        with maker() as session:
            _profiles(session, ids[start : start + 20_000], now)
            session.commit()
    started = time.perf_counter()
    for start in range(0, events, 100_000):
        with maker() as session:
            _events(session, ids, start, min(100_000, events - start), now)
            session.commit()
    rate = events / (time.perf_counter() - started)
    with maker() as session:
        session.execute(text("ANALYZE"))
        session.commit()
    return ids, rate


def _profiles(session: Session, ids: Sequence[uuid.UUID], now: dt.datetime) -> None:
    cursor = inbox.driver(session).cursor()
    with cursor.copy("COPY profiles (id, bucket, known, name, traits, first_seen, last_seen) FROM STDIN") as copy:
        for one in ids:
            seen = now - dt.timedelta(minutes=random.randrange(500_000))  # noqa: S311
            name = f"Person {one.hex[-6:]}"
            copy.write_row((one, random.randrange(10_000), True, name, dumps({"name": name, "city": random.choice(CITIES)}), seen, seen))  # noqa: S311
    with cursor.copy("COPY orders (source_id, order_id, profile_id, currency, revenue, items, ordered_at, version_at, version_accepted) FROM STDIN") as copy:
        for one in ids:
            for number in range(random.choice((0, 0, 1, 2, 5))):  # noqa: S311
                at = now - dt.timedelta(minutes=random.randrange(500_000))  # noqa: S311
                copy.write_row((SHOP, f"{one.hex}-{number}", one, "ILS", random.randrange(50, 900), "[]", at, at, 1))  # noqa: S311
    refresh_search(session, list(ids))


def _events(session: Session, ids: Sequence[uuid.UUID], start: int, many: int, now: dt.datetime) -> None:
    columns = "profile_id, occurred_at, accepted, received_at, source_id, message_id, type, name, origin, trusted, identities, properties, context, hops"
    with inbox.driver(session).cursor().copy(f"COPY events ({columns}) FROM STDIN") as copy:
        for number in range(start, start + many):
            at = now - dt.timedelta(seconds=random.randrange(365 * 86400))  # noqa: S311
            name = random.choices(NAMES, (60, 25, 10, 5))[0]  # noqa: S311
            said = dumps({"product_id": f"p{number % 500}", "category": f"c{number % 20}"})
            copy.write_row((random.choice(ids), at, number, at, SHOP, f"b{number}", "track", name, "live", True, "[]", said, "{}", 0))  # noqa: S311


def _counts(maker: Maker, config: Config) -> Measure:
    """Each shipped segment counted five times; the floor counts the profiles."""
    place = refresh.place_of(config)
    trees = [tree.parse(rule) for _slug, _name, rule in ready_made("ILS")]
    with maker() as session:
        times = [_ms(lambda one=one: evaluate.count(session, one, now=clock.now(), place=place)) for one in trees for _ in range(5)]  # type: ignore[misc]
        floor = statistics.median(_ms(lambda: session.scalar(text("SELECT count(*) FROM profiles WHERE merged_into IS NULL"))) for _ in range(5))
    return _measure("segment_count_p95", _percentile(times, 95), floor)


def _pages(maker: Maker, config: Config, ids: Sequence[uuid.UUID]) -> list[Measure]:
    """People search, and what a profile's page reads."""
    keys = Keys(config.secret_key)
    with maker() as session:
        words = ["person", "hai", "person 1a", "person ffff", "yafo person"]
        searches = [_ms(lambda word=word: search(session, word)) for word in words for _ in range(10)]  # type: ignore[misc]
        chosen = random.sample(list(ids), 50)
        profiles = [_ms(lambda one=one: profile(session, one, keys=keys, now=clock.now())) for one in chosen]  # type: ignore[misc]
        floor = statistics.median(_ms(lambda one=one: session.execute(text("SELECT * FROM profiles WHERE id = :id"), {"id": one}).all()) for one in chosen)  # type: ignore[misc]
    return [_measure("search_p95", _percentile(searches, 95), floor), _measure("profile_p95", _percentile(profiles, 95), floor)]


def _sweep(maker: Maker, config: Config, ids: Sequence[uuid.UUID], scale: float) -> Measure:
    """Windows of this many members lapse at once; seconds, brought to 100,000. The floor deletes as many rows."""
    now = clock.now()
    with maker() as session:
        store.save(session, slug="bench-sweep", name="Sweep", rule={"kind": "did", "event": "Swept", "within": "30d"}, now=now)
        segment = store.find(session, "bench-sweep").id
        with inbox.driver(session).cursor().copy("COPY memberships (profile_id, segment_id, since) FROM STDIN") as copy:
            for one in ids:
                copy.write_row((one, segment, now))
        session.execute(text("UPDATE segments SET status = 'live' WHERE id = :id"), {"id": segment})
        params = {"ids": list(ids), "id": segment, "now": now}
        session.execute(text("INSERT INTO segment_lapses (profile_id, segment_id, due_at) SELECT unnest(CAST(:ids AS uuid[])), :id, :now"), params)
        session.execute(text("CREATE TEMP TABLE bench_floor AS SELECT unnest(CAST(:ids AS uuid[])) AS id"), params)
        floor = _ms(lambda: session.execute(text("DELETE FROM bench_floor"))) / 1000 * scale
        session.commit()
    started = time.perf_counter()
    more = True
    while more:
        with maker() as session:
            more = bool(refresh.lapse_due(session, now, 5_000, config))
            session.commit()
    seconds = (time.perf_counter() - started) * scale
    with maker() as session:
        if left := session.scalar(text("SELECT count(*) FROM memberships WHERE segment_id = :id"), {"id": segment}):
            raise RuntimeError(f"{left} members stayed though their window lapsed: the figure would be wrong")
    return Measure("sweep_100k", seconds, "s", floor, seconds / floor, clock.now())


def _membership(maker: Maker, config: Config, seconds: int) -> Measure:
    """500 events/s against 200 live segments: from the acceptance of a batch to the commit of the memberships; the floor is one second's sleep-free insert."""
    now = clock.now()
    with maker() as session:
        for number in range(LIVE_SEGMENTS):
            rule = {
                "all": [
                    {"kind": "did", "event": NAMES[number % 4], "value": 1 + number % 5, "within": "30d"},
                    {"kind": "trait", "name": "city", "value": CITIES[number % 5]},
                ]
            }
            store.save(session, slug=f"bench-{number}", name=f"Bench {number}", rule=rule, now=now)
        session.execute(text("UPDATE segments SET status = 'live'"))
        session.commit()
    while pipeline.drain(maker, config):
        pass
    late: list[float] = []
    start, sent = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - start) < seconds:
        due = int(elapsed * PER_SECOND) - sent
        if due < PER_SECOND // 20:
            time.sleep(0.01)
            continue
        oldest = start + sent / PER_SECOND
        _accept(maker, sent, due)
        while pipeline.drain(maker, config):
            pass
        sent += due
        late += [(time.perf_counter() - oldest - n / PER_SECOND) * 1000 for n in range(due)]
    floor = statistics.median(_ms(lambda: _accept(maker, 10**9 + random.randrange(10**9), 25)) for _ in range(5))  # noqa: S311
    return _measure("membership_p99", _percentile(late, 99), floor)


def _accept(maker: Maker, first: int, many: int) -> None:
    with maker() as session:
        calls = [
            Call(type="track", event=NAMES[n % 4], user_id=f"bench{n % 5000}", message_id=f"live{n}", properties={"product_id": f"p{n % 500}"})
            for n in range(first, first + many)
        ]
        inbox.append(session, [NewRow(SHOP, trusted=True, origin=LIVE, body=call) for call in calls], clock.now())
        session.commit()


def _ms(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return (time.perf_counter() - started) * 1000


def _percentile(times: Sequence[float], share: int) -> float:
    return statistics.quantiles(times, n=100, method="inclusive")[share - 1]


def _measure(name: str, value: float, floor: float) -> Measure:
    return Measure(name, value, "ms", floor, value / floor, clock.now())
