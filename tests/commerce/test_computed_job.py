"""The job that keeps computed traits in step."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session, sessionmaker

from crm.commerce import computed, demand
from crm.core.db import engine_for, sessions
from crm.profiles.find import find
from tests import makers
from tests.makers import accepted, track
from workers import pipeline
from workers.due import due

CONFIG = makers.config()


@pytest.fixture
def make(fresh_url: str) -> Iterator[sessionmaker[Session]]:
    engine = engine_for(fresh_url)
    yield sessions(engine)
    engine.dispose()


def test_the_job_takes_what_the_pipeline_marked_one_worker_at_a_time(make: sessionmaker[Session], now: dt.datetime) -> None:
    with make() as session:
        pipeline.run(
            session, [accepted(track("Order Completed", {"order_id": "1", "revenue": "100", "currency": "ILS"}, at=now, user_id="dana"), now)], now, CONFIG
        )
        session.commit()
    with make() as other:
        other.execute(text("SELECT pg_advisory_xact_lock(:lock, 0)"), {"lock": computed._LOCK})
        assert computed.work(make, CONFIG, lambda: now) == 0
    assert computed.work(make, CONFIG, lambda: now) == 1
    with make() as session:
        profile_id = find(session, "user_id", "dana")
        assert profile_id is not None
        assert {one.name: one.value for one in computed.of(session, profile_id)}["revenue"] == 100
    for _ in range(5):
        computed.work(make, CONFIG, lambda: now)
    assert computed.work(make, CONFIG, lambda: now) == 0


def test_the_round_is_due_by_its_own_hour(session: Session, now: dt.datetime) -> None:
    pipeline.run(session, [accepted(track("Page Viewed", at=now, user_id="dana"), now)], now, CONFIG)
    session.execute(text("DELETE FROM computed_dirty"))
    demand.pair(session, now)
    assert "compute" in due(session, now)
    computed.go_round(session, CONFIG, now)
    session.execute(text("DELETE FROM computed_dirty"))
    assert "compute" not in due(session, now)
