"""How fast segments are with many people: counting, one event's way into memberships, lapsing windows, search, a profile's page."""

from __future__ import annotations

import datetime as dt
import itertools
import multiprocessing
import random
import re
import secrets
import statistics
import time
import uuid
from collections.abc import Callable, Sequence

from sqlalchemy import text
from sqlalchemy.orm import Session, sessionmaker

import workers.migrate  # noqa: F401  every table registers: pages walk them
from crm.core import clock, partitions
from crm.core.config import Config
from crm.core.db import engine_for, sessions
from crm.core.errors import KesherError
from crm.events import inbox
from crm.events.inbox import NewRow
from crm.events.models import LIVE
from crm.events.spec import Call
from crm.profiles.search import query_for, search
from crm.segments import evaluate, refresh, store, tree
from crm.segments.ready import ready_made
from crm.web import users
from crm.web.app import create_app
from journeys.pages import bp as journeys_pages
from workers import pipeline, year
from workers.bench import Measure
from workers.tasks import LAPSES

SHOP, LIVE_SEGMENTS, PER_SECOND = year.SHOP, 200, 500
SEED_S = 240  # of taking in history; what is missing then is copied, and counts for no figure
CITIES = year.CITIES
NAMES = ("Page Viewed", "Product Viewed", "Product Added", "Email Opened")
WORDS = ("person", "hai", "person 1a", "person ffff", "yafo person")
Maker = sessionmaker[Session]


def run(config: Config, quick: bool) -> list[Measure]:
    """Milliseconds but for `sweep_100k` (s) and `seed_rate` (events/s, made up, put into the inbox and worked on by two processes).

    Floors: bare COPY of the same rows into one table; the same counts, page of people and facts of a person by SQL written by hand;
    DELETE of as many memberships; the same events with no segment live.
    """
    people, events, sweep = (20_000, 200_000, 10_000) if quick else (1_000_000, 20_000_000, 100_000)
    random.seed(7)
    engine = engine_for(config.database_url)
    maker = sessions(engine)
    found = [_seed(config, maker, people, events), _counts(maker, config), _search(maker), _pages(maker, config)]
    found += [_sweep(maker, config, sweep, 100_000 / sweep), _membership(maker, config, 20 if quick else 60)]
    engine.dispose()
    return found


def _seed(config: Config, maker: Maker, people: int, events: int) -> Measure:
    taken, rate = year.take_in(config, people=people, events=events, seconds=SEED_S)
    with maker() as session:
        held = session.scalar(text("SELECT count(*) FROM quarantine"))
        if held or session.scalar(text("SELECT count(*) FROM events")) != taken:
            raise KesherError(f"{held} of {taken} events are in quarantine: the figure would be wrong")
    floor = _bare_copy(maker, people, min(events, 200_000))
    _top_up(config, maker, people, events)
    return Measure("seed_rate", rate, "events/s", floor, rate / floor, clock.now())


def _bare_copy(maker: Maker, people: int, events: int) -> float:
    """The same events as text into a table without index or constraint, one connection; rows/s."""
    bodies = [inbox.as_text(call) for call in itertools.islice(year.visits(0, people, events), events // 2)]
    with maker() as session:
        session.execute(text("CREATE TEMP TABLE bench_floor (at timestamptz, source_id integer, body text) ON COMMIT DROP"))
        started, now = time.perf_counter(), clock.now()
        with inbox.driver(session).cursor().copy("COPY bench_floor FROM STDIN") as copy:
            for body in bodies:
                copy.write_row((now, SHOP, body))
        return len(bodies) / (time.perf_counter() - started)


def _top_up(config: Config, maker: Maker, people: int, events: int) -> None:
    """People, orders and events that history did not come to in its time, straight into the tables; then what PostgreSQL knows of them."""
    with maker() as session:
        months = [partitions.month_bounds(clock.now() - dt.timedelta(days=15 * n)) for n in range(26)]
        partitions.ensure(session, "events", sorted(set(months)))
        session.execute(text(_PEOPLE), {"people": people})
        session.execute(text(_ORDERS))
        session.execute(text("CREATE TABLE bench_people AS SELECT row_number() OVER () AS n, id FROM profiles"))
        session.execute(text("CREATE INDEX ON bench_people (n)"))
        missing = events - (session.scalar(text("SELECT count(*) FROM events")) or 0)
        session.commit()
    with multiprocessing.get_context("spawn").Pool(year.WORKERS) as pool:
        pool.starmap(_copied, [(config, people, min(500_000, missing - n)) for n in range(0, max(0, missing), 500_000)], chunksize=1)
    with maker() as session:
        session.connection(execution_options={"isolation_level": "AUTOCOMMIT"}).execute(text("VACUUM ANALYZE"))


def _copied(config: Config, people: int, many: int) -> None:
    engine = engine_for(config.database_url)
    with engine.begin() as connection:
        connection.execute(text(_EVENTS), {"people": people, "many": many, "names": list(year.NAMES)})
    engine.dispose()


def _counts(maker: Maker, config: Config) -> Measure:
    """Each shipped segment counted five times, as the builder does while somebody edits."""
    place = refresh.place_of(config)
    trees = {slug: tree.parse(rule) for slug, _name, rule in ready_made("ILS")}
    with maker() as session:
        times = [_ms(lambda one=one: evaluate.count(session, one, now=clock.now(), place=place)) for one in trees.values() for _ in range(5)]  # type: ignore[misc]  # mypy takes no default of a lambda
        bare = [_ms(lambda one=one: session.scalar(text(f"SELECT count(*) FROM ({one}) x"))) for one in BARE.values() for _ in range(5)]  # type: ignore[misc]  # noqa: S608  our own fragments
        for slug, one in BARE.items():
            ours, theirs = evaluate.count(session, trees[slug], now=clock.now(), place=place), session.scalar(text(f"SELECT count(*) FROM ({one}) x"))  # noqa: S608  our own fragments
            if abs(ours - (theirs or 0)) > max(2, ours // 1000):  # a window may pass between the two
                raise KesherError(f"{slug}: {ours} members by the rule, {theirs} by hand: the figure would be wrong")
    return _measure("segment_count_p95", _percentile(times, 95), _percentile(bare, 95))


def _search(maker: Maker) -> Measure:
    """People search as the page asks for it."""
    with maker() as session:
        times = [_ms(lambda word=word: search(session, word)) for word in WORDS for _ in range(10)]  # type: ignore[misc]  # mypy takes no default of a lambda
        bare = [_ms(lambda word=word: session.execute(text(_FOUND), {"query": query_for(word)}).all()) for word in WORDS for _ in range(10)]  # type: ignore[misc]  # mypy takes no default of a lambda
    return _measure("search_p95", _percentile(times, 95), _percentile(bare, 95))


def _pages(maker: Maker, config: Config) -> Measure:
    """A profile's page whole: session, rights, facts, template. The parts it loads afterwards are pages of their own."""
    with maker() as session:
        password = secrets.token_urlsafe(16)
        users.create_user(session, email="bench@shop.example", name="Bench", role="admin", password=password)
        chosen = list(session.scalars(text("SELECT id FROM bench_people WHERE n % greatest(1, (SELECT max(n) FROM bench_people) / 100) = 0 LIMIT 100")))
        session.commit()
    client = create_app(config, maker, [journeys_pages]).test_client()
    token = re.search(r'name="csrf_token" value="([^"]+)"', client.get("/sign-in").text)
    client.post("/sign-in", data={"csrf_token": token[1] if token else "", "email": "bench@shop.example", "password": password})

    def page(one: uuid.UUID) -> None:
        if (answer := client.get(f"/people/{one}")).status_code != 200:
            raise KesherError(f"the profile's page answered {answer.status_code}")

    page(chosen[0])  # templates are compiled with the first
    times = [_ms(lambda one=one: page(one)) for one in chosen]  # type: ignore[misc]  # mypy takes no default of a lambda
    with maker() as session:
        bare = [_ms(lambda one=one: [session.execute(text(sql), {"id": one}).all() for sql in _FACTS]) for one in chosen]  # type: ignore[misc]  # mypy takes no default of a lambda
    return _measure("profile_p95", _percentile(times, 95), _percentile(bare, 95))


def _sweep(maker: Maker, config: Config, many: int, scale: float) -> Measure:
    """Windows of this many members lapse at once; seconds, brought to 100,000."""
    now = clock.now()
    with maker() as session:
        store.save(session, slug="bench-sweep", name="Sweep", rule={"kind": "did", "event": "Swept", "within": "30d"}, now=now)
        segment = store.find(session, "bench-sweep").id
        params = {"id": segment, "now": now, "many": many}
        session.execute(text("UPDATE segments SET status = 'live' WHERE id = :id"), params)
        for number in (segment, 0):
            session.execute(text(_MEMBERS), params | {"id": number})
        session.execute(text("INSERT INTO segment_lapses (profile_id, segment_id, due_at) SELECT id, :id, :now FROM bench_people WHERE n <= :many"), params)
        session.commit()
        floor = _ms(lambda: session.execute(text("DELETE FROM memberships WHERE segment_id = 0"))) / 1000 * scale
        session.commit()
    started = time.perf_counter()
    more = True
    while more:
        with maker() as session:
            more = bool(refresh.lapse_due(session, now, LAPSES, config))
            session.commit()
    seconds = (time.perf_counter() - started) * scale
    with maker() as session:
        if left := session.scalar(text("SELECT count(*) FROM memberships WHERE segment_id = :id"), {"id": segment}):
            raise KesherError(f"{left} members stayed though their window lapsed: the figure would be wrong")
    return Measure("sweep_100k", seconds, "s", floor, seconds / floor, clock.now())


def _membership(maker: Maker, config: Config, seconds: int) -> Measure:
    """500 events/s against 200 live segments: from the moment an event is due to the commit of what it changes."""
    while pipeline.drain(maker, config):
        pass
    floor = _percentile(_late(maker, config, max(5, seconds // 4), 10**9), 99)
    now = clock.now()
    with maker() as session:
        for number in range(LIVE_SEGMENTS):
            did = {"kind": "did", "event": NAMES[number % 4], "value": 1 + number // 20, "within": "30d"}  # an event takes its person over one threshold
            rule = {"all": [did, {"kind": "trait", "name": "city", "value": CITIES[number // 4 % 5]}]}
            store.save(session, slug=f"bench-{number}", name=f"Bench {number}", rule=rule, now=now)
        session.execute(text("UPDATE segments SET status = 'live'"))
        session.commit()
    return _measure("membership_p99", _percentile(_late(maker, config, seconds, 0), 99), floor)


def _late(maker: Maker, config: Config, seconds: int, first: int) -> list[float]:
    """What each event waited, in ms; those that came meanwhile are one batch, as a worker takes them."""
    late: list[float] = []
    start, sent = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - start) < seconds:
        due = int(elapsed * PER_SECOND) - sent
        if due < PER_SECOND // 20:
            time.sleep(0.01)
            continue
        oldest = start + sent / PER_SECOND
        _accept(maker, first + sent, due)
        while pipeline.drain(maker, config):
            pass
        sent += due
        late += [(time.perf_counter() - oldest - n / PER_SECOND) * 1000 for n in range(due)]
    return late


def _accept(maker: Maker, first: int, many: int) -> None:
    with maker() as session:
        calls = [
            Call(type="track", event=NAMES[n % 4], user_id=f"u{n % 5000}", message_id=f"live{n}", properties={"product_id": f"p{n % 500}"})
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


_STANDING = "FROM orders WHERE ordered_at IS NOT NULL AND cancelled_at IS NULL"
_LAST = f"SELECT profile_id {_STANDING} GROUP BY 1 HAVING max(ordered_at)"
_BEST = f"""
SELECT profile_id {_STANDING} AND ordered_at > now() - interval '365 days' GROUP BY 1
HAVING count(*) >= 4 AND sum(revenue - refunded) FILTER (WHERE currency = 'ILS') >= 1000
"""
BARE = {  # the shipped segments as somebody would ask by hand
    "buyers-new": f"SELECT profile_id {_STANDING} GROUP BY 1 HAVING min(ordered_at) >= now() - interval '30 days'",
    "buyers-active": f"{_LAST} >= now() - interval '90 days'",
    "buyers-slipping": f"{_LAST} BETWEEN now() - interval '180 days' AND now() - interval '90 days'",
    "buyers-lost": f"{_LAST} < now() - interval '180 days'",
    "buyers-best": f"{_BEST} AND max(ordered_at) >= now() - interval '90 days'",
    "buyers-best-quiet": f"{_BEST} AND max(ordered_at) < now() - interval '90 days'",
    "cart-left": "SELECT profile_id FROM carts WHERE status = 'open' AND value >= 0 GROUP BY 1 HAVING min(changed_at) <= now() - interval '1 hour'",
}
_PEOPLE = """
WITH made AS (
    INSERT INTO profiles (id, bucket, known, name, traits, first_seen, last_seen, search)
    SELECT gen_random_uuid(), n % 10000, true, 'Person ' || to_hex(n), jsonb_build_object('name', 'Person ' || to_hex(n), 'city', 'Haifa'),
           now() - interval '1 year', now() - random() * interval '300 days', array_to_tsvector(ARRAY['person', to_hex(n), 'haifa'])
    FROM generate_series((SELECT count(*) FROM profiles), :people - 1) n RETURNING id, name
) INSERT INTO identities (kind, value, profile_id, verified, first_seen) SELECT 'user_id', name, id, true, now() FROM made
"""
_ORDERS = """
INSERT INTO orders (source_id, order_id, profile_id, currency, revenue, items, ordered_at, version_at, version_accepted)
SELECT 10, 'bench-' || p.id, p.id, 'ILS', 100, '[]', p.last_seen, p.last_seen, 1
FROM profiles p WHERE NOT EXISTS (SELECT FROM events e WHERE e.profile_id = p.id)
"""
_EVENTS = """
INSERT INTO events (profile_id, occurred_at, accepted, received_at, source_id, message_id, type, name, origin, trusted, identities, properties, context, hops)
SELECT p.id, at, nextval('event_inbox_id'), at, 10, 'bench-' || g, 'track', name, 'history', true, '[]',
       jsonb_build_object('product_id', 'p' || g % 500), '{}', 0
FROM (SELECT g, 1 + floor(random() * :people)::int AS who, now() - random() * interval '363 days' AS at,
             (CAST(:names AS text[]))[1 + floor(random() ^ 2 * 5)::int] AS name FROM generate_series(1, :many) g) x
JOIN bench_people p ON p.n = x.who
"""
_FOUND = """
SELECT id, name, traits, last_seen FROM profiles WHERE search @@ CAST(:query AS tsquery) AND merged_into IS NULL AND known
ORDER BY last_seen DESC, id DESC LIMIT 51
"""
_FACTS = (
    "SELECT * FROM profiles WHERE id = :id",
    "SELECT * FROM identities WHERE profile_id = :id",
    "SELECT * FROM orders WHERE profile_id = :id",
    "SELECT * FROM carts WHERE profile_id = :id",
    "SELECT * FROM computed_traits WHERE profile_id = :id",
    "SELECT * FROM messages WHERE profile_id = :id ORDER BY id DESC LIMIT 10",
    "SELECT * FROM events WHERE profile_id = :id AND occurred_at > now() - interval '365 days' ORDER BY occurred_at DESC, accepted DESC LIMIT 26",
)
_MEMBERS = "INSERT INTO memberships (profile_id, segment_id, since) SELECT id, :id, :now FROM bench_people WHERE n <= :many"
