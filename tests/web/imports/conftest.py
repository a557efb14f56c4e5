"""An empty product of its own, for files that people upload."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.orm import Session, sessionmaker

from crm.core import clock
from crm.core.config import Config
from crm.core.db import engine_for, sessions
from crm.messages import templates


@pytest.fixture
def made(fresh_url: str) -> Iterator[sessionmaker[Session]]:
    engine = engine_for(fresh_url)
    found = sessions(engine)
    with found() as session:
        templates.install(session, templates.shipped_templates(), clock.now())
        session.commit()
    yield found
    engine.dispose()


@pytest.fixture
def config(tmp_path: Path, fresh_url: str) -> Config:
    return Config(tmp_path, fresh_url, "", "", "secret")
