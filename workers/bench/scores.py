"""How fast scores are: learning from 100,000 leads, and scoring a million people with their features, beside the bare estimator."""

from __future__ import annotations

import datetime as dt
import multiprocessing
import resource
import time
import uuid
from collections.abc import Sequence
from contextlib import ExitStack

import numpy as np
from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.core import clock, partitions
from crm.core.config import Config
from crm.core.db import engine_for, sessions
from crm.core.ids import new_id
from crm.core.json import dumps
from crm.events.inbox import driver
from crm.scores import apply, estimate, train
from crm.scores.estimate import Column, Matrix
from crm.scores.measure import Floats
from crm.scores.score import find
from crm.scores.score_models import LeadColumn, ScoreKind
from crm.scores.work import PAGE
from workers.bench import Measure, sales_queue

LEADS, COLUMNS, WORDS = 100_000, 40, 8  # of the columns eight are categories
PEOPLE, EVENTS = 1_000_000, 10  # events a person, on average, within four months


def run(config: Config, quick: bool) -> list[Measure]:
    """`train_100k`, `score_1m` (s), `score_memory` (MB of the process that scores), and the queue's. Floors: one bare fit, one bare prediction.

    Both are from the rows in the database to the rows in the database: features, the scan, both estimators, figures; chances, reasons, bands, traits.
    """
    leads, people = (5_000, 20_000) if quick else (LEADS, PEOPLE)
    with ExitStack() as stack:
        engine = engine_for(config.database_url)
        stack.callback(engine.dispose)
        with sessions(engine)() as session:
            trained = _training(session, leads, config)
        with sessions(engine)() as session:
            _shop(session, people)
            now = clock.now()
            version = train.train(session, find(session, "lead"), config=config, now=now)
            version.state, width, model = "champion", len(version.features), version.algorithm
            session.commit()
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            seconds, memory, scored = pool.apply(_everybody, (config,))
        if scored < people:
            raise RuntimeError(f"only {scored} of {people} were scored")
    print(f"scored with {width} features by {model}")
    floor, queue = _bare_prediction(people, width), sales_queue.run(config, quick)
    scored_in = Measure("score_1m", seconds, "s", floor, seconds / floor, clock.now())
    return [trained, scored_in, Measure("score_memory", memory, "MB", None, None, clock.now()), *queue]


def _training(session: Session, leads: int, config: Config) -> Measure:
    """A label in an imported column, forty other columns; gone again afterwards."""
    y, columns, matrix = _leads(session, leads)
    now = clock.now()
    session.add(ScoreKind(kind="bench", title="bench", label={"column": "won", "values": ["1"]}, created_at=now))
    session.add_all(
        LeadColumn(name=one.name, type="words" if one.type == "category" else "number", filled_by="lead", filled_when="entry", at=now) for one in columns
    )
    session.commit()
    began = time.perf_counter()
    version = train.train(session, find(session, "bench"), config=config, now=now)
    session.commit()
    seconds = time.perf_counter() - began
    print(f"AUC {version.metrics['measures']['auc']['value']:.3f} by {version.algorithm}, {len(version.features)} columns, {version.rows} leads")
    began = time.perf_counter()
    estimate.fit("trees", columns, matrix, y)
    floor = time.perf_counter() - began
    session.execute(text("TRUNCATE profiles, lead_columns, score_kinds, score_versions, score_flags"))
    session.commit()
    return Measure("train_100k", seconds, "s", floor, seconds / floor, clock.now())


def _leads(session: Session, count: int) -> tuple[Floats, Sequence[Column], Matrix]:
    chance = np.random.default_rng(17)
    matrix = chance.normal(size=(count, COLUMNS)).astype(np.float32)
    columns = [Column(f"n{at}", "number") for at in range(COLUMNS - WORDS)]
    for at in range(COLUMNS - WORDS, COLUMNS):
        matrix[:, at] = chance.integers(0, 12, count)
        columns.append(Column(f"w{at}", "category", tuple(f"value {code}" for code in range(12))))
    z = matrix[:, 0] - 0.7 * matrix[:, 1] + 0.5 * matrix[:, 2] * matrix[:, 3] + 0.3 * (matrix[:, -1] > 8) - 1.5
    y = (chance.random(count) < 1 / (1 + np.exp(-z))).astype(float)
    matrix[chance.random(matrix.shape) < 0.1] = np.nan
    now = clock.now()
    stamp = dumps(dict.fromkeys(["won", *(column.name for column in columns)], [int(now.timestamp() * 1000), 1]))
    with driver(session).cursor().copy("COPY profiles (id, bucket, known, traits, traits_at, first_seen, last_seen) FROM STDIN") as copy:
        for row in range(count):
            known = {column.name: _cell(column, float(value)) for column, value in zip(columns, matrix[row], strict=True) if value == value}  # noqa: PLR0124  not a number is not itself
            copy.write_row((new_id(), 1, True, dumps(known | {"won": int(y[row])}), stamp, now, now))
    session.commit()
    return y, columns, matrix


def _cell(column: Column, value: float) -> object:
    return column.categories[int(value)] if column.type == "category" else round(value, 4)


def _shop(session: Session, people: int) -> None:
    """A shop of four months, made by the server itself."""
    now = clock.now()
    partitions.ensure(session, "events", [partitions.month_bounds(now - dt.timedelta(days=28 * at)) for at in range(7)])
    session.execute(text(_PEOPLE), {"people": people, "now": now})
    step = 100_000
    for first in range(0, people, step):
        session.execute(text(_EVENTS), {"first": first, "last": min(people, first + step) - 1, "each": EVENTS, "now": now})
        session.commit()
    session.execute(text("ANALYZE profiles, events"))
    session.commit()


def _everybody(config: Config) -> tuple[float, float, int]:
    """In a process of its own: a whole round, page by page as at night; seconds, megabytes at most, people."""
    engine = engine_for(config.database_url)
    began, scored, after = time.perf_counter(), 0, uuid.UUID(int=0)
    with sessions(engine)() as session:
        shop = apply.shop_of(session, config, clock.now())
    while True:
        with sessions(engine)() as session:
            now, score = clock.now(), find(session, "lead")
            people = apply.everybody(session, after=after, limit=PAGE, now=now)
            if people is None or people.between is None:
                break
            scored += apply.apply(session, score, apply.serving_model(session, score), people, config=config, now=now, shop=shop)
            after = people.between[1]
            session.commit()
    seconds = time.perf_counter() - began
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, scored


def _bare_prediction(rows: int, width: int) -> float:
    """The estimator on a matrix that is there already."""
    chance = np.random.default_rng(5)
    matrix = chance.normal(size=(rows, width)).astype(np.float32)
    few = matrix[:20_000]
    fitted = estimate.fit("trees", [Column(f"n{at}", "number") for at in range(width)], few, (few[:, 0] + chance.normal(size=len(few)) > 0).astype(float))
    began = time.perf_counter()
    fitted.raw(matrix)
    return time.perf_counter() - began


_PEOPLE = """
INSERT INTO profiles (id, bucket, known, traits, traits_at, first_seen, last_seen)
SELECT CAST('0190' || lpad(to_hex(i), 8, '0') || '7000' || substr(md5(i::text), 1, 16) AS uuid), i % 10000, true,
       jsonb_build_object('language', CASE WHEN i % 3 = 0 THEN 'en' ELSE 'he' END, 'country', 'IL'), '{}', CAST(:now AS timestamptz) - interval '130 days', :now
FROM generate_series(0, :people - 1) i
"""
_EVENTS = """
INSERT INTO events (profile_id, occurred_at, accepted, received_at, source_id, message_id, type, name, origin, trusted, identities, properties, context, hops)
SELECT CAST('0190' || lpad(to_hex(i), 8, '0') || '7000' || substr(md5(i::text), 1, 16) AS uuid), at, i * 1000 + n, at, 10, 'b' || i || '-' || n, 'track',
       name, 'live', true, '[]',
       CASE name WHEN 'Order Completed' THEN jsonb_build_object('revenue', 50 + i % 300, 'order_id', i || '-' || n)
                 WHEN 'Product Viewed' THEN jsonb_build_object('category', 'c' || (i + n) % 9) ELSE '{}' END,
       CASE WHEN n = 0 THEN jsonb_build_object('campaign', jsonb_build_object('source', 's' || i % 5)) ELSE '{}' END, 0
FROM generate_series(CAST(:first AS integer), CAST(:last AS integer)) i
CROSS JOIN LATERAL generate_series(0, CAST(floor(random() * (2 * :each + 1)) AS integer) - 1 + 0 * i) n
CROSS JOIN LATERAL (SELECT CAST(:now AS timestamptz) - random() * 118 * interval '1 day' + 0 * n * interval '1 day' AS at,
  (ARRAY['Page Viewed', 'Page Viewed', 'Page Viewed', 'Product Viewed', 'Product Viewed', 'Product Viewed', 'Product Added', 'Products Searched',
         'Checkout Started', 'Order Completed'])[1 + CAST(floor(random() * (CASE WHEN i % 4 = 0 THEN 10 ELSE 9.05 END)) AS integer) + 0 * n] AS name) e
"""
