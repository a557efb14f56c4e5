"""A served door: granian in a process of its own, over a database of its own."""

from __future__ import annotations

import base64
import gzip
import http.client
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy.orm import Session, sessionmaker

from crm.core.config import Config
from crm.core.db import engine_for, sessions
from crm.events import keys
from crm.events.intake import Intake
from tests.databases import Databases
from tests.serving import free_port
from tests.waiting import PATIENCE

ROOT = Path(__file__).parent.parent.parent


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> str:
        return str(json.loads(self.body)["error"])


@dataclass
class Door:
    """A place that takes calls, with a key of each kind, and a way to see what it kept."""

    database_url: str
    server_key: str
    browser_key: str
    port: int = 0
    intake: Intake | None = None
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def post(self, path: str, body: Any, *, key: str | None = "", method: str = "POST", zipped: bool = False, **headers: str) -> Answer:
        """`key` "" is the server key, None sends none; a body that is no bytes is sent as JSON."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        if zipped:
            data, headers["Content-Encoding"] = gzip.compress(data), "gzip"
        if key is not None:
            headers["Authorization"] = "Basic " + base64.b64encode(f"{key or self.server_key}:".encode()).decode()
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return self._inside(method, path, data, sent) if self.intake else self._over_http(method, path, data, sent)

    def _over_http(self, method: str, path: str, data: bytes, headers: dict[str, str]) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        connection.request(method, path, data, headers)
        answer = connection.getresponse()
        found = Answer(answer.status, dict(answer.getheaders()), answer.read())
        connection.close()
        return found

    def _inside(self, method: str, path: str, data: bytes, headers: dict[str, str]) -> Answer:
        environ = {"REQUEST_METHOD": method, "PATH_INFO": path, "CONTENT_LENGTH": str(len(data)), "wsgi.input": io.BytesIO(data)}
        environ |= {"HTTP_" + name.upper().replace("-", "_"): value for name, value in headers.items()}
        said: list[Any] = []
        body = b"".join(self.intake(environ, lambda *args: said.extend(args)))
        return Answer(int(said[0][:3]), dict(said[1]), body)

    def rows(self, query: str, *args: Any) -> list[Any]:
        with psycopg.connect(self.database_url) as connection:
            return connection.execute(query, args).fetchall()

    def kept(self, where: str, *args: Any) -> list[dict[str, Any]]:
        """The bodies in the inbox, oldest first."""
        return [json.loads(body) for (body,) in self.rows(f"SELECT body FROM event_inbox WHERE {where} ORDER BY id", *args)]

    def kill(self) -> None:
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def environment(home: Path, database_url: str) -> dict[str, str]:
    given = {"KESHER_HOME": str(home), "DATABASE_URL": database_url, "REDIS_URL": "", "SMTP_URL": "", "KESHER_SECRET_KEY": "s"}
    return {**os.environ, **given, "PYTHONPATH": str(ROOT)}


def config_for(home: Path, database_url: str) -> Config:
    return Config(home=home, database_url=database_url, redis_url="", smtp_url="", secret_key="s")


def with_keys(database_url: str) -> Door:
    engine = engine_for(database_url)
    with Session(engine) as session:
        door = Door(database_url, keys.create(session, source_name="shop", kind="server"), keys.create(session, source_name="shop", kind="browser"))
        session.commit()
    engine.dispose()
    return door


def serve(home: Path, database_url: str) -> Door:
    """granian with two workers, as the product runs it."""
    door = with_keys(database_url)
    door.port = free_port()
    command = [sys.executable, "-m", "granian", "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(door.port), "--workers", "2",
               "--blocking-threads", "16", "tests.events.served:application"]  # fmt: skip
    door.process = subprocess.Popen(command, cwd=ROOT, env=environment(home, database_url), start_new_session=True)
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and door.process.poll() is None:
        try:
            door.post("/v1/track", {}, key=None)
        except OSError:
            time.sleep(0.05)
        else:
            return door
    raise AssertionError("granian did not start")


@pytest.fixture(scope="session")
def own_database(databases: Databases) -> Iterator[str]:
    """One migrated database for all tests here that look only at their own rows."""
    with databases.copy() as url:
        yield url


@pytest.fixture(scope="session")
def served(home: Path, own_database: str) -> Iterator[Door]:
    door = serve(home, own_database)
    yield door
    door.kill()


@pytest.fixture(scope="session")
def factory(own_database: str) -> Iterator[sessionmaker[Session]]:
    engine = engine_for(own_database)
    yield sessions(engine)
    engine.dispose()


@pytest.fixture(scope="session")
def door(home: Path, own_database: str, factory: sessionmaker[Session]) -> Door:
    """The same callable inside this process, for tests with many calls."""
    made = with_keys(own_database)
    made.intake = Intake(config_for(home, own_database), factory)
    return made
