"""One embedded PostgreSQL and Valkey per run; a database per worker; a savepoint per test."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from hypothesis import settings
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from crm.core.db import engine_for
from workers.migrate import migrate
from workers.servers import Postgres, Valkey

# Random examples are for `--full`: a check that may fail by chance on someone else's change is no check of that change.
settings.register_profile("same every time", derandomize=True, deadline=None)
settings.register_profile("fresh", deadline=None, print_blob=True)
settings.load_profile("fresh" if os.environ.get("KESHER_TEST_FULL") else "same every time")

NOW = dt.datetime.now(dt.UTC).replace(microsecond=0)


@pytest.fixture(scope="session")
def home() -> Iterator[Path]:
    """A folder PostgreSQL's own user can reach, removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="kt-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres(home: Path) -> Iterator[Postgres]:
    server = Postgres(home)
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


@pytest.fixture
def fresh_url(postgres: Postgres, engine: Engine) -> Iterator[str]:
    """A database of its own, for tests with several processes or connections: a copy of the migrated one."""
    name = f"t{os.urandom(6).hex()}"
    engine.dispose()
    with psycopg.connect(postgres.url_for("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE kesher STRATEGY file_copy")
    yield postgres.url_for(name)
    with psycopg.connect(postgres.url_for("postgres"), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def now() -> dt.datetime:
    return NOW
