"""How long a quarter takes to be lived again: 90 days, 100,000 people, ten million events, a cart journey beside a welcome one."""

from __future__ import annotations

import datetime as dt
import multiprocessing
import time
import uuid

from sqlalchemy import text
from sqlalchemy.orm import Session, sessionmaker

from crm.core import clock
from crm.core.config import Config
from crm.core.crypto import Keys
from crm.core.db import engine_for, sessions
from crm.core.partitions import ensure, month_bounds
from crm.events.inbox import driver
from journeys import backtest, backtest_read, files, publish
from journeys.backtest_cast import Case, Cast
from journeys.backtest_models import Backtest
from journeys.graph import parse
from workers.bench import Measure

WORKERS, DAYS, CHUNK = 2, 90, 250_000
CART, WELCOME = "abandoned_cart_3", "welcome_series"


def run(config: Config, quick: bool) -> list[Measure]:
    """Seconds from asking to the report, two processes; floor: the same rows read in the same order by two processes and thrown away.

    A fifth of the events concern the journeys, as in a shop; the rest are page and product views, which are not read.
    """
    people, events = (5_000, 500_000) if quick else (100_000, 10_000_000)
    engine = engine_for(config.database_url)
    maker, now = sessions(engine), clock.now().replace(microsecond=0)
    _seed(maker, config, people, events, now)
    with maker() as session:
        for slug in (CART, WELCOME):
            publish.publish(session, slug, files.recipes()[slug], now=now)
        session.commit()
        asked = backtest.ask(session, CART, kind="what_if", period=(now - dt.timedelta(days=DAYS), now), settings={}, now=now, by="bench")
        session.commit()
    with multiprocessing.get_context("spawn").Pool(WORKERS) as pool:
        pool.map(_warm, range(WORKERS), chunksize=1)
        started = time.perf_counter()
        pool.map(_work, [config] * WORKERS, chunksize=1)
        took = time.perf_counter() - started
        _check(maker, asked.id, people)
        started = time.perf_counter()
        rows = sum(pool.starmap(_read, [(config, asked.id, half) for half in range(WORKERS)], chunksize=1))
        floor = time.perf_counter() - started
    if rows < events // 10:
        raise RuntimeError(f"the floor read {rows} rows: it is not the same work")
    engine.dispose()
    return [Measure("backtest_90d_100k", took, "s", floor, took / floor, clock.now())]


def _check(maker: sessionmaker[Session], number: int, people: int) -> None:
    """A figure of nothing would be quick."""
    with maker() as session:
        row = session.get_one(Backtest, number)
    found = row.report
    if row.status != "done" or found["people"] != people or found["started"] < people or found["sent"] < people:
        raise RuntimeError(f"the backtest came out as {row.status} {row.error} {found}: the figure would be wrong")


def _seed(maker: sessionmaker[Session], config: Config, people: int, events: int, now: dt.datetime) -> None:
    """People with addresses, two in three of whom agreed, and their events in order of time, as a log has them."""
    begins = now - dt.timedelta(days=DAYS)
    with maker() as session:
        ensure(session, "events", [month_bounds(begins + dt.timedelta(days=15 * n)) for n in range(DAYS // 15 + 2)])
        for name in ("abandoned_cart", "abandoned_cart_second", "abandoned_cart_last", "welcome_first", "welcome_second"):
            session.execute(text(_TEMPLATE), {"name": name})
        session.execute(text(_PEOPLE), {"people": people, "at": begins})
        session.execute(text(_ADDRESSES), {"at": begins})
        _agree(session, config, begins)
        session.commit()
    for first in range(0, events, CHUNK):
        with maker() as session:
            share = {"first": first, "last": min(events, first + CHUNK) - 1, "people": people, "begins": begins, "step": dt.timedelta(days=DAYS) / events}
            session.execute(text(_EVENTS), share)
            session.commit()
    with maker() as session:
        session.execute(text("ANALYZE"))
        session.commit()


def _agree(session: Session, config: Config, at: dt.datetime) -> None:
    keys = Keys(config.secret_key)
    addresses = session.scalars(text("SELECT value FROM identities WHERE kind = 'email' ORDER BY value")).all()
    with driver(session).cursor().copy(_AGREED) as copy:
        for number, address in enumerate(addresses):
            if number % 3:
                copy.write_row((keys.address_hash("email", address), "email", "offers", "marketing", "granted", "form", b"bench", at))


def _warm(_number: int) -> None:
    """Spawned workers import before the clock starts."""
    time.sleep(0.5)


def _work(config: Config) -> None:
    engine = engine_for(config.database_url)
    maker = sessions(engine)
    while backtest.work(maker, config, seconds=60, alone=False):
        pass
    engine.dispose()


def _read(config: Config, number: int, half: int) -> int:
    """The rows of every second part, in the batches of the backtest."""
    engine, rows = engine_for(config.database_url), 0
    with Session(engine) as session:
        row = session.get_one(Backtest, number)
        setting = backtest_read.setting_of(config, row.from_at, row.to_at)
        cast = Cast([Case(n, slug, [(backtest.ALWAYS, 1, parse(files.recipes()[slug]))]) for n, slug in enumerate((CART, WELCOME))])
        for part in backtest.divided(session)[half::WORKERS]:
            after = uuid.UUID(part["after"]) if part["after"] else None
            last = uuid.UUID(part["last"]) if part["last"] else None
            found = backtest_read.batch(session, cast, setting, after=after, last=last, limit=backtest.BATCH)
            while found.people:
                rows += sum(1 for _ in backtest_read.rows(session, cast, setting, found))
                found = backtest_read.batch(session, cast, setting, after=found.people[-1].id, last=last, limit=backtest.BATCH)
    engine.dispose()
    return rows


_TEMPLATE = "INSERT INTO templates (name, channel, topic, purpose, version) VALUES (:name, 'email', 'offers', 'marketing', 1)"
_PEOPLE = """
INSERT INTO profiles (id, bucket, known, name, traits, first_seen, last_seen)
SELECT gen_random_uuid(), (CAST(n AS bigint) * 7919) % 10000, true, 'Person ' || n, '{"plan": "free"}', :at, :at FROM generate_series(1, :people) n
"""
_ADDRESSES = """
INSERT INTO identities (kind, value, profile_id, verified, first_seen)
SELECT 'email', 'p' || row_number() OVER () || '@shop.example', id, true, :at FROM profiles
"""
_AGREED = "COPY consent_ledger (address_hash, channel, topic, purpose, action, source, evidence_digest, at) FROM STDIN"
_EVENTS = """
INSERT INTO events (profile_id, occurred_at, accepted, received_at, source_id, message_id, type, name, origin, trusted, identities, properties, context, hops)
SELECT p.id, e.at, e.n, e.at + interval '1 s', 10, 'b' || e.n, CASE WHEN e.name = 'identify' THEN 'identify' ELSE 'track' END, e.name, 'live', true,
       jsonb_build_array(jsonb_build_array('user_id', 'u' || e.place, true)), e.said, '{"page": {"url": "https://shop.example/vases"}}', 0
FROM (
  SELECT n, CAST(:begins AS timestamptz) + n * CAST(:step AS interval) AS at, (hashint4(n) & 2147483647) % :people AS place, name,
    CASE WHEN name LIKE 'Product%' THEN jsonb_build_object('product_id', 'p' || hashint4(n) % 500, 'name', 'Article', 'price', 20 + n % 300, 'quantity', 1,
           'currency', 'ILS', 'category', 'Home', 'url', 'https://shop.example/p/' || n % 500)
         WHEN name = 'Order Completed' THEN jsonb_build_object('order_id', 'o' || n, 'total', 100 + n % 300, 'currency', 'ILS')
         WHEN name = 'identify' THEN jsonb_build_object('city', 'Haifa', 'plan', CASE WHEN n % 2 = 0 THEN 'gold' ELSE 'free' END)
         ELSE jsonb_build_object('path', '/vases', 'title', 'Vases') END AS said
  FROM (
    SELECT n, CASE WHEN r < 12 THEN 'Product Added' WHEN r < 14 THEN 'Product Removed' WHEN r < 17 THEN 'Order Completed' WHEN r < 18 THEN 'Signed Up'
                   WHEN r < 20 THEN 'identify' WHEN r < 50 THEN 'Product Viewed' ELSE 'Page Viewed' END AS name
    FROM (SELECT n, (hashint4(n + 1) & 2147483647) % 100 AS r FROM generate_series(CAST(:first AS int), CAST(:last AS int)) n) drawn
  ) named
) e
JOIN (SELECT id, row_number() OVER (ORDER BY id) - 1 AS place FROM profiles) p ON p.place = e.place
ORDER BY e.n
"""
