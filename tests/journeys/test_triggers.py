"""Starts other than an event of the shop: dates, by hand, another journey's end."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.commerce import orders, requests
from crm.core import partitions
from crm.events import inbox
from crm.events.read import read
from crm.events.source import HeldError
from crm.events.spec import OWN
from crm.scores import apply
from crm.segments import refresh
from crm.segments.rules import journey as rule
from crm.web.tokens import create_token
from journeys import dates, node, publish
from journeys.engine import wake_due
from journeys.nodes import nps, webhook
from journeys.triggers import back_in_stock, price_drop
from journeys.triggers.date import DateSettings, plugin
from tests.journeys.test_entry import WAIT, drawing
from tests.makers import accepted, config, identify, track
from workers import pipeline

CONFIG = config()
MORNING = dt.datetime(2026, 3, 14, 7, 30, tzinfo=dt.UTC)  # 09:30 in Jerusalem


@pytest.fixture(autouse=True)
def months(session: Session) -> None:
    """The log's months these stories play in."""
    partitions.ensure(session, "events", [partitions.month_bounds(MORNING)])


def go(session: Session, now: dt.datetime, *calls: Any) -> None:
    pipeline.run(session, [accepted(call, now) for call in calls], now, CONFIG)


def come_back(session: Session, now: dt.datetime) -> int:
    """What was said to the log happens."""
    rows = inbox.claim(session, 1000)
    pipeline.run(session, [read(row) for row in rows], now, CONFIG)
    inbox.mark(session, rows, now)
    return len(rows)


def birthday(slug: str = "birthday", **settings: Any) -> dict[str, Any]:
    return drawing(WAIT) | {"trigger": {"kind": "date", "settings": {"trait": "birthday"} | settings}}


def runs(session: Session) -> int:
    return session.scalar(text("SELECT count(*) FROM runs")) or 0


@pytest.mark.parametrize(
    ("born", "zone", "settings", "now", "occasion"),
    [
        ("1985-03-14", "Asia/Jerusalem", {}, MORNING, "2026"),
        ("1985-03-14", "America/New_York", {}, MORNING, None),
        ("1985-03-14", "Asia/Jerusalem", {}, MORNING - dt.timedelta(hours=1), None),
        ("1985-03-14", "Asia/Jerusalem", {}, MORNING + dt.timedelta(hours=24), None),
        ("1985-03-21", "Asia/Jerusalem", {"days": -7}, MORNING, "2026"),
        ("1984-02-29", "Asia/Jerusalem", {}, dt.datetime(2026, 2, 28, 8, tzinfo=dt.UTC), "2026"),
        ("1984-02-29", "Asia/Jerusalem", {"leap": "mar1"}, dt.datetime(2026, 2, 28, 8, tzinfo=dt.UTC), None),
        ("1984-02-29", "Asia/Jerusalem", {"leap": "mar1"}, dt.datetime(2026, 3, 1, 8, tzinfo=dt.UTC), "2026"),
        ("1984-02-29", "Asia/Jerusalem", {}, dt.datetime(2028, 2, 29, 8, tzinfo=dt.UTC), "2028"),
        ("2027-01-03", "Asia/Jerusalem", {"yearly": False, "days": -7}, dt.datetime(2026, 12, 27, 8, tzinfo=dt.UTC), "2027-01-03"),
    ],
)
def test_when_a_date_has_come(born: str, zone: str, settings: dict[str, Any], now: dt.datetime, occasion: str | None) -> None:
    assert plugin.due(DateSettings(trait="birthday", **settings), dt.date.fromisoformat(born), zone, now) == occasion


def test_a_birthday_starts_one_run_a_year_also_when_it_is_corrected(session: Session) -> None:
    publish.publish(session, "birthday", birthday(), now=MORNING)
    go(session, MORNING, identify({"birthday": "1985-03-14", "email": "dana@example.com"}, at=MORNING, user_id="dana"))
    go(session, MORNING, identify({"birthday": "1985-03-15"}, at=MORNING, user_id="noa"))
    assert dates.sweep(session, MORNING, CONFIG) == 1
    assert dates.sweep(session, MORNING, CONFIG) == 0
    come_back(session, MORNING)
    assert runs(session) == 1
    tomorrow = MORNING + dt.timedelta(days=1)
    go(session, tomorrow, identify({"birthday": "1985-03-15"}, at=tomorrow, user_id="dana"))
    assert dates.sweep(session, tomorrow, CONFIG) == 1  # noa's; dana had hers this year
    come_back(session, tomorrow)
    assert runs(session) == 2
    next_year = MORNING.replace(year=2027, day=15)
    assert dates.sweep(session, next_year, CONFIG) == 2


@pytest.mark.parametrize(("how", "reason"), [("catch_up", "finished"), ("drop", "dropped")])
def test_a_birthday_that_falls_in_a_pause_waits_for_its_end(session: Session, how: str, reason: str) -> None:
    publish.publish(session, "birthday", birthday(), now=MORNING)
    go(session, MORNING, identify({"birthday": "1985-03-14"}, at=MORNING, user_id="dana"))
    publish.pause(session, "birthday", now=MORNING)
    assert dates.sweep(session, MORNING, CONFIG) == 1
    come_back(session, MORNING)
    later = MORNING + dt.timedelta(days=3)
    publish.resume(session, "birthday", now=later, how=how)
    for at in (later, later + dt.timedelta(hours=1)):
        wake_due(session, at, 10, CONFIG)
    assert list(session.scalars(text("SELECT end_reason FROM runs"))) == [reason]


def test_a_crash_between_the_mark_and_the_log_loses_nothing(session: Session) -> None:
    publish.publish(session, "birthday", birthday(), now=MORNING)
    go(session, MORNING, identify({"birthday": "1985-03-14"}, at=MORNING, user_id="dana"))
    crash = session.begin_nested()
    assert dates.sweep(session, MORNING, CONFIG) == 1
    crash.rollback()
    assert dates.sweep(session, MORNING, CONFIG) == 1
    assert come_back(session, MORNING) == 1 and runs(session) == 1


def test_by_hand_through_the_api_and_by_no_event_of_somebody_else(session: Session, app: Flask, now: dt.datetime) -> None:
    publish.publish(session, "vip", drawing(WAIT) | {"trigger": {"kind": "hand"}}, now=now)
    go(session, now, identify(at=now, user_id="dana"))
    who = session.scalar(text("SELECT id FROM profiles"))
    headers = {"Authorization": f"Bearer {create_token(session, name='t', role='marketer')}"}
    client = app.test_client()
    assert client.post("/api/v1/journeys/vip/start", json={"profile_id": str(who)}, headers=headers).status_code == 200
    assert client.post("/api/v1/journeys/none/start", json={"profile_id": str(who)}, headers=headers).status_code == 404
    come_back(session, now + dt.timedelta(hours=1))
    assert runs(session) == 1
    for trusted in (False, True):
        with pytest.raises(HeldError):
            accepted(track("Journey Requested", {"journey": "vip"}, at=now, anonymous_id="x"), now, trusted=trusted)


def test_one_journey_starts_another_and_a_third_follows_its_end(session: Session, now: dt.datetime) -> None:
    publish.publish(session, "first", drawing({"ask": {"kind": "start_journey", "settings": {"journey": "second"}}}), now=now)
    publish.publish(session, "second", drawing({"say": {"kind": "send_event", "settings": {"event": "Hello"}}}) | {"trigger": {"kind": "hand"}}, now=now)
    publish.publish(session, "third", drawing(WAIT) | {"trigger": {"kind": "ended", "settings": {"journey": "second", "how": "finished"}}}, now=now)
    go(session, now, track("Signed Up", {}, at=now, user_id="dana"))
    for _ in range(3):
        come_back(session, now)
    found = session.scalars(text("SELECT j.slug FROM runs r JOIN journeys j ON j.id = r.journey_id ORDER BY r.started_at, r.id")).all()
    assert sorted(found) == ["first", "second", "third"]
    assert session.scalar(text("SELECT hops FROM runs r JOIN journeys j ON j.id = r.journey_id WHERE slug = 'third'")) == 2


def test_the_names_only_kesher_may_say_are_those_it_says_of_what_it_alone_knows() -> None:
    by_segments = {refresh.ENTERED, refresh.LEFT, *refresh.LISTED}
    by_journeys = {rule.STARTED, rule.ENDED, rule.HELD_OUT, node.AUDIENCE, node.DATE_REACHED, node.REQUESTED, webhook.ANSWERED, nps.ANSWERED}
    of_goods = {requests.TOLD, orders.CHANGED, back_in_stock.plugin.event, price_drop.plugin.event}
    assert by_segments | by_journeys | of_goods | {apply.CHANGED} == OWN


@pytest.mark.parametrize(("way", "said", "started"), [("entered", "Entered", 1), ("left", "Entered", 0), ("left", "Left", 1), ("entered", "Left", 0)])
def test_who_comes_into_a_segment_or_leaves_it_starts_a_run(session: Session, now: dt.datetime, way: str, said: str, started: int) -> None:
    publish.publish(session, "vips", drawing(WAIT) | {"trigger": {"kind": "segment", "settings": {"segment": "vip", "way": way}}}, now=now)
    go(session, now, identify(at=now, user_id="dana"))
    who = session.scalar(text("SELECT id FROM profiles"))
    inbox.append(session, [inbox.system_event(f"Segment {said}", who, {"segment": slug}, cause=None, hops=1) for slug in ("vip", "other")], now)
    come_back(session, now)
    assert runs(session) == started


def test_a_wait_ends_when_the_person_comes_into_the_segment(session: Session, now: dt.datetime) -> None:
    wait = {"wait": {"kind": "wait", "settings": {"for": "1d", "segments": ["vip"]}, "exits": {"happened": "end", "timed_out": "end"}}}
    publish.publish(session, "hopes", drawing(wait), now=now)
    go(session, now, track("Signed Up", at=now, user_id="dana"))
    who = session.scalar(text("SELECT id FROM profiles"))
    ended, later = "SELECT status FROM runs", now + dt.timedelta(minutes=1)
    inbox.append(session, [inbox.system_event("Segment Entered", who, {"segment": "other"}, cause=None, hops=1)], later)
    come_back(session, later)
    assert session.scalar(text(ended)) == "active"
    inbox.append(session, [inbox.system_event("Segment Entered", who, {"segment": "vip"}, cause=None, hops=1)], later)
    come_back(session, later)
    assert session.scalar(text(ended)) == "done"
    why = session.execute(text("SELECT exit, detail->>'segment' AS segment FROM run_steps WHERE node = 'wait'")).one()
    assert (why.exit, why.segment) == ("happened", "vip")


def test_coming_into_a_segment_ends_a_run_where_that_is_drawn(session: Session, now: dt.datetime) -> None:
    goal = {"event": "Segment Entered", "where": [{"name": "segment", "value": "vip"}], "goal": True}
    publish.publish(session, "hopes", drawing(WAIT, exit_on=[goal]), now=now)
    go(session, now, track("Signed Up", at=now, user_id="dana"))
    who = session.scalar(text("SELECT id FROM profiles"))
    for slug, ended in (("other", None), ("vip", "goal:Segment Entered")):
        later = now + dt.timedelta(minutes=1)
        inbox.append(session, [inbox.system_event("Segment Entered", who, {"segment": slug}, cause=None, hops=1)], later)
        come_back(session, later)
        assert session.scalar(text("SELECT end_reason FROM runs")) == ended
