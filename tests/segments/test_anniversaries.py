"""Dates that come round: by both calendars, where the year lacks the day, by the person's own midnight, without anybody looking each day."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from pyluach.dates import HebrewDate
from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.segments import anniversaries, evaluate, refresh, tree
from crm.segments.anniversaries import Round, turns
from crm.segments.refresh import place_of
from tests import makers
from tests.segments import reader
from tests.segments.test_refresh import CONFIG, happen, make, members, told


def kept_on(born: dt.date, year: int, **how: Any) -> dt.date:
    """On which day of a (Gregorian) year it is kept."""
    kept = Round(**how)
    key = anniversaries.key_of(born, kept.calendar)
    days = [dt.date(year, 1, 1) + dt.timedelta(days=n) for n in range(365)]
    [found] = {turn.day for day in days if (turn := turns(kept, day)[str(key)]).day}
    return found


def hebrew(year: int, month: int, day: int) -> dt.date:
    return HebrewDate(year, month, day).to_pydate()


def test_a_29_february_is_kept_a_day_before_or_after_in_other_years() -> None:
    born = dt.date(2004, 2, 29)
    assert kept_on(born, 2027) == dt.date(2027, 2, 28)
    assert kept_on(born, 2027, missing="after") == dt.date(2027, 3, 1)
    assert kept_on(born, 2028, missing="after") == dt.date(2028, 2, 29)


@pytest.mark.parametrize(
    ("born", "how", "year", "kept"),
    [
        ((5745, 12, 15), {}, 5787, (5787, 13, 15)),  # Adar of a year with one, in a year with two: the second
        ((5745, 12, 15), {"adar": "first"}, 5787, (5787, 12, 15)),
        ((5744, 12, 15), {}, 5787, (5787, 12, 15)),  # the first Adar is kept in the first
        ((5744, 13, 15), {}, 5788, (5788, 12, 15)),  # the second one in the only one
        ((5744, 12, 30), {}, 5788, (5788, 12, 29)),
        ((5744, 12, 30), {"missing": "after"}, 5788, (5788, 1, 1)),
        ((5744, 8, 29), {}, 5787, (5787, 8, 29)),
    ],
)
def test_hebrew_birthdays_follow_the_rules_of_adar(born: tuple[int, int, int], how: dict[str, Any], year: int, kept: tuple[int, int, int]) -> None:
    wanted = hebrew(*kept)
    key = anniversaries.key_of(hebrew(*born), "hebrew")
    assert turns(Round(calendar="hebrew", **how), wanted)[str(key)].day == wanted


def test_who_has_a_birthday_comes_in_at_their_own_midnight_and_leaves_at_the_next(session: Session, now: dt.datetime) -> None:
    make(session, now, "birthday", {"kind": "anniversary", "name": "birthday"})
    noon = now.replace(hour=12, minute=0, second=0)
    tomorrow = (noon + dt.timedelta(days=1)).date()
    born = tomorrow.replace(year=1988).isoformat() if (tomorrow.month, tomorrow.day) != (2, 29) else "1988-02-29"
    happen(session, noon, makers.identify({"birthday": born, "timezone": "America/New_York"}, at=noon, user_id="dana"))
    begins = dt.datetime.combine(tomorrow, dt.time(5 if summer(tomorrow) is False else 4), dt.UTC)
    assert refresh.lapse_due(session, begins - dt.timedelta(seconds=1), 100, CONFIG) == 0
    assert members(session, "birthday") == 0
    assert refresh.lapse_due(session, begins, 100, CONFIG) == 1
    assert members(session, "birthday") == 1
    assert told(session) == [("Segment Entered", "birthday", 1, "live")]
    refresh.lapse_due(session, begins + dt.timedelta(days=1, hours=2), 100, CONFIG)
    assert members(session, "birthday") == 0


def summer(day: dt.date) -> bool:
    from zoneinfo import ZoneInfo

    return bool(dt.datetime.combine(day, dt.time(), ZoneInfo("America/New_York")).dst())


@pytest.mark.parametrize(
    "rule", [{}, {"start": -7, "end": 2}, {"calendar": "hebrew"}, {"calendar": "hebrew", "start": -3, "missing": "after", "adar": "first"}]
)
def test_by_due_times_alone_everybody_is_in_it_at_every_hour_they_should_be(session: Session, now: dt.datetime, rule: dict[str, Any]) -> None:
    births = ["1984-03-08", "2004-02-29", "1990-12-31", "2000-11-28", "1999-10-03"]
    zones = ["Pacific/Kiritimati", "Etc/GMT+12", "Asia/Jerusalem", "Asia/Kathmandu", "America/Sao_Paulo"]
    calls = [makers.identify({"birthday": b, "timezone": z}, at=now, user_id=f"u{n}") for n, (b, z) in enumerate(zip(births, zones, strict=True))]
    happen(session, now, *calls)
    parsed, place = tree.parse({"kind": "anniversary", "name": "birthday"} | rule), place_of(CONFIG)
    for row in makers.profiles(session):
        person = reader.person(session, row.id, place=place)
        assert person is not None
        moment, until, inside_hours, looks = now, now + dt.timedelta(days=400), 0, 0
        while moment < until:
            made = evaluate.statement(parsed, now=moment, place=place, ids=[row.id])
            found = session.execute(text(made.sql), made.values).one()
            assert found.due_at > moment
            span = min(found.due_at, until) - moment
            for at in (moment, moment + span / 3, moment + span / 2, moment + span - dt.timedelta(seconds=1)):
                assert tree.read(parsed, person, at) == found.inside, (row.traits, at)
            inside_hours += found.inside * int(span.total_seconds() // 3600)
            moment, looks = found.due_at, looks + 1
        assert inside_hours >= 22
        assert looks <= 12, "nobody is looked at day by day"


@pytest.mark.parametrize(
    "rule",
    [{}, {"start": -2, "end": 1}, {"calendar": "hebrew"}, {"calendar": "hebrew", "start": -2, "end": 1}, {"calendar": "hebrew", "start": -90, "end": 80}],
)
def test_everybody_is_counted_by_their_own_clock_at_every_hour(session: Session, now: dt.datetime, rule: dict[str, Any]) -> None:
    near = [now.date() + dt.timedelta(days=n) for n in range(-2, 3)]
    births = [day.isoformat() for day in near] + [(day - dt.timedelta(days=6940)).isoformat() for day in near]  # 19 years: both calendars come near
    births += [f"{births[0]}T10:00:00Z", f"{births[1]} or so", "2150-01-01"]
    zones = ["Pacific/Kiritimati", "Etc/GMT+12", "Asia/Jerusalem", None]
    who = [{"birthday": born, "timezone": zone} for born in births for zone in zones]
    happen(session, now, *(makers.identify(traits, at=now, user_id=f"u{n}") for n, traits in enumerate(who)))
    parsed, place = tree.parse({"kind": "anniversary", "name": "birthday"} | rule), place_of(CONFIG)
    for hour in range(0, 30, 3):
        at = now + dt.timedelta(hours=hour)
        inside = evaluate.members(session, parsed, now=at, place=place)
        assert inside
        assert evaluate.count(session, parsed, now=at, place=place) == len(inside), hour
