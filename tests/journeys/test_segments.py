"""What runs tell the log, segments know: who came in, who is in it now, who reached what, who was left out."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.events import inbox
from crm.events.read import read
from journeys import publish
from tests.journeys.test_entry import WAIT, drawing, signed
from tests.makers import track
from tests.segments.test_refresh import CONFIG, happen, make, members
from workers import pipeline

HOPED: dict[str, Any] = {"exit_on": [{"event": "Order Completed", "goal": True}, {"event": "Unsubscribed"}]}


def drain(session: Session, now: dt.datetime) -> None:
    while rows := inbox.claim(session, 100):
        inbox.mark(session, rows, now)
        pipeline.run(session, [read(row) for row in rows], now, CONFIG)


@pytest.fixture(autouse=True)
def segments(session: Session, now: dt.datetime) -> None:
    for did in ("entered", "inside", "finished", "goal", "left", "held_out"):
        make(session, now, did.replace("_", "-"), {"kind": "journey", "did": did, "journey": "try"})


def standing(session: Session) -> dict[str, int]:
    return {slug: 1 for slug in ("entered", "inside", "finished", "goal", "left", "held-out") if members(session, slug)}


def test_who_comes_in_is_inside_until_the_goal(session: Session, now: dt.datetime) -> None:
    publish.publish(session, "try", drawing(WAIT, **HOPED), now=now)
    happen(session, now, signed(now))
    drain(session, now)
    assert standing(session) == {"entered": 1, "inside": 1}
    happen(session, now, track("Order Completed", {"order_id": "1"}, at=now, user_id="anna"))
    drain(session, now)
    assert standing(session) == {"entered": 1, "goal": 1}


def test_an_event_that_only_ends_it_takes_them_out(session: Session, now: dt.datetime) -> None:
    publish.publish(session, "try", drawing(WAIT, **HOPED), now=now)
    happen(session, now, signed(now), track("Unsubscribed", at=now, user_id="anna"))
    drain(session, now)
    assert standing(session) == {"entered": 1, "left": 1}


def test_who_is_left_out_to_measure_is_known_and_did_not_enter(session: Session, now: dt.datetime) -> None:
    publish.publish(session, "try", drawing(WAIT, key="event", holdout={"percent": 50}), now=now)
    happen(session, now, *(signed(now, who=f"u{n}") for n in range(20)))
    drain(session, now)
    out = session.scalar(text("SELECT count(*) FROM journey_arms WHERE arm = 'out'")) or 0
    assert 0 < out < 20
    assert (members(session, "held-out"), members(session, "entered")) == (out, 20 - out)


def test_a_journey_that_is_stopped_leaves_nobody_inside(session: Session, now: dt.datetime) -> None:
    publish.publish(session, "try", drawing(WAIT), now=now)
    happen(session, now, signed(now))
    drain(session, now)
    publish.stop(session, "try", now=now)
    drain(session, now)
    assert standing(session) == {"entered": 1}
