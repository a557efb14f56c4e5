"""What the door acknowledged is on disk, whatever dies."""

from __future__ import annotations

import datetime as dt
import http.client
import json
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from segment.analytics.client import Client
from sqlalchemy.orm import Session, sessionmaker

from crm.core import partitions
from crm.core.db import engine_for, sessions
from crm.events import batcher
from crm.events.batcher import Batcher, Submission, UnavailableError
from tests.events.conftest import Door, serve
from tests.waiting import PATIENCE

DEAD = (OSError, http.client.HTTPException)


def line(mark: str, received: dt.datetime | None = None, source: str = "10") -> bytes:
    """A row in COPY's text format, as the door writes it."""
    return "\t".join([(received or dt.datetime.now(dt.UTC)).isoformat(), source, "t", "live", "3", "\\N", f'{{"m":"{mark}"}}']).encode() + b"\n"


def send_until_it_dies(door: Door, sender: int, acknowledged: list[str]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", door.port, timeout=PATIENCE)
    for number in range(1_000_000):
        name = f"kill-{sender}-{number}"
        body = {"userId": "u", "event": "x", "messageId": name, "writeKey": door.server_key}
        try:
            connection.request("POST", "/v1/track", json.dumps(body))
            answer = connection.getresponse()
            answer.read()
        except DEAD:
            return
        if answer.status == 200:
            acknowledged.append(name)


def test_every_acknowledged_call_survives_kill_9_of_the_web_processes(home: Path, fresh_url: str) -> None:
    door = serve(home, fresh_url)
    acknowledged: list[str] = []
    threads = [threading.Thread(target=send_until_it_dies, args=(door, n, acknowledged)) for n in range(8)]
    for thread in threads:
        thread.start()
    until = time.monotonic() + PATIENCE
    while len(acknowledged) <= 300:
        assert time.monotonic() < until and any(thread.is_alive() for thread in threads)
        time.sleep(0.01)
    door.kill()
    for thread in threads:
        thread.join()
    kept = {row["messageId"] for row in door.kept("true")}
    assert set(acknowledged) <= kept


def test_the_answer_waits_for_the_commit(served: Door) -> None:
    with ThreadPoolExecutor(1) as pool, psycopg.connect(served.database_url) as other:
        served.post("/v1/track", {"userId": "warm", "event": "x"})
        other.execute("LOCK TABLE event_inbox IN ACCESS EXCLUSIVE MODE")
        waiting = pool.submit(served.post, "/v1/track", {"userId": "slow", "event": "x"})
        time.sleep(0.4)
        assert not waiting.done()
        other.rollback()
        assert waiting.result(PATIENCE).status == 200


def test_a_lost_connection_is_made_again_without_a_word(served: Door) -> None:
    for _ in range(2):
        served.post("/v1/track", {"userId": "warm", "event": "x"})
        with psycopg.connect(served.database_url, autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()")
        assert [served.post("/v1/track", {"userId": "after", "event": "x"}).status for _ in range(6)] == [200] * 6


def test_the_python_client_of_segment_delivers(served: Door) -> None:
    failures: list[object] = []
    client = Client(served.browser_key, host=f"http://127.0.0.1:{served.port}", gzip=True, max_retries=0, on_error=lambda *args: failures.append(args))
    client.identify("segment-1", {"email": "dana@example.com"})
    for number in range(250):
        client.track("segment-1", "Product Added", {"product_id": number})
    client.group("segment-1", "g")
    client.alias("segment-0", "segment-1")
    client.flush()
    client.join()
    kept = served.kept("body LIKE %s", "%segment-1%")
    assert failures == []
    assert [row["type"] for row in kept] == ["identify", *["track"] * 250, "group", "alias"]
    assert [row["properties"]["product_id"] for row in kept[1:251]] == list(range(250))


def test_concurrent_requests_share_commits(own_database: str, factory: sessionmaker[Session], monkeypatch: pytest.MonkeyPatch) -> None:
    commits: list[int] = []
    real = Batcher._commit

    def slowly(self: Batcher, group: Sequence[Submission]) -> psycopg.Error | None:
        commits.append(len(group))
        time.sleep(0.01)
        return real(self, group)

    monkeypatch.setattr(Batcher, "_commit", slowly)
    made = Batcher(own_database, factory)
    with ThreadPoolExecutor(40) as pool:
        list(pool.map(lambda n: made.submit(line(f"shared-{n}")), range(400)))
    assert sum(commits) == 400
    assert len(commits) < 100


def test_lines_postgresql_refuses_fail_alone(own_database: str, factory: sessionmaker[Session]) -> None:
    sent = [Submission(rows, b"") for rows in (line("good-1"), line("bad", source="ten"), line("good-2"))]
    Batcher(own_database, factory)._write(sent)
    assert [type(one.error) for one in sent] == [type(None), psycopg.errors.InvalidTextRepresentation, type(None)]
    assert all(one.wait(0) for one in sent)
    with pytest.raises(UnavailableError):
        Batcher(own_database, factory).submit(line("bad", source="ten"))


def test_a_missing_day_is_made(fresh_url: str) -> None:
    engine = engine_for(fresh_url)
    today = partitions.day_bounds(dt.datetime.now(dt.UTC))[0]
    with psycopg.connect(fresh_url, autocommit=True) as connection:
        connection.execute(f"DROP TABLE event_inbox_{today:%Y%m%d}")
        Batcher(fresh_url, sessions(engine)).submit(line("today"))
        assert connection.execute("SELECT count(*) FROM event_inbox").fetchone() == (1,)
    engine.dispose()


def test_hints_follow_commits_at_most_every_50_ms(own_database: str, factory: sessionmaker[Session]) -> None:
    hints: list[float] = []
    made = Batcher(own_database, factory, lambda: hints.append(time.monotonic()))
    for number in range(100):
        made.submit(line(f"hint-{number}"))
    until = time.monotonic() + PATIENCE
    while not hints:
        assert time.monotonic() < until
        time.sleep(batcher.HINT_EVERY)
    assert all(later - earlier >= batcher.HINT_EVERY for earlier, later in zip(hints, hints[1:], strict=False))
