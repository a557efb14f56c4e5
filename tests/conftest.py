"""One embedded PostgreSQL and Valkey per run; a database per worker; a savepoint per test."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import CodeType

import pytest
from argon2 import PasswordHasher
from flask import Flask
from hypothesis import HealthCheck, settings
from jinja2 import BytecodeCache
from jinja2.bccache import Bucket
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from crm.core.db import engine_for
from crm.web import users
from tests.browsers import chromium, launched  # noqa: F401  fixtures
from tests.databases import Databases
from workers.migrate import migrate
from workers.servers import Postgres, Valkey

# Random examples are for `--full`: a check that may fail by chance on someone else's change is no check of that change.
# Nor is a busy machine, on which examples are slow to come; and a test's savepoint is taken back by the test itself.
UNASKED = (HealthCheck.too_slow, HealthCheck.function_scoped_fixture)
settings.register_profile("same every time", derandomize=True, deadline=None, suppress_health_check=UNASKED)
settings.register_profile("fresh", deadline=None, print_blob=True, suppress_health_check=UNASKED)
settings.load_profile("fresh" if os.environ.get("KESHER_TEST_FULL") else "same every time")

NOW = dt.datetime.now(dt.UTC).replace(microsecond=0)
LONG = ("tests/workers/test_up.py", "tests/test_stories.py", "tests/web/test_access.py", "tests/journeys/test_killed.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long begins first: at the end one worker would be alone with it."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONG))


@pytest.fixture(scope="session")
def home() -> Iterator[Path]:
    """A folder PostgreSQL's own user can reach, removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="kt-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres(home: Path) -> Iterator[Postgres]:
    """What it holds ends with the run, so nothing waits for the disk; whoever tests that it does starts a product of their own."""
    server = Postgres(home, options=["-c", "fsync=off", "-c", "full_page_writes=off"])
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def valkey(home: Path) -> Iterator[Valkey]:
    server = Valkey(home)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def engine(postgres: Postgres) -> Iterator[Engine]:
    """A migrated database."""
    made = engine_for(postgres.url)
    migrate(made, NOW)
    yield made
    made.dispose()


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    """A session inside a transaction that is rolled back; the code under test may commit (a savepoint)."""
    with engine.connect() as connection:
        outer = connection.begin()
        with Session(connection, expire_on_commit=False, join_transaction_mode="create_savepoint") as made:
            yield made
        outer.rollback()


@pytest.fixture(scope="session")
def databases(postgres: Postgres, engine: Engine) -> Databases:
    return Databases(postgres, engine)


@pytest.fixture
def fresh_url(databases: Databases) -> Iterator[str]:
    """A database of its own, for tests with several processes or connections: a copy of the migrated one."""
    with databases.copy() as url:
        yield url


class Compiled(BytecodeCache):
    """What Jinja made of the pages' templates: every test has an application of its own, the templates are the same."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], CodeType | None] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        bucket.code = self._kept.get((bucket.key, bucket.checksum))

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._kept[bucket.key, bucket.checksum] = bucket.code


@pytest.fixture(scope="session", autouse=True)
def quick() -> Iterator[None]:
    """Argon2 as everywhere, but cheap; templates compiled once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(users, "HASHER", PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))
        patch.setitem(Flask.jinja_options, "bytecode_cache", Compiled())
        yield


@pytest.fixture
def now() -> dt.datetime:
    return NOW
