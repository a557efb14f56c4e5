"""Several workers at once on one database: nobody is moved twice, nobody is left out."""

from __future__ import annotations

import datetime as dt
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.core.db import engine_for, sessions
from journeys import install
from journeys.engine import wake_due
from tests.makers import accepted, config, product, track
from workers import pipeline

MANY = 120


def test_workers_that_wake_at_the_same_time_share_the_work(fresh_url: str, now: dt.datetime) -> None:
    engine = engine_for(fresh_url, pool_size=6)
    opened = sessions(engine)
    with opened() as session:
        session.execute(text("INSERT INTO templates (name, channel, topic, purpose, version) VALUES ('abandoned_cart', 'email', 'offers', 'marketing', 1)"))
        install.install(session, now)
        calls = [track("Product Added", product("vase"), at=now, user_id=f"u{n}") for n in range(MANY)]
        pipeline.run(session, [accepted(call, now) for call in calls], now, config())
        session.commit()

    def work(_: int) -> int:
        moved = 0
        for _attempt in range(30):
            with opened() as session:
                moved += wake_due(session, now + dt.timedelta(hours=2), 10, config())
                session.commit()
        return moved

    with ThreadPoolExecutor(4) as workers:
        shares = list(workers.map(work, range(4)))
    with opened() as session:
        assert sum(shares) == MANY
        assert session.scalar(text("SELECT count(*) FROM messages")) == MANY
        assert session.scalar(text("SELECT count(*) FROM wakeups")) == 0
    engine.dispose()


def test_somebody_locked_elsewhere_is_left_for_the_next_call(fresh_url: str, now: dt.datetime) -> None:
    engine = engine_for(fresh_url, pool_size=6)
    opened = sessions(engine)
    with opened() as session:
        install.install(session, now)
        calls = [track("Product Added", product("vase"), at=now, user_id=who) for who in ("anna", "bella")]
        pipeline.run(session, [accepted(call, now) for call in calls], now, config())
        session.commit()
    later = now + dt.timedelta(hours=2)
    with opened() as busy, Session(engine) as worker:
        busy.execute(text("SELECT id FROM profiles ORDER BY id LIMIT 1 FOR UPDATE"))
        assert wake_due(worker, later, 10, config()) == 1
        worker.commit()
        busy.rollback()
        assert wake_due(worker, later, 10, config()) == 1
        worker.commit()
    engine.dispose()
