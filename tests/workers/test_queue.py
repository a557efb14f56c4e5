"""Hints: one on its way is enough, and a broker that is down stops nobody."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from crm.core.config import Config
from workers import queue
from workers.queue import Hints, broker_url
from workers.servers import Valkey


def config_for(redis_url: str) -> Config:
    return Config(home=Path("/nowhere"), database_url="", redis_url=redis_url, smtp_url="", secret_key="x")


@pytest.fixture
def broker(valkey: Valkey) -> Iterator[redis.Redis]:
    client = redis.Redis.from_url(valkey.url)
    client.flushdb()
    yield client
    client.flushdb()
    client.close()


def test_many_hints_at_once_are_one_task(valkey, broker, monkeypatch):
    monkeypatch.setattr(queue, "PENDING_MS", 600_000)  # the first may take long: Celery is loaded, and a slow machine is slow
    hints = Hints(config_for(valkey.url))
    assert [hints.hint("drain") for _ in range(20)] == [True] + [False] * 19
    assert broker.llen("celery") == 1


def test_each_kind_of_work_has_its_own_hint(valkey, broker):
    hints = Hints(config_for(valkey.url))
    assert hints.hint("drain")
    assert hints.hint("deliver")
    assert broker.llen("celery") == 2


def test_what_comes_after_a_worker_began_is_hinted_anew(valkey, broker):
    hints = Hints(config_for(valkey.url))
    hints.hint("wake")
    hints.taken("wake")
    assert hints.hint("wake")
    assert broker.llen("celery") == 2


def test_a_hint_that_got_lost_does_not_silence_the_next_for_ever(valkey, broker, monkeypatch):
    monkeypatch.setattr(queue, "PENDING_MS", 600_000)
    hints = Hints(config_for(valkey.url))
    hints.hint("drain")
    assert 0 < broker.pttl("kesher:hint:drain") <= 600_000


def test_a_broker_that_is_down_is_logged_and_left_alone_for_a_while(tmp_path, monkeypatch):
    hints, knocks = Hints(config_for(f"unix://{tmp_path}/nobody.sock?db=0")), []
    monkeypatch.setattr(queue, "REST_S", 600)
    monkeypatch.setattr(hints._valkey, "set", lambda *said, knock=hints._valkey.set, **more: (knocks.append(said), knock(*said, **more)))
    assert [hints.hint("drain") for _ in range(50)] == [False] * 50
    assert len(knocks) == 1


@pytest.mark.parametrize(
    ("url", "kombu"),
    [
        ("unix:///run/kesher/valkey.sock?db=0", "redis+socket:///run/kesher/valkey.sock?virtual_host=0"),
        ("unix:///run/v.sock", "redis+socket:///run/v.sock?virtual_host=0"),
        ("redis://:pw@broker:6379/3", "redis://:pw@broker:6379/3"),
        ("sentinel://one:26379/0", "sentinel://one:26379/0"),
    ],
)
def test_addresses_of_the_broker_are_translated_for_kombu(url, kombu):
    assert broker_url(url) == kombu
