"""An invented year of a shop, taken in the way history is: through the inbox and the pipeline, by as many processes as there are workers."""

from __future__ import annotations

import datetime as dt
import multiprocessing
import random
import time
from array import array
from collections.abc import Iterator
from itertools import islice

from sqlalchemy import text

from crm.core import clock
from crm.core.config import Config
from crm.core.db import engine_for, sessions
from crm.core.json import moment
from crm.events import inbox
from crm.events.inbox import NewRow
from crm.events.models import HISTORY
from crm.events.spec import Call
from workers import pipeline

WORKERS, SHOP = 2, 10
VISIT = 8  # events of one visit
CHUNK = 20_000  # events put into the inbox before they are worked on
DAYS = 364
LATER = [dt.timedelta(seconds=40 * n) for n in range(VISIT)]
NAMES = ("Page Viewed", "Product Viewed", "Product Added", "Product Removed", "Order Completed")
WEIGHTS = (50, 80, 93, 95, 100)  # each with those before it
CITIES = ("Haifa", "Yafo", "Eilat", "Akko", "Lod")


def take_in(config: Config, *, people: int, events: int, seconds: float) -> tuple[int, float]:
    """Write and work on a year of visits in the order of time until it is over or the time is up; how many events that were, and how many a second.

    Each process writes its share of the people into the inbox and works on whatever waits there, so that the rate holds both.
    """
    until = clock.now() + dt.timedelta(seconds=seconds)
    started = time.perf_counter()
    with multiprocessing.get_context("spawn").Pool(WORKERS) as pool:
        taken = sum(pool.starmap(_share, [(config, part, people, events, until) for part in range(WORKERS)], chunksize=1))
    return taken, taken / (time.perf_counter() - started)


def _share(config: Config, part: int, people: int, events: int, until: dt.datetime) -> int:
    engine = engine_for(config.database_url)
    maker, taken, calls = sessions(engine), 0, visits(part, people, events)
    while clock.now() < until and (chunk := list(islice(calls, CHUNK))):
        with maker() as session:
            inbox.append(session, [NewRow(SHOP, trusted=True, origin=HISTORY, body=call) for call in chunk], clock.now())
            session.commit()
        while pipeline.drain(maker, config):
            pass
        taken += len(chunk)
    while _some_wait(config):
        pipeline.drain(maker, config)
    engine.dispose()
    return taken


def _some_wait(config: Config) -> bool:
    engine = engine_for(config.database_url)
    with engine.connect() as connection:
        some = connection.scalar(text("SELECT EXISTS (SELECT FROM event_inbox WHERE processed_at IS NULL)"))
    engine.dispose()
    return bool(some)


def visits(part: int, people: int, events: int) -> Iterator[Call]:
    """What one share of the people did, visit by visit in the order of time; whoever comes for the first time says who they are."""
    chance = random.Random(part)  # noqa: S311  made-up people, the same every time
    mine = array("I", range(part, people, WORKERS))
    many = max(len(mine), (events // WORKERS - len(mine)) // VISIT)
    comes = array("I", (mine[n % len(mine)] for n in range(many)))
    chance.shuffle(comes)
    begin, step, seen = clock.now() - dt.timedelta(days=DAYS), dt.timedelta(days=DAYS) / many, bytearray(people)
    for number, who in enumerate(comes):
        at = begin + step * number
        if not seen[who]:
            seen[who] = 1
            traits = {"name": f"Person {who:x}", "city": chance.choice(CITIES), "email": f"p{who}@example.com"}
            yield Call(type="identify", user_id=f"u{who}", message_id=f"i{who}", traits=traits, timestamp=moment(at))
        yield from _visit(chance, who, number, at)


def _visit(chance: random.Random, who: int, number: int, at: dt.datetime) -> Iterator[Call]:
    user = f"u{who}"
    for n, name in enumerate(chance.choices(NAMES, cum_weights=WEIGHTS, k=VISIT)):
        sku = int(chance.random() * 500)
        said = {"product_id": f"p{sku}", "category": f"c{sku % 20}", "price": "49.90", "quantity": 1}
        if name == "Order Completed":
            said = {"order_id": f"{who}-{number}-{n}", "revenue": f"{50 + sku}.00", "currency": "ILS", "products": [said]}
        yield Call(type="track", event=name, user_id=user, message_id=f"{who}-{number}-{n}", properties=said, timestamp=moment(at + LATER[n]))
