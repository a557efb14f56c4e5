"""A try-out hears what its own runs say, and so shows the steps that would be taken live."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.events import inbox
from crm.events.inbox import MAX_HOPS
from crm.events.read import read
from crm.events.spec import OWN
from journeys import files, publish
from journeys.engine import wake_due
from journeys.graph import parse
from journeys.simulate import tell
from tests.journeys.test_entry import CONFIG, drawing, go
from tests.makers import identify, track
from workers import pipeline

MINUTE = dt.timedelta(minutes=1)
SAY = {"kind": "send_event", "settings": {"event": "Welcomed"}}
SHORT, LONG = ({"kind": "wait", "settings": {"for": span}} for span in ("1m", "1h"))
REST = {"kind": "wait", "settings": {"for": "1h", "until": ["Welcomed"]}, "exits": {"happened": "end", "timed_out": "end"}}
ASK = {"kind": "branch", "settings": {"ways": [{"exit": "yes", "when": [{"of": "did", "name": "Welcomed"}]}]}, "exits": {"yes": "end", "otherwise": "rest"}}
AGAIN = {"reentry": {"again": "every_time", "at_once": "unlimited"}}
BY_NAME, BY_END = {"kind": "hand"}, {"kind": "ended", "settings": {"journey": "own"}}
DRAWN: dict[str, tuple[dict[str, Any], str, int]] = {  # what, the event that begins it, how many runs there are
    "ends it": (drawing({"say": SAY, "rest": LONG}, exit_on=["Welcomed"]), "Signed Up", 1),
    "ends a wait": (drawing({"say": SAY, "rest": REST}), "Signed Up", 1),
    "is counted": (drawing({"say": SAY, "rest": SHORT, "ask": ASK}), "Signed Up", 1),
    "starts it until the chain is cut off": (drawing({"say": SAY}, trigger={"event": "Welcomed", "key": "event"}, **AGAIN), "Welcomed", MAX_HOPS),
    "names it": (drawing({"ask": {"kind": "start_journey", "settings": {"journey": "own"}}}, **AGAIN) | {"trigger": BY_NAME}, "Journey Requested", MAX_HOPS),
    "names another": (drawing({"ask": {"kind": "start_journey", "settings": {"journey": "other"}}}, **AGAIN) | {"trigger": BY_NAME}, "Journey Requested", 1),
    "is its end": (drawing({"rest": SHORT}, **AGAIN) | {"trigger": BY_END}, "Journey Ended", MAX_HOPS),
}


def lived(session: Session, now: dt.datetime, begins: str) -> tuple[list[list[str]], list[str]]:
    """The steps of each run, and why one did not begin, on the real database."""
    go(session, now, identify(at=now, user_id="anna"))
    who, said = session.scalars(text("SELECT id FROM profiles")).one(), {"journey": "own"}
    if begins in OWN:
        inbox.append(session, [inbox.system_event(begins, who, said, cause=None, hops=0)], now)
    else:
        go(session, now, track(begins, said, at=now - dt.timedelta(seconds=1), user_id="anna"))  # numbers of the tests go beyond those of the inbox
    for turn in range(MAX_HOPS + 2):
        at = now + turn * MINUTE
        wake_due(session, at, 100, CONFIG)
        while rows := inbox.claim(session, 1000):
            pipeline.run(session, [read(row) for row in rows], at, CONFIG)
            inbox.mark(session, rows, at)
    steps = text("SELECT node || ':' || exit FROM run_steps WHERE run_id = :run ORDER BY number")
    runs = session.scalars(text("SELECT id FROM runs ORDER BY started_at, id")).all()
    return [list(session.scalars(steps, {"run": run})) for run in runs], list(session.scalars(text("SELECT reason FROM entry_refusals")))


@pytest.mark.parametrize("what", DRAWN)
def test_what_a_run_says_is_heard_as_it_is_live(session: Session, now: dt.datetime, what: str) -> None:
    drawn, begins, many = DRAWN[what]
    publish.publish(session, "own", drawn, now=now)
    trial = tell(parse(drawn), now, [(now, begins, {"journey": "own"})], slug="own")
    tried = [[f"{step.node}:{step.exit}" for step in run.passed] for run in trial.runs]
    assert (tried, [reason for _, reason in trial.refused]) == lived(session, now, begins)
    assert len(tried) == many


@pytest.mark.parametrize("recipe", ["back_in_stock", "birthday", "black_friday", "vip_entry", None])
def test_a_name_of_a_journey_that_is_no_name_is_told_as_any_other(now: dt.datetime, recipe: str | None) -> None:
    graph = parse(files.recipes()[recipe] if recipe else drawing({"say": SAY}) | {"trigger": BY_NAME})
    said = {"journey": ["own"], "segment": getattr(graph.trigger_settings, "segment", ""), "occasion": "2027", "sku": "vase"}
    for name in graph.trigger.names(graph.trigger_settings):
        trial = tell(graph, now, [(now, name, said)])
        assert len(trial.runs) == 1
