"""An order that others speak of, too: its owner's segments and computed traits follow."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.commerce import computed
from crm.events import inbox
from crm.events.read import read
from crm.segments import fill, store
from tests import makers
from tests.makers import accepted, track
from workers import pipeline

CONFIG = makers.config()


def happen(session: Session, now: dt.datetime, *calls: Any, **how: Any) -> None:
    """Run calls, then whatever Kesher said in answer."""
    pipeline.run(session, [accepted(call, now, **how) for call in calls], now, CONFIG)
    while said := inbox.claim(session, 100):
        pipeline.run(session, [read(row) for row in said], now, CONFIG)
        inbox.mark(session, said, now)


def members(session: Session) -> list[str]:
    return list(session.scalars(text("SELECT i.value FROM memberships m JOIN identities i USING (profile_id) WHERE i.kind = 'user_id' ORDER BY 1")))


def computed_revenue(session: Session, now: dt.datetime) -> list[tuple[str, float]]:
    ids = list(session.scalars(text("DELETE FROM computed_dirty RETURNING profile_id")))
    computed.recompute(session, sorted(set(ids)), CONFIG, now)
    rows = session.execute(
        text("SELECT i.value, CAST(c.value::text AS float) FROM computed_traits c JOIN identities i USING (profile_id) WHERE c.name = 'revenue' ORDER BY 1")
    )
    return [tuple(row) for row in rows]


@pytest.fixture(autouse=True)
def big_spenders(session: Session, now: dt.datetime) -> None:
    rule = {"kind": "orders", "of": "revenue", "op": "at_least", "value": 500, "currency": "ILS"}
    store.save(session, slug="big", name="Big", rule=rule, now=now)
    fill.fill(session, now, CONFIG)


def test_a_refund_another_profile_tells_of_takes_the_owner_out(session: Session, now: dt.datetime) -> None:
    happen(session, now, track("Order Completed", {"order_id": "o1", "revenue": 900}, at=now, user_id="dana"))
    assert (members(session), computed_revenue(session, now)) == (["dana"], [("dana", 900)])
    happen(session, now, track("Order Refunded", {"order_id": "o1", "amount": 800}, at=now, user_id="clerk"))
    assert (members(session), computed_revenue(session, now)) == ([], [("dana", 100)])


def test_an_order_that_goes_to_somebody_else_changes_both(session: Session, now: dt.datetime) -> None:
    happen(session, now, track("Order Completed", {"order_id": "o1", "revenue": 900}, at=now, user_id="mallory"), trusted=False)
    assert members(session) == ["mallory"]
    computed_revenue(session, now)
    happen(session, now, track("Order Completed", {"order_id": "o1", "revenue": 900}, at=now, user_id="dana"))
    assert (members(session), computed_revenue(session, now)) == (["dana"], [("dana", 900)])


def test_what_history_tells_of_another_s_order_stays_history(session: Session, now: dt.datetime) -> None:
    happen(session, now, track("Order Completed", {"order_id": "o1", "revenue": 900}, at=now, user_id="dana"))
    happen(session, now, track("Order Refunded", {"order_id": "o1", "amount": 800}, at=now, user_id="clerk"), origin="history")
    assert session.execute(text("SELECT origin, hops FROM events WHERE name = 'Segment Left'")).all() == [("history", 2)]
