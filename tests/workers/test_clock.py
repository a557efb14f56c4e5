"""The clock: one leads, another takes over at once; what is due is hinted at."""

from __future__ import annotations

import dataclasses
import datetime as dt
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
import redis
from sqlalchemy import text

from crm.core.config import Config
from tests.waiting import PATIENCE
from workers import clock, queue
from workers.process import Tools, tools
from workers.queue import NAMES, broker_url

CLOCK = "from workers.clock import main; main()"


def until(true: Callable[[], object]) -> bool:
    deadline = time.monotonic() + PATIENCE
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@pytest.fixture
def config(fresh_url, valkey, home) -> Config:
    return Config(home=home, database_url=fresh_url, redis_url=valkey.url, smtp_url="smtp://127.0.0.1:1", secret_key="x")


@pytest.fixture
def ours(config: Config, monkeypatch: pytest.MonkeyPatch) -> Tools:
    monkeypatch.setattr(queue, "PENDING_MS", 600_000)  # a hint is looked for after Celery was loaded, which may take longer than hints last
    redis.Redis.from_url(config.redis_url).flushdb()
    made = tools(config)
    yield made
    made.engine.dispose()


def start_clock(config: Config, folder: Path, name: str) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        "KESHER_HOME": str(config.home),
        "DATABASE_URL": config.database_url,
        "REDIS_URL": config.redis_url,
        "SMTP_URL": config.smtp_url,
        "KESHER_SECRET_KEY": "x",
    }
    return subprocess.Popen([sys.executable, "-c", CLOCK], env=environment, stderr=(folder / name).open("wb"))


def test_another_clock_leads_at_once_when_the_leader_is_killed(config, tmp_path):
    def leads(name: str) -> bool:
        return "clock_leads" in (tmp_path / name).read_text()

    def refused() -> bool:
        """Whether both stand for election: the leader's lock is asked for once a second."""
        asking = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'kesher-clock' AND query LIKE %s AND datname = current_database()"
        with psycopg.connect(config.database_url) as connection:
            return connection.execute(asking, ["%pg_try_advisory_lock%"]).fetchone() == (1,) and leads("first")

    clocks = [start_clock(config, tmp_path, "first")]
    try:
        assert until(lambda: leads("first"))
        assert until(lambda: not refused())  # it asks no more, and looks after its connection
        clocks.append(start_clock(config, tmp_path, "second"))
        assert until(refused)
        assert not leads("second")
        clocks[0].kill()
        clocks[0].wait()
        assert until(lambda: leads("second"))
        clocks[1].send_signal(signal.SIGTERM)
        assert clocks[1].wait(PATIENCE) == 0
    finally:
        for process in clocks:
            process.kill()
            process.wait()


def hinted(ours: Tools) -> set[str]:
    client = redis.Redis.from_url(ours.config.redis_url)
    return {name for name in NAMES if client.exists(f"kesher:hint:{name}")}


def test_nothing_due_is_not_hinted_at(ours):
    clock.sweep(ours)
    assert hinted(ours) == set()


def test_what_is_due_is_hinted_at_and_what_is_not_is_left(ours):
    past, future = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=1), dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
    with ours.sessions() as session:
        for due in (past, future):
            session.execute(text("INSERT INTO wakeups (run_id, profile_id, due_at) VALUES (:r, :p, :d)"), {"r": uuid.uuid4(), "p": uuid.uuid4(), "d": due})
        session.execute(text("INSERT INTO outbox (message_id, profile_id, due_at) VALUES (:m, :p, :d)"), {"m": uuid.uuid4(), "p": uuid.uuid4(), "d": future})
        session.commit()
    clock.sweep(ours)
    assert hinted(ours) == {"wake"}


def test_a_database_that_is_away_does_not_end_the_sweep(ours):
    away = dataclasses.replace(ours, sessions=tools(dataclasses.replace(ours.config, database_url="postgresql://nobody@127.0.0.1:1/none")).sessions)
    clock.sweep(away)
    assert hinted(ours) == set()


def test_the_leaders_connection_notices_a_dead_host():
    said = psycopg.conninfo.conninfo_to_dict(clock._with_keepalives("postgresql://kesher@db/kesher"))
    assert (said["keepalives_idle"], said["tcp_user_timeout"]) == ("5", "10000")


def test_celery_speaks_to_the_same_database_of_the_broker(config):
    assert broker_url(config.redis_url).endswith("virtual_host=0")
