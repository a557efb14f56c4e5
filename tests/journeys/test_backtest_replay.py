"""What people did meanwhile (pauses, new versions, stops) is taken as it was; what the log no longer tells is named."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.events.spec import Call
from crm.web import users
from journeys import backtest_read, backtest_replay, graph, past, publish
from journeys.backtest_cast import Case, Cast
from journeys.engine import wake_due
from journeys.models import Journey, Version
from tests.makers import accepted, config, track
from workers import pipeline

CONFIG = config()
HOUR, DAY = dt.timedelta(hours=1), dt.timedelta(days=1)
WAITS: dict[str, Any] = {
    "name": {"en": "Waits"},
    "trigger": {"kind": "event", "settings": {"event": "Signed Up", "key": "event"}},
    "exit_on": ["Order Completed"],
    "entry": "wait",
    "nodes": {
        "wait": {"kind": "wait", "settings": {"for": "2h", "until": ["Product Viewed"]}, "exits": {"timed_out": "half", "happened": "end"}},
        "half": {"kind": "split", "settings": {"salt": "s", "shares": [{"exit": "a", "percent": 50}, {"exit": "b", "percent": 50}]},
                 "exits": {"a": "rest", "b": "end"}},
        "rest": {"kind": "wait", "settings": {"for": "1d"}, "exits": {"next": "end"}},
        "end": {"kind": "stop"},
    },
}  # fmt: skip
LONGER = WAITS | {"nodes": {**WAITS["nodes"], "wait": {**WAITS["nodes"]["wait"], "settings": {"for": "3h", "until": ["Product Viewed"]}}}}


@pytest.fixture
def began(session: Session, now: dt.datetime) -> dt.datetime:
    """A day on which the journey went live."""
    publish.publish(session, "waits", WAITS, now=now - 5 * DAY)
    return now - 4 * DAY


def go(session: Session, at: dt.datetime, *calls: Call) -> None:
    pipeline.run(session, [accepted(call, at) for call in calls], at, CONFIG)


def sign_up(session: Session, at: dt.datetime, *who: str) -> None:
    go(session, at, *(track("Signed Up", at=at, user_id=each) for each in who))


def wake(session: Session, at: dt.datetime) -> None:
    while wake_due(session, at, 100, CONFIG):
        pass


def replayed(session: Session, begins: dt.datetime, ends: dt.datetime) -> tuple[int, Sequence[dict[str, Any]]]:
    """How many runs went the same way, and the differences."""
    session.flush()
    journey = session.query(Journey).filter_by(slug="waits").one()
    versions = session.query(Version).filter_by(journey_id=journey.id).order_by(Version.number)
    cast = Cast([Case(journey.id, "waits", [(each.published_at, each.number, graph.parse(each.graph)) for each in versions])])
    setting = backtest_read.setting_of(CONFIG, begins, ends, real=True)
    found = backtest_read.batch(session, cast, setting, after=None, last=None, limit=1000)
    pauses = backtest_replay.pauses(session, "waits", ends)
    told = list(backtest_replay.compare(session, cast, setting, found, pauses))
    return told.count(None), [each for each in told if each]


def act(session: Session, action: str, at: dt.datetime, **how: Any) -> None:
    """Somebody pauses or goes on, on the screen."""
    {"pause": publish.pause, "resume": publish.resume}[action](session, "waits", now=at, **how)
    users.audit(session, user_id=None, action=f"journey.{action}", subject="waits")
    session.flush()
    session.execute(text("UPDATE audit_log SET at = :at WHERE id = (SELECT max(id) FROM audit_log)"), {"at": at})


@pytest.mark.parametrize("how", ["catch_up", "shift"])
def test_a_pause_holds_as_it_did_then(session: Session, now: dt.datetime, began: dt.datetime, how: str) -> None:
    sign_up(session, began, "a", "b", "c", "d")
    act(session, "pause", began + HOUR)
    sign_up(session, began + HOUR * 1.5, "e", "f")
    go(session, began + HOUR * 1.6, track("Product Viewed", at=began + HOUR * 1.6, user_id="a"))
    act(session, "resume", began + 6 * HOUR, how=how)
    for hours in (6.1, 7.5, 9, 11, 36, 48):
        wake(session, began + HOUR * hours)
    assert replayed(session, began - HOUR, now) == (6, [])


def test_a_run_that_was_moved_goes_on_by_the_version_it_was_moved_to(session: Session, now: dt.datetime, began: dt.datetime) -> None:
    sign_up(session, began, "a", "b", "c")
    publish.publish_moving(session, "waits", LONGER, choice=publish.Choice("same"), now=began + HOUR, by="noa")
    sign_up(session, began + HOUR, "d")
    for hours in (2, 3, 4, 40):
        wake(session, began + HOUR * (hours + 0.01))
    assert replayed(session, began - HOUR, now) == (4, [])


def test_runs_that_finish_on_the_old_version_or_end_by_hand(session: Session, now: dt.datetime, began: dt.datetime) -> None:
    sign_up(session, began, "a", "b", "c")
    publish.publish_moving(session, "waits", LONGER, choice=publish.Choice("old"), now=began + HOUR, by="noa")
    wake(session, began + 2.5 * HOUR)
    sign_up(session, began + 3 * HOUR, "d", "e")
    publish.stop(session, "waits", now=began + 4 * HOUR)
    same, told = replayed(session, began - HOUR, now)
    assert (same, told) == (5, [])


def test_what_happened_twice_in_one_breath_and_what_came_late(session: Session, now: dt.datetime, began: dt.datetime) -> None:
    sign_up(session, began, "a")
    both = [track("Product Viewed", at=began + HOUR, user_id="a"), track("Order Completed", {"order_id": "1"}, at=began + HOUR / 2, user_id="a")]
    go(session, began + HOUR, *both)
    go(
        session,
        began + 2 * HOUR,
        track("Order Completed", {"order_id": "2"}, at=began + 1.5 * HOUR, user_id="b"),
        track("Signed Up", at=began + HOUR, user_id="b"),
    )
    wake(session, began + 9 * HOUR)
    ends = list(session.scalars(text("SELECT end_reason FROM runs ORDER BY started_at")))
    assert ends == ["exit:Order Completed", "exit:Order Completed"]
    assert replayed(session, began - HOUR, now) == (2, [])


def test_who_was_in_it_long_before_still_counts(session: Session, now: dt.datetime, began: dt.datetime) -> None:
    once = WAITS | {"trigger": {"kind": "event", "settings": {"event": "Signed Up", "key": "profile"}}}
    publish.publish(session, "waits", once, now=began)
    sign_up(session, began, "a")
    wake(session, began + 3 * HOUR)
    wake(session, began + 2 * DAY)
    sign_up(session, now - HOUR, "a", "b")
    assert session.scalar(text("SELECT count(*) FROM runs")) == 2
    assert past.fold(session, began + 3 * DAY + past.KEEP) == 1
    assert replayed(session, now - DAY, now) == (1, [])


def test_a_start_refused_then_is_named_with_its_reason(session: Session, now: dt.datetime, began: dt.datetime) -> None:
    session.execute(text("UPDATE journeys SET status = 'broken' WHERE slug = 'waits'"))
    sign_up(session, began, "a")
    session.execute(text("UPDATE journeys SET status = 'live' WHERE slug = 'waits'"))
    same, (told,) = replayed(session, began - HOUR, now)
    assert (same, told["run"], told["cause"]) == (0, None, "refused:broken")


def test_a_journey_that_was_not_live_then_started_nothing(session: Session, now: dt.datetime, began: dt.datetime) -> None:
    publish.stop(session, "waits", now=began - HOUR)
    sign_up(session, began, "a")
    same, (told,) = replayed(session, began - HOUR, now)
    assert (same, told["cause"]) == (0, "not_live")
