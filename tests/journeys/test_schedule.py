"""Schedules and audiences: once for each person and occasion, also under crashes and two clocks; dates by the Hebrew calendar."""

from __future__ import annotations

import datetime as dt
import threading
import uuid
from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.core.db import engine_for, sessions
from crm.core.json import dumps
from crm.segments import lists
from journeys import audiences, dates, publish, why
from journeys.runs import break_journeys
from journeys.triggers import date, schedule
from journeys.triggers.date import DateSettings
from journeys.triggers.schedule import ScheduleSettings
from tests.journeys.test_entry import WAIT, drawing
from tests.journeys.test_triggers import come_back, go, runs
from tests.makers import config, identify

CONFIG = config(timezone="Asia/Jerusalem")
SUNDAY = dt.datetime(2026, 11, 22, 7, 0, tzinfo=dt.UTC)  # 09:00 in Jerusalem


def journey(**settings: Any) -> dict[str, Any]:
    return drawing(WAIT) | {"trigger": {"kind": "schedule", "settings": {"segment": "vip", "rule": "FREQ=WEEKLY;BYDAY=SU"} | settings}}


def segment(session: Session, *people: str, at: dt.datetime) -> None:
    """People who are in the segment `vip` now."""
    go(session, at, *(identify({"level": "vip"}, at=at, user_id=who) for who in people))
    insert = (
        "INSERT INTO segments (slug, name, rule, status, created_at, changed_at) VALUES ('vip', 'VIP', CAST(:rule AS jsonb), 'live', now(), now()) RETURNING id"
    )
    number = session.scalar(text(insert), {"rule": dumps({"kind": "trait", "name": "level", "value": "vip"})})
    session.execute(text("INSERT INTO memberships (profile_id, segment_id, since) SELECT id, :s, now() FROM profiles"), {"s": number})


@pytest.fixture
def vips(session: Session, now: dt.datetime) -> None:
    segment(session, "dana", "noa", "yossi", at=now)


def due(rule: str, now: dt.datetime, **more: Any) -> list[dt.datetime]:
    return schedule.plugin.due(ScheduleSettings(segment="vip", rule=rule, **more), "Asia/Jerusalem", now)


def test_an_occasion_comes_at_its_time_by_the_wall_clock():
    assert due("FREQ=WEEKLY;BYDAY=SU", SUNDAY) == [SUNDAY]
    assert due("FREQ=WEEKLY;BYDAY=SU", SUNDAY - dt.timedelta(seconds=1)) == []
    assert due("FREQ=WEEKLY;BYDAY=SU", SUNDAY + dt.timedelta(hours=5)) == [SUNDAY]
    assert due("FREQ=WEEKLY;BYDAY=SU", SUNDAY + dt.timedelta(hours=6)) == []  # missed by too much
    assert due("FREQ=WEEKLY;BYDAY=MO", SUNDAY) == []
    assert due("FREQ=MONTHLY;BYMONTHDAY=-1", dt.datetime(2026, 11, 30, 8, tzinfo=dt.UTC)) == [dt.datetime(2026, 11, 30, 7, tzinfo=dt.UTC)]


def test_the_hour_stays_when_the_clocks_change():
    winter, summer = dt.datetime(2026, 3, 26, 7, tzinfo=dt.UTC), dt.datetime(2026, 3, 28, 6, tzinfo=dt.UTC)
    assert due("FREQ=DAILY", winter) == [winter]
    assert due("FREQ=DAILY", summer) == [summer]


@pytest.mark.parametrize(
    "rule",
    ["FREQ=MINUTELY", "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30", "every day", "FREQ=DAILY\nEXDATE:20260101T090000", "FREQ=NEVER", "FREQ=DAILY;UNTIL=20270101"]
    + ["FREQ=DAILY;INTERVAL=0", "FREQ=MONTHLY;INTERVAL=00;BYMONTHDAY=1", "FREQ=YEARLY;INTERVAL=-1", "FREQ=DAILY;INTERVAL=+0"],
)
def test_a_rule_that_cannot_be_kept_is_refused(rule):
    with pytest.raises(ValidationError):
        ScheduleSettings(segment="vip", rule=rule)


@pytest.mark.parametrize("rule", ["FREQ=DAILY;INTERVAL=1", "FREQ=WEEKLY;INTERVAL=02;BYDAY=MO", "FREQ=DAILY;INTERVAL=+3", "FREQ=DAILY;INTERVAL=10"])
def test_every_so_many_days_is_kept(rule):
    assert ScheduleSettings(segment="vip", rule=rule).rule == rule


def test_everybody_in_the_segment_begins_once_for_each_occasion(session, vips, now, monkeypatch):
    publish.publish(session, "weekly", journey(rule="FREQ=DAILY", at="00:00", begins="2026-01-01"), now=now - dt.timedelta(days=3))
    monkeypatch.setattr(schedule, "LATE", dt.timedelta(hours=24))
    assert audiences.begin(session, now, CONFIG) == 1
    assert audiences.begin(session, now, CONFIG) == 0
    assert audiences.advance(session, now) == 3
    assert audiences.advance(session, now) == 0
    come_back(session, now)
    assert runs(session) == 3


def test_a_crash_between_two_chunks_says_nothing_twice_and_forgets_nobody(session, vips, now, monkeypatch):
    monkeypatch.setattr(audiences, "CHUNK", 2)
    publish.publish(session, "weekly", journey(), now=now)
    journey_id = session.scalar(text("SELECT id FROM journeys WHERE slug = 'weekly'"))
    audiences.include(session, journey_id, "an occasion", "vip", now)
    crash = session.begin_nested()
    assert audiences.advance(session, now) == 2
    crash.rollback()
    assert [audiences.advance(session, now) for _ in range(3)] == [2, 1, 0]
    come_back(session, now)
    assert runs(session) == 3
    assert session.scalar(text("SELECT members FROM journey_audiences")) == 3


def test_an_occasion_from_before_the_schedule_was_published_begins_nothing(session, vips, now, monkeypatch):
    monkeypatch.setattr(schedule, "LATE", dt.timedelta(hours=24))
    publish.publish(session, "weekly", journey(rule="FREQ=DAILY", at="00:00"), now=now)
    assert audiences.begin(session, now, CONFIG) == 0


def test_what_lay_too_long_is_left_out(session, vips, now):
    publish.publish(session, "weekly", journey(), now=now)
    journey_id = session.scalar(text("SELECT id FROM journeys WHERE slug = 'weekly'"))
    audiences.include(session, journey_id, "old", "vip", now - dt.timedelta(hours=25))
    assert audiences.advance(session, now) == 0
    assert session.scalar(text("SELECT end_reason FROM journey_audiences WHERE done_at IS NOT NULL")) == "late"


def test_a_paused_journey_brings_in_nobody_until_it_goes_on(session, vips, now):
    publish.publish(session, "weekly", journey(), now=now)
    journey_id = session.scalar(text("SELECT id FROM journeys WHERE slug = 'weekly'"))
    audiences.include(session, journey_id, "x", "vip", now)
    publish.pause(session, "weekly", now=now)
    assert audiences.advance(session, now) == 0
    publish.resume(session, "weekly", now=now)
    assert audiences.advance(session, now) == 3


@pytest.mark.parametrize(("how", "begun"), [("catch_up", 3), ("drop", 0)])
def test_an_occasion_that_comes_during_a_pause_waits_for_its_end(session, vips, now, monkeypatch, how, begun):  # noqa: PLR0917  fixtures
    monkeypatch.setattr(schedule, "LATE", dt.timedelta(hours=24))
    publish.publish(session, "weekly", journey(rule="FREQ=DAILY", at="00:00"), now=now - dt.timedelta(days=3))
    publish.pause(session, "weekly", now=now - dt.timedelta(days=2))
    assert audiences.begin(session, now, CONFIG) == 1
    assert audiences.advance(session, now + dt.timedelta(days=2)) == 0
    publish.resume(session, "weekly", now=now + dt.timedelta(days=2), how=how)
    assert audiences.advance(session, now + dt.timedelta(days=2)) == begun


@pytest.mark.parametrize("held", ["paused", "broken", "filling"])
def test_what_was_held_for_days_is_not_left_out(session, vips, now, held):
    publish.publish(session, "weekly", journey(), now=now)
    journey_id = session.scalar(text("SELECT id FROM journeys WHERE slug = 'weekly'"))
    audiences.include(session, journey_id, "x", "vip", now)
    if held == "filling":
        session.execute(text("UPDATE segments SET status = 'filling'"))
    else:
        session.execute(text("UPDATE journeys SET status = :held, paused_at = :now"), {"held": held, "now": now})
    for days in (1, 3):
        assert audiences.advance(session, now + dt.timedelta(days=days)) == 0
    if held == "filling":
        session.execute(text("UPDATE segments SET status = 'live'"))
    else:
        publish.resume(session, "weekly", now=now + dt.timedelta(days=3))
    assert audiences.advance(session, now + dt.timedelta(days=3)) == 3
    assert session.scalar(text("SELECT end_reason FROM journey_audiences")) == "finished"


@pytest.mark.parametrize("held", ["paused", "broken"])
def test_what_was_held_while_no_clock_ran_is_not_left_out(session, vips, now, held):
    publish.publish(session, "weekly", journey(), now=now)
    journey_id = session.scalar(text("SELECT id FROM journeys WHERE slug = 'weekly'"))
    audiences.include(session, journey_id, "x", "vip", now)
    audiences.include(session, journey_id, "old", "vip", now - dt.timedelta(days=2))
    if held == "paused":
        publish.pause(session, "weekly", now=now)
    else:
        break_journeys(session, {journey_id: "a step raised"})
    publish.resume(session, "weekly", now=now + dt.timedelta(days=3))
    assert audiences.advance(session, now + dt.timedelta(days=3)) == 3
    old = session.scalar(text("SELECT end_reason FROM journey_audiences WHERE occasion = 'old'"))
    assert held == "broken" or old == "late"


@pytest.mark.parametrize("reason", ["dropped", "stopped"])
def test_who_was_not_reached_before_an_audience_was_ended_is_told_so(session, vips, now, reason):
    publish.publish(session, "weekly", journey(), now=now)
    journey_id = session.scalar(text("SELECT id FROM journeys WHERE slug = 'weekly'"))
    audiences.include(session, journey_id, "x", "vip", now)
    publish.pause(session, "weekly", now=now)
    if reason == "dropped":
        publish.resume(session, "weekly", now=now, how="drop")
    else:
        publish.stop(session, "weekly", now=now)
    assert audiences.advance(session, now) == 0
    assert session.scalar(text("SELECT end_reason FROM journey_audiences")) == reason
    who = session.scalar(text("SELECT id FROM profiles LIMIT 1"))
    assert any("before it came to the profile" in each.text for each in why.why_not(session, "weekly", who, now))


def test_two_clocks_at_once_say_each_person_once(fresh_url, now):
    made = sessions(engine_for(fresh_url))
    with made() as session:
        segment(session, *(f"p{n}" for n in range(50)), at=now)
        publish.publish(session, "weekly", journey(), now=now)
        audiences.include(session, session.scalar(text("SELECT id FROM journeys WHERE slug = 'weekly'")), "x", "vip", now)
        session.commit()

    def clock() -> None:
        for _ in range(40):
            with made() as session:
                audiences.advance(session, now)
                session.commit()

    before, audiences.CHUNK = audiences.CHUNK, 3
    try:
        clocks = [threading.Thread(target=clock) for _ in range(2)]
        [each.start() for each in clocks]
        [each.join() for each in clocks]
    finally:
        audiences.CHUNK = before
    with made() as session:
        said = session.execute(text("SELECT count(*), count(DISTINCT body) FROM event_inbox WHERE body::jsonb->>'event' = 'Audience Reached'")).one()
    assert tuple(said) == (50, 50)


def test_who_is_in_the_segment_already_may_be_included_and_only_here(session, vips, now):
    entering = drawing(WAIT) | {"trigger": {"kind": "segment", "settings": {"segment": "vip"}}}
    publish.publish(session, "welcome", entering, now=now)
    publish.publish(session, "other", entering | {"name": {"en": "Other"}}, now=now)
    journey_id = session.scalar(text("SELECT id FROM journeys WHERE slug = 'welcome'"))
    audiences.include(session, journey_id, "version 1", "vip", now)
    audiences.advance(session, now)
    come_back(session, now)
    assert runs(session) == 3
    assert session.scalars(text("SELECT DISTINCT journey_id FROM runs")).all() == [journey_id]


def test_publishing_asks_whether_to_include_them(session, vips, now, signed_in):
    browser = signed_in("marketer")
    slug = browser.post("/journeys/new", json={"name": {"en": "Hello"}}).get_json()["slug"]
    graph = drawing(WAIT) | {"trigger": {"kind": "segment", "settings": {"segment": "vip"}}}
    revision = browser.put(f"/journeys/{slug}/draft", json={"revision": 1, "graph": graph}).get_json()["revision"]
    assert browser.get(f"/journeys/{slug}/publish").get_json()["members"] == 3
    assert browser.post(f"/journeys/{slug}/publish", json={"revision": revision, "include": True}).status_code == 200
    assert session.execute(text("SELECT occasion, segment FROM journey_audiences")).all() == [("version 1", "vip")]


def test_nobody_is_included_unasked(session, vips, now, signed_in):
    publish.publish(session, "welcome", drawing(WAIT) | {"trigger": {"kind": "segment", "settings": {"segment": "vip"}}}, now=now)
    assert session.scalar(text("SELECT count(*) FROM journey_audiences")) == 0
    assert lists.all_lists(session) == []


NOON = dt.time(10)


@pytest.mark.parametrize(
    ("born", "day", "settings", "occasion"),
    [
        ("1985-03-14", dt.date(2026, 3, 10), {}, "h5786"),  # 21 Adar 5745, a plain year like 5786
        ("1985-03-14", dt.date(2026, 3, 14), {}, None),
        ("1985-03-14", dt.date(2027, 3, 30), {}, "h5787"),  # in a leap year the second Adar
        ("1985-03-14", dt.date(2027, 2, 28), {"adar": "adar1"}, "h5787"),
        ("1984-03-03", dt.date(2026, 2, 16), {}, "h5786"),  # 29 Adar I 5744: 29 Adar, and 5786 has one
        ("1985-03-14", dt.date(2026, 3, 3), {"days": -7}, "h5786"),
        ("1985-03-14", dt.date(2026, 3, 12), {"days": 2}, "h5786"),
    ],
)
def test_a_birthday_by_the_hebrew_calendar(born, day, settings, occasion):
    from pyluach.dates import HebrewDate

    now = dt.datetime.combine(day, NOON, dt.UTC)
    wanted = DateSettings(trait="birthday", calendar="hebrew", **settings)
    if born == "1984-03-03":
        there = HebrewDate.from_pydate(dt.date.fromisoformat(born))
        now = dt.datetime.combine(HebrewDate(5786, 12, there.day).to_pydate(), NOON, dt.UTC)
    assert date.plugin.due(wanted, dt.date.fromisoformat(born), "Asia/Jerusalem", now) == occasion


def test_the_clock_finds_hebrew_birthdays_once_a_year_also_when_the_date_is_corrected(session):
    from crm.core import partitions

    now = dt.datetime(2026, 3, 10, 10, tzinfo=dt.UTC)
    partitions.ensure(session, "events", [partitions.month_bounds(now)])
    trigger = {"kind": "date", "settings": {"trait": "birthday", "calendar": "hebrew"}}
    publish.publish(session, "birthday", drawing(WAIT) | {"trigger": trigger}, now=now)
    go(session, now, identify({"birthday": "1985-03-14", "email": "dana@example.com"}, at=now, user_id="dana"))
    go(session, now, identify({"birthday": "1985-03-10"}, at=now, user_id="noa"))
    assert dates.sweep(session, now, CONFIG) == 1
    tomorrow = now + dt.timedelta(days=1)
    go(session, tomorrow, identify({"birthday": "1985-03-15"}, at=tomorrow, user_id="dana"))
    assert dates.sweep(session, tomorrow, CONFIG) == 0
    assert session.scalar(text("SELECT occasion FROM journey_dates")) == "h5786"
    assert uuid.UUID(int=0) not in session.scalars(text("SELECT id FROM profiles")).all()
