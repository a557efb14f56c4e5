"""The pipeline under load and under attack: one poisonous event, two workers, restarts."""

from __future__ import annotations

import datetime as dt
import random
import string
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session, sessionmaker

from crm.core import db
from crm.events import inbox
from crm.events.inbox import NewRow
from crm.events.models import LIVE
from crm.events.spec import Call
from tests import makers
from workers import pipeline

LONG = "".join(random.Random(7).choices(string.ascii_letters + string.digits, k=9_000))  # noqa: S311  too long for any index, and no packing makes it shorter
CONFIG = makers.config()


@pytest.fixture
def sessions(fresh_url: str) -> Iterator[sessionmaker[Session]]:
    engine = db.engine_for(fresh_url)
    yield db.sessions(engine)
    engine.dispose()


def put(sessions: sessionmaker[Session], calls: list[Call], now: dt.datetime, *, trusted: bool = True) -> None:
    with sessions() as session:
        shop = makers.source(session)
        for number, call in enumerate(calls):
            call.message_id = call.message_id or f"m{number}"
        inbox.append(session, [NewRow(shop, trusted, LIVE, call) for call in calls], now)
        session.commit()


def drain(sessions: sessionmaker[Session]) -> int:
    done = 0
    while taken := pipeline.drain(sessions, CONFIG):
        done += taken
    return done


def asked(sessions: sessionmaker[Session], statement: str) -> list[Any]:
    with sessions() as session:
        return list(session.execute(text(statement)).all())


POISON = {
    "a name too long for the index of the log": {"event": LONG},
    "a kind of identifier too long for its key": {"external_ids": [{"type": LONG, "id": "1"}]},
    "a messageId of any length": {"message_id": LONG},
    "an order number of any length": {"event": "Order Completed", "properties": {"order_id": LONG, "revenue": 1}},
    "a cart number of any length": {"event": "Product Added", "properties": {"cart_id": LONG, "product_id": LONG, "price": 1}},
    "a trait whose name is long": {"type": "identify", "traits": {LONG: LONG, "name": LONG, "email": LONG, "city": LONG}},
    "words without end": {"type": "identify", "traits": {"name": " ".join(LONG[i : i + 9] for i in range(0, 9000, 9)), "city": [["x"]], "address": "x"}},
    "things of the wrong shape": {
        "event": "Cart Updated",
        "properties": {"products": [1, None, {"product_id": [], "sku": {}}, {"product_id": "p", "price": {}}]},
    },
    "money beyond measure": {"event": "Order Completed", "properties": {"order_id": "o", "products": [{"price": 1e12, "quantity": 1e12}] * 3}},
    "a cart beyond measure": {"event": "Cart Updated", "properties": {"cart_id": "z", "products": [{"product_id": "p", "price": 9e12, "quantity": 9e12}]}},
    "consent of the wrong shape": {"context": {"consent": {"categoryPreferences": {"x": True, "y": {}}}, "traits": []}},
    "a time before time": {"timestamp": "0001-01-01T00:00:00+14:00"},
    "a time after time": {"timestamp": "9999-12-31T23:59:59-14:00"},
    "a hundred years ago": {"timestamp": "1926-11-22T00:00:00Z", "sent_at": "2026-11-22T00:00:00Z"},
}


@pytest.mark.parametrize("poison", POISON.values(), ids=POISON.keys())
def test_one_poisonous_call_stops_none_of_its_neighbours(sessions: sessionmaker[Session], now: dt.datetime, poison: dict[str, Any]) -> None:
    calls = [makers.track("Page Viewed", at=now, anonymous_id=f"a{n}") for n in range(40)]
    calls.insert(17, Call(**{"type": "track", "event": "Page Viewed", "user_id": "u"} | poison))
    put(sessions, calls, now)
    assert drain(sessions) == 41
    ((kept,),) = asked(sessions, "SELECT count(*) FROM events WHERE name = 'Page Viewed' AND identities->0->>0 = 'anonymous_id'")
    ((held,),) = asked(sessions, "SELECT count(*) FROM quarantine")
    ((logged,),) = asked(sessions, "SELECT count(*) FROM events")
    assert kept == 40
    assert held + logged == 41
