"""How fast the queue of leads opens when there are very many: the whole page through Flask, signed in, of one seller and of everybody."""

from __future__ import annotations

import datetime as dt
import random
import secrets
import statistics
import time
import uuid
from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.orm import Session, sessionmaker
from werkzeug.test import Client

from crm.core import clock
from crm.core.config import Config
from crm.core.db import engine_for, sessions
from crm.core.ids import new_id
from crm.core.json import dumps
from crm.events import inbox
from crm.sales import queue, rank
from crm.sales.queue import Filters
from crm.web import users
from crm.web.app import create_app
from workers.bench import Measure

SELLERS = 50
ROUNDS = 15
AT_ONCE = 20_000
Maker = sessionmaker[Session]


def run(config: Config, quick: bool) -> list[Measure]:
    """`queue_p95` (ms) and how long ranking everybody takes (leads/s). The floor is the list's own question to the database, without Flask."""
    engine = engine_for(config.database_url)
    maker = sessions(engine)
    found = measure(config, maker, leads=20_000 if quick else 1_000_000)
    engine.dispose()
    return found


def measure(config: Config, maker: Maker, *, leads: int) -> list[Measure]:
    """Fill an installation with so many open leads of fifty sellers, rank them, and open the queue in every way a seller does."""
    random.seed(5)
    owners, email, password = _people(maker)
    speed = _leads(maker, leads, owners)
    app = create_app(config, maker)
    app.config["WTF_CSRF_ENABLED"] = False
    client = app.test_client()
    if client.post("/sign-in", data={"email": email, "password": password}).status_code != 302:
        raise RuntimeError("the bench's own user could not sign in")
    paths = _paths(client, maker, owners[0])
    for path in paths:
        _open(client, path)
    times = [_open(client, path) for _ in range(ROUNDS) for path in paths]
    floor = statistics.median(_ask(maker, owners[0]) for _ in range(ROUNDS))
    p95 = statistics.quantiles(times, n=20, method="inclusive")[18]
    return [Measure("queue_p95", p95, "ms", floor, p95 / floor, clock.now()), Measure("rank_rate", speed, "leads/s", None, None, clock.now())]


def _people(maker: Maker) -> tuple[list[int], str, str]:
    with maker() as session:
        email, password = "bench@queue.example", secrets.token_urlsafe(12)
        me = users.create_user(session, email=email, name="Bench", role="sales", password=password)
        owners = [me.id, *range(me.id + 1, me.id + SELLERS)]
        session.execute(
            text("INSERT INTO sellers (user_id, name, email, most_open) SELECT u, 'Seller ' || u, 's' || u || '@queue.example', 100000 FROM unnest(:users) u"),
            {"users": owners},
        )
        session.commit()
    return owners, email, password


def _leads(maker: Maker, leads: int, owners: Sequence[int]) -> float:
    """Profiles, leads and scores copied in; ranked by the product's own way. Returns leads ranked per second."""
    now, ids = clock.now(), [new_id() for _ in range(leads)]
    for start in range(0, leads, AT_ONCE):
        with maker() as session:
            _copy(session, ids[start : start + AT_ONCE], owners, now)
            session.commit()
    with maker() as session:
        session.execute(text("ANALYZE"))
        session.commit()
    started = time.perf_counter()
    for start in range(0, leads, AT_ONCE):
        with maker() as session:
            rank.refresh(session, profile_ids=ids[start : start + AT_ONCE], shop="ILS", now=now)
            session.commit()
    speed = leads / (time.perf_counter() - started)
    with maker() as session:
        if session.scalar(text("SELECT count(*) FROM leads WHERE rank = 0")):
            raise RuntimeError("some leads were not ranked: the figure would be wrong")
        session.execute(text("ANALYZE leads"))
        session.commit()
    return speed


def _copy(session: Session, ids: Sequence[uuid.UUID], owners: Sequence[int], now: dt.datetime) -> None:
    cursor = inbox.driver(session).cursor()
    with cursor.copy("COPY profiles (id, bucket, known, name, traits, first_seen, last_seen) FROM STDIN") as copy:
        for one in ids:
            seen = now - dt.timedelta(minutes=random.randrange(100_000))
            copy.write_row((one, 1, True, f"Person {one.hex[-6:]}", dumps({"city": "Haifa"}), seen, seen))
    columns = "profile_id, status, status_at, owner_id, source, created_at, answer_by, answered_at, next_at"
    with cursor.copy(f"COPY leads ({columns}) FROM STDIN") as copy:
        for one in ids:
            at = now - dt.timedelta(minutes=random.randrange(50_000))
            answered = at if random.random() < 0.7 else None
            due = now + dt.timedelta(minutes=random.randrange(-2000, 5000)) if random.random() < 0.97 else None
            status = random.choice(("new", "working", "qualified"))
            copy.write_row((one, status, at, random.choice(owners), random.choice(("fair", "site", "ads")), at, at, answered, due))
    with cursor.copy("COPY scores (profile_id, kind, probability, band, expected_value, currency, reasons, version_id, at) FROM STDIN") as copy:
        for one in ids:
            chance = random.random()
            band = "hot" if chance > 0.8 else "warm" if chance > 0.5 else "cool" if chance > 0.2 else "cold"
            copy.write_row((one, "lead", chance, band, round(chance * 400, 2), "ILS", "[]", 1, now))


def _paths(client: Client, maker: Maker, owner: int) -> list[str]:
    """The first page in each order and view, a page far down, one lead, the rows that follow."""
    with maker() as session:
        far, deep = None, None
        for _ in range(20):
            page = queue.page(session, Filters(owner=owner), shop="ILS", now=clock.now(), after=far)
            far, deep = page.next or far, page.rows[-1].profile_id
    follows = f"/leads?after={far}"
    return ["/leads", "/leads?view=all", "/leads?view=nobody", "/leads?sort=due", "/leads?view=all&band=hot", "/leads?source=fair", follows, f"/leads/{deep}"]


def _open(client: Client, path: str) -> float:
    started = time.perf_counter()
    answer = client.get(path)
    taken = (time.perf_counter() - started) * 1000
    if answer.status_code != 200 or b"k-lead-row" not in answer.data:
        raise RuntimeError(f"{path} did not show the queue")
    return taken


def _ask(maker: Maker, owner: int) -> float:
    with maker() as session:
        started = time.perf_counter()
        queue.page(session, Filters(owner=owner), shop="ILS", now=clock.now())
        return (time.perf_counter() - started) * 1000
