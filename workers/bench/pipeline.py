"""How fast a full inbox becomes profiles, carts and runs; 90 % known people, the abandoned-cart recipe live."""

from __future__ import annotations

import datetime as dt
import multiprocessing
import random
import time
from collections.abc import Iterator

from sqlalchemy import text
from sqlalchemy.orm import Session, sessionmaker

from crm.core import clock
from crm.core.config import Config
from crm.core.db import engine_for, sessions
from crm.events import inbox
from crm.events.inbox import NewRow
from crm.events.models import LIVE
from crm.events.spec import Call
from workers import pipeline
from workers.bench import Measure, latency
from workers.install import scratch

WORKERS = 2
SHOP = 10


def run(config: Config, quick: bool) -> list[Measure]:
    """`pipeline_events`: events/s from the first claim to the last commit with two workers; floor: COPY of the same rows into a bare table.

    Then what `bench latency` measures, on an installation of its own.
    """
    people, events = (2_000, 20_000) if quick else (50_000, 400_000)
    engine = engine_for(config.database_url)
    maker = sessions(engine)
    random.seed(7)
    _fill(maker, [_identified(n) for n in range(people)])
    _work(config)
    floor = _floor(maker, _fill(maker, list(_visits(people, events))))
    started = time.perf_counter()
    with multiprocessing.get_context("spawn").Pool(WORKERS) as pool:
        pool.map(_warm, [config] * WORKERS)
        started = time.perf_counter()
        pool.map(_work, [config] * WORKERS, chunksize=1)
    rate = events / (time.perf_counter() - started)
    _check(maker, events)
    engine.dispose()
    found = Measure("pipeline_events", rate, "events/s", floor, rate / floor, clock.now())
    with scratch() as fresh:
        return [found, *latency.run(fresh, quick)]


def _warm(config: Config) -> None:
    """Spawned workers import before the clock starts."""
    time.sleep(0.5)


def _work(config: Config) -> None:
    engine = engine_for(config.database_url)
    while pipeline.drain(sessions(engine), config):
        pass
    engine.dispose()


def _check(maker: sessionmaker[Session], events: int) -> None:
    with maker() as session:
        left = inbox.waiting(session)
        held = session.scalar(text("SELECT count(*) FROM quarantine"))
        if left or held:
            raise RuntimeError(f"{left} of {events} events still wait and {held} are in quarantine: the figure would be wrong")


def _identified(number: int) -> Call:
    return Call(type="identify", user_id=f"u{number}", anonymous_id=f"a{number}", message_id=f"i{number}",
                traits={"name": f"Person {number}", "email": f"p{number}@example.com", "city": random.choice(("Haifa", "Yafo", "Eilat"))})  # fmt: skip


def _visits(people: int, events: int) -> Iterator[Call]:
    """What a shop's site sends: mostly looking, some carts, few orders; one in ten by somebody new."""
    for number in range(events):
        known = random.random() < 0.9
        who = random.randrange(people) if known else people + random.randrange(events)
        name = random.choices(("Page Viewed", "Product Viewed", "Product Added", "Product Removed", "Order Completed"), (50, 30, 13, 2, 5))[0]
        sku = f"sku{random.randrange(500)}"
        said = {"product_id": sku, "name": f"Thing {sku}", "price": "49.90", "quantity": 1, "url": f"https://shop.example/p/{sku}"}
        if name == "Order Completed":
            said = {"order_id": f"o{number}", "revenue": "99.80", "currency": "ILS", "products": [said]}
        context = {"ip": "192.0.2.1", "page": {"path": f"/p/{sku}", "title": "A page of the shop"}, "userAgent": "Mozilla/5.0 (X11; Linux x86_64)"}
        user_id = f"u{who}" if known else None
        yield Call(type="track", event=name, anonymous_id=f"a{who}", user_id=user_id, message_id=f"e{number}", properties=said, context=context)


def _fill(maker: sessionmaker[Session], calls: list[Call]) -> list[Call]:
    with maker() as session:
        for start in range(0, len(calls), 10_000):
            rows = [NewRow(SHOP, trusted=True, origin=LIVE, body=call) for call in calls[start : start + 10_000]]
            inbox.append(session, rows, clock.now())
            session.commit()
    return calls


def _floor(maker: sessionmaker[Session], calls: list[Call]) -> float:
    """COPY of the same bodies into a table without index or constraint, one connection, committed in batches of the pipeline's size."""
    now = dt.datetime.now(dt.UTC)
    with maker() as session:
        session.execute(text("CREATE TABLE bench_floor (at timestamptz, source_id integer, body text)"))
        session.commit()
        bodies = [inbox.as_text(call) for call in calls]
        started = time.perf_counter()
        for start in range(0, len(bodies), pipeline.BATCH):
            with inbox.driver(session).cursor().copy("COPY bench_floor FROM STDIN") as copy:
                for body in bodies[start : start + pipeline.BATCH]:
                    copy.write_row((now, SHOP, body))
            session.commit()
        rate = len(bodies) / (time.perf_counter() - started)
        session.execute(text("DROP TABLE bench_floor"))
        session.commit()
    return rate
