"""However events and wake-ups are dealt out, nobody is written to twice, and the outcome is the same."""

from __future__ import annotations

import datetime as dt
import random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.events.spec import Accepted
from journeys import install
from journeys.engine import wake_due
from tests.makers import accepted, config, product, track
from workers import pipeline

PEOPLE = ("anna", "bella")
CONFIG = config()
happenings = st.lists(st.tuples(st.sampled_from(PEOPLE), st.sampled_from(["add", "remove", "order", "other cart"]), st.integers(0, 200)), max_size=8)


def call(who: str, what: str, at: dt.datetime) -> Accepted:
    cart = {"cart_id": f"{who}-{'b' if what == 'other cart' else 'a'}"}
    name = {"remove": "Product Removed", "order": "Order Completed"}.get(what, "Product Added")
    said = {"order_id": f"{who}{at.timestamp()}", "total": 1, "currency": "ILS"} if what == "order" else product("vase")
    return accepted(track(name, said | cart, at=at, user_id=who), at)


def outcome(session: Session) -> list[tuple[object, ...]]:
    """Runs by person and cart: whether a message was asked for, how often."""
    rows = session.execute(
        text("""
            SELECT i.value, r.key, r.status, count(m.id)
            FROM runs r JOIN identities i ON i.profile_id = r.profile_id AND i.kind = 'user_id' LEFT JOIN messages m ON m.run_id = r.id
            GROUP BY 1, 2, 3 ORDER BY 1, 2
        """)
    )
    return [tuple(row) for row in rows]


def _reused(story: list[tuple[str, str, int]]) -> bool:
    """A shop that goes on with a cart's id after its order: whether that cart had its one run depends on what was known when."""
    ordered: set[str] = set()
    for who, what, _ in sorted(story, key=lambda each: each[2]):
        if what == "add" and who in ordered:
            return True
        if what == "order":
            ordered.add(who)
    return False


@settings(max_examples=15)
@given(story=happenings, seed=st.integers(0, 2**16))
def test_batches_order_and_doubled_wake_ups_do_not_matter(session: Session, now: dt.datetime, story: list[tuple[str, str, int]], seed: int) -> None:
    assume(not _reused(story))
    chance = random.Random(seed)
    calls = [call(who, what, now + dt.timedelta(seconds=second)) for who, what, second in sorted(story, key=lambda each: each[2])]
    found = []
    for shuffled in (False, True):
        point = session.begin_nested()
        session.execute(text("INSERT INTO templates (name, channel, topic, purpose, version) VALUES ('abandoned_cart', 'email', 'offers', 'marketing', 1)"))
        install.install(session, now)
        order = chance.sample(calls, len(calls)) if shuffled else list(calls)
        after = now + dt.timedelta(seconds=200)
        while order:
            size = chance.randint(1, 3)
            pipeline.run(session, order[:size], after, CONFIG)
            order = order[size:]
        for _ in range(3):
            wake_due(session, after + dt.timedelta(hours=2), chance.randint(1, 4), CONFIG)
            session.execute(text("INSERT INTO wakeups SELECT id, profile_id, started_at FROM runs ON CONFLICT DO NOTHING"))
        while wake_due(session, after + dt.timedelta(hours=2), 100, CONFIG):
            pass
        found.append(outcome(session))
        point.rollback()
    assert found[0] == found[1]
    assert all(count <= 1 for *_, count in found[0])


@pytest.mark.parametrize("size", [1, 7, 50])
def test_batch_size_does_not_matter(session: Session, now: dt.datetime, size: int) -> None:
    session.execute(text("INSERT INTO templates (name, channel, topic, purpose, version) VALUES ('abandoned_cart', 'email', 'offers', 'marketing', 1)"))
    install.install(session, now)
    calls = [call(PEOPLE[n % 2], ["add", "order", "other cart"][n % 3], now + dt.timedelta(seconds=n)) for n in range(50)]
    for first in range(0, 50, size):
        pipeline.run(session, calls[first : first + size], now + dt.timedelta(seconds=50), CONFIG)
    wake_due(session, now + dt.timedelta(hours=2), 100, CONFIG)
    assert [row[1:] for row in outcome(session)] == [("10:anna-a", "done", 0), ("10:anna-b", "done", 1), ("10:bella-a", "done", 0), ("10:bella-b", "done", 1)]
