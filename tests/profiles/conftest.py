"""A database of its own for what takes several transactions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session, sessionmaker

from crm.core.config import Config
from crm.core.db import engine_for, sessions
from tests import makers


@pytest.fixture
def engine_here(fresh_url: str) -> Iterator[Engine]:
    made = engine_for(fresh_url)
    yield made
    made.dispose()


@pytest.fixture
def make(engine_here: Engine) -> sessionmaker[Session]:
    return sessions(engine_here)


@pytest.fixture
def config(tmp_path: Path, fresh_url: str) -> Config:
    return makers.config(home=tmp_path, database_url=fresh_url)
