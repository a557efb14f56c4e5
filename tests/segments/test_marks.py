"""Whoever is marked is looked at afterwards, whatever another worker does at that moment."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterator

import pytest
from sqlalchemy.orm import Session, sessionmaker

from crm.core.db import engine_for, sessions
from crm.profiles import accounts
from crm.segments import refresh
from tests import makers
from tests.segments.test_refresh import CONFIG, happen, make, members
from tests.waiting import until_it_waits

GOLD = {"kind": "account", "name": "tier", "value": "gold"}


@pytest.fixture
def made(fresh_url: str) -> Iterator[sessionmaker[Session]]:
    engine = engine_for(fresh_url)
    yield sessions(engine)
    engine.dispose()


def save(session: Session, now: dt.datetime, tier: str) -> accounts.Account:
    return accounts.save(session, key="acme", name="Acme", domain=None, parent=None, traits={"tier": tier}, now=now)


def test_a_mark_renewed_while_it_is_looked_at_stays(made: sessionmaker[Session], now: dt.datetime) -> None:
    with made() as session:
        make(session, now, "gold", GOLD)
        happen(session, now, makers.track("Page Viewed", at=now, user_id="dana"))
        [dana] = [row.id for row in makers.profiles(session)]
        accounts.set_member(session, account_id=save(session, now, "silver").id, profile_id=dana, role="buyer", now=now)
        session.commit()

    def look() -> None:
        with made() as session:
            refresh.lapse_due(session, now, 100, CONFIG)
            session.commit()

    with made() as session:
        save(session, now + dt.timedelta(seconds=1), "gold")
        looking = threading.Thread(target=look)
        looking.start()
        until_it_waits(session, looking)
        session.commit()
    looking.join()
    look()
    with made() as session:
        assert members(session, "gold") == 1
