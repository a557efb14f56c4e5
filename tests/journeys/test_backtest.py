"""A period lived again: what a drawing would have done, and that runs of then go the same way when they are decided anew."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from crm.core.db import engine_for, sessions
from journeys import backtest
from journeys.backtest_models import Backtest
from tests.journeys import history
from tests.makers import config
from workers.servers import Postgres

CONFIG = config()
DAYS, PEOPLE = 3, 200
HOUR = dt.timedelta(hours=1)


@pytest.fixture(scope="module")
def week(postgres: Postgres, engine: Engine) -> Iterator[tuple[Engine, dt.datetime]]:
    """A database that has lived through some days."""
    name = f"t{os.urandom(6).hex()}"
    engine.dispose()
    with psycopg.connect(postgres.url_for("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE kesher STRATEGY file_copy")
    made = engine_for(postgres.url_for(name))
    began = dt.datetime.now(dt.UTC).replace(minute=0, second=0, microsecond=0) - dt.timedelta(days=DAYS + 1)
    history.make(made, began, CONFIG, people=PEOPLE, days=DAYS)
    yield made, began
    made.dispose()
    with psycopg.connect(postgres.url_for("postgres"), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def now_of(began: dt.datetime) -> dt.datetime:
    return began + dt.timedelta(days=DAYS, hours=12)


def run(engine: Engine, slug: str, kind: backtest.Kind, period: tuple[dt.datetime, dt.datetime], **settings: Any) -> Backtest:
    """Ask for it and work until it is over."""
    maker = sessions(engine)
    with maker() as session:
        asked = backtest.ask(session, slug, kind=kind, period=period, settings=settings, now=dt.datetime.now(dt.UTC), by="noa")
        session.commit()
    while backtest.work(maker, CONFIG):
        pass
    with maker() as session:
        return session.get_one(Backtest, asked.id)


@pytest.mark.parametrize("slug", list(history.DRAWINGS))
def test_every_run_decided_anew_goes_the_way_it_went(week: tuple[Engine, dt.datetime], slug: str) -> None:
    engine, began = week
    found = run(engine, slug, "replay", (began, now_of(began)))
    assert (found.status, found.error) == ("done", "")
    assert found.report["differences"] == []
    with Session(engine) as session:
        there = session.scalar(text("SELECT count(*) FROM runs r JOIN journeys j ON j.id = r.journey_id WHERE slug = :slug"), {"slug": slug})
    assert found.report["same"] == found.report["runs"] == there
    assert there and there > 50
