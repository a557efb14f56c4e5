"""Work that others keep getting in the way of is put back, not blamed on the calls."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session, sessionmaker

from crm.core import db
from crm.events import inbox
from crm.events.inbox import NewRow
from crm.events.models import LIVE
from crm.profiles.identify import StaleError
from tests import makers
from workers import pipeline


@pytest.fixture
def sessions(fresh_url: str) -> Iterator[sessionmaker[Session]]:
    engine = db.engine_for(fresh_url)
    yield db.sessions(engine)
    engine.dispose()


def count(sessions: sessionmaker[Session], what: str) -> int:
    with sessions() as session:
        return int(session.scalar(text(f"SELECT count(*) FROM {what}")) or 0)


def test_people_whom_others_keep_taking_wait_for_the_next_turn(sessions: sessionmaker[Session], now: dt.datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    with sessions() as session:
        shop = makers.source(session)
        calls = [makers.track("Page Viewed", at=now, anonymous_id="a") for _ in range(4)]
        inbox.append(session, [NewRow(shop, True, LIVE, call) for call in calls], now)
        session.commit()
    tried = []

    def taken(_session: Session, batch: Any, _now: dt.datetime) -> None:
        tried.append(len(batch))
        raise StaleError

    with monkeypatch.context() as busy:
        busy.setattr(pipeline, "identify", taken)
        assert pipeline.drain(sessions, makers.config()) == 0
    assert set(tried) == {4}
    assert (count(sessions, "quarantine"), count(sessions, "event_inbox WHERE processed_at IS NULL")) == (0, 4)
    assert pipeline.drain(sessions, makers.config()) == 4
    assert count(sessions, "events") == 4
