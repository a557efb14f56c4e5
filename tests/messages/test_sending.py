"""The next good moment, as a function of values."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from crm.messages.sending import Quiet, Rest, SendingSettings, later
from crm.messages.shabbat import PLACES, is_rest, rest

JERUSALEM = ZoneInfo("Asia/Jerusalem")
ZONES = ["Asia/Jerusalem", "America/New_York", "Europe/London", "Asia/Kathmandu", "Pacific/Kiritimati", "Australia/Lord_Howe", "America/Santiago"]
NIGHT = Quiet(starts=21 * 60, ends=8 * 60)
moments = st.integers(1704067200, 2082758399).map(lambda seconds: dt.datetime.fromtimestamp(seconds, dt.UTC))  # 2024 to 2035


@st.composite
def quiets(draw):
    starts, length = draw(st.integers(0, 1439)), draw(st.integers(1, 1380))
    return Quiet(starts=starts, ends=(starts + length) % 1440, weekdays=tuple(draw(st.sets(st.integers(0, 6)))))


rests = st.builds(Rest, place=st.sampled_from(sorted(PLACES)), candles=st.sampled_from([18, 40]))
settings = st.builds(SendingSettings, quiet=st.fixed_dictionaries({}, optional={"email": quiets()}), rest=st.none() | rests)


def here(said: str) -> dt.datetime:
    return dt.datetime.fromisoformat(said).replace(tzinfo=JERUSALEM)


def goes(said: str, rules: SendingSettings, zone: str = "Asia/Jerusalem") -> tuple[str, str] | None:
    found = later(rules, channel="email", moment=here(said), zone=zone)
    return (found.until.astimezone(ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M"), found.reason) if found else None


@given(settings, moments, st.sampled_from(ZONES))
def test_what_waits_goes_within_a_week_at_a_moment_that_is_good(rules, moment, zone):
    found = later(rules, channel="email", moment=moment, zone=zone)
    if found is not None:
        assert moment < found.until < moment + dt.timedelta(days=7)
        assert later(rules, channel="email", moment=found.until, zone=zone) is None


@given(quiets(), moments, st.sampled_from(ZONES))
def test_quiet_is_what_the_wall_clock_says(quiet, moment, zone):
    wall = moment.astimezone(ZoneInfo(zone))
    if any((wall + dt.timedelta(hours=h)).utcoffset() != wall.utcoffset() for h in range(-49, 49, 4)):
        return  # around a change of the clocks see below
    minute, today = wall.hour * 60 + wall.minute, wall.weekday()
    if quiet.starts < quiet.ends:
        expected = today in quiet.weekdays and quiet.starts <= minute < quiet.ends
    else:
        expected = (today in quiet.weekdays and minute >= quiet.starts) or ((today - 1) % 7 in quiet.weekdays and minute < quiet.ends)
    assert (quiet.until(moment, zone) is not None) == expected


@given(rests, moments)
def test_a_rest_has_a_rest_day_in_it_and_ends_in_the_evening_of_one(rules, moment):
    place = PLACES[rules.place]
    if (span := rest(moment, place, rules.candles)) is not None:
        begins, ends = (each.astimezone(ZoneInfo(place.zone)) for each in span)
        assert not is_rest(begins.date(), place.israel) and is_rest(begins.date() + dt.timedelta(days=1), place.israel)
        assert is_rest(ends.date(), place.israel) and not is_rest(ends.date() + dt.timedelta(days=1), place.israel)
        assert ends.hour >= 16 and dt.timedelta(hours=24) < ends - begins < dt.timedelta(hours=75)


@pytest.mark.parametrize(
    ("day", "place", "candles", "begins", "ends"),
    [  # as printed by Chabad for 6 December 2019 and by newsru.co.il for 10 October 2025 (which lights by a custom of its own)
        ("2019-12-06", "jerusalem", 40, "15:55", "17:15"),
        ("2019-12-06", "new_york", 18, "16:10", "17:13"),
        ("2019-12-06", "london", 18, "15:35", "16:50"),
        ("2019-12-06", "paris", 18, "16:37", "17:48"),
        ("2025-10-10", "jerusalem", 40, None, "18:50"),
        ("2025-10-10", "haifa", 18, None, "18:51"),
        ("2025-10-10", "eilat", 18, None, "18:52"),
    ],
)
def test_shabbat_comes_and_goes_as_printed_within_two_minutes(day, place, candles, begins, ends):
    zone = ZoneInfo(PLACES[place].zone)
    found = rest(dt.datetime.fromisoformat(f"{day} 23:00").replace(tzinfo=zone), PLACES[place], candles)
    assert found is not None
    assert begins is None or abs(found[0] - dt.datetime.fromisoformat(f"{day} {begins}").replace(tzinfo=zone)) <= dt.timedelta(minutes=2)
    assert abs(found[1] - dt.datetime.fromisoformat(f"{day} {ends}").replace(tzinfo=zone) - dt.timedelta(days=1)) <= dt.timedelta(minutes=2)


def test_nothing_is_held_where_nothing_was_set():
    assert goes("2026-11-20 23:59", SendingSettings()) is None


def test_an_email_due_on_friday_night_goes_after_shabbat_or_when_quiet_hours_are_over():
    assert goes("2026-11-20 20:10", SendingSettings(rest=Rest(candles=40))) == ("2026-11-21 17:16", "shabbat")
    summer = SendingSettings(quiet={"email": Quiet(starts=20 * 60, ends=9 * 60)}, rest=Rest(candles=40))
    assert goes("2026-06-26 20:10", summer) == ("2026-06-28 09:00", "shabbat")


def test_quiet_hours_are_of_their_channel_and_their_weekdays():
    rules = SendingSettings(quiet={"sms": NIGHT})
    assert goes("2026-11-18 23:00", rules) is None
    rules = SendingSettings(quiet={"email": Quiet(starts=21 * 60, ends=8 * 60, weekdays=(2,))})
    assert goes("2026-11-18 23:00", rules) == ("2026-11-19 08:00", "quiet_hours")
    assert goes("2026-11-19 07:59", rules) == ("2026-11-19 08:00", "quiet_hours")
    assert goes("2026-11-19 23:00", rules) is None


def test_quiet_hours_are_on_the_persons_own_clock():
    rules = SendingSettings(quiet={"email": NIGHT})
    assert goes("2026-11-18 14:00", rules, "America/New_York") == ("2026-11-18 08:00", "quiet_hours")
    assert goes("2026-11-18 23:00", rules, "America/New_York") is None


def test_quiet_hours_end_on_the_new_clock_where_the_clocks_change():
    # 27 March 2026, 02:00 becomes 03:00; 25 October 2026, 02:00 becomes 01:00
    rules = SendingSettings(quiet={"email": NIGHT})
    assert goes("2026-03-26 23:00", rules) == ("2026-03-27 08:00", "quiet_hours")
    assert goes("2026-10-24 23:00", rules) == ("2026-10-25 08:00", "quiet_hours")
    skipped = SendingSettings(quiet={"email": Quiet(starts=60, ends=150)})
    assert goes("2026-03-27 01:30", skipped) == ("2026-03-27 03:30", "quiet_hours")
    gone = SendingSettings(quiet={"email": Quiet(starts=120, ends=180)})
    assert goes("2026-03-27 01:59", gone) is None and goes("2026-03-27 03:00", gone) is None


def test_yom_kippur_is_a_rest_of_its_own_or_one_with_shabbat():
    rules = SendingSettings(rest=Rest(candles=40))
    assert goes("2026-09-20 18:30", rules) == ("2026-09-21 19:14", "shabbat")  # a Monday
    assert goes("2026-09-19 12:00", rules) == ("2026-09-19 19:17", "shabbat")  # the Shabbat before it ends by itself
    assert goes("2026-09-20 12:00", rules) is None
    assert goes("2024-10-11 20:00", rules) == ("2024-10-12 18:47", "shabbat")  # on Shabbat itself


def test_two_days_of_new_year_and_shabbat_are_one_rest():
    rules = SendingSettings(rest=Rest(candles=40))
    assert goes("2024-10-02 18:00", rules) == ("2024-10-05 18:55", "shabbat")  # Thursday, Friday, Shabbat
    assert goes("2026-09-12 12:00", rules) == ("2026-09-13 19:25", "shabbat")  # Shabbat and Sunday


def test_holidays_last_a_day_in_israel_and_two_abroad():
    second = dt.datetime(2026, 4, 9, 12, tzinfo=dt.UTC)
    assert rest(second, PLACES["tel_aviv"], 18) is None
    assert rest(second, PLACES["new_york"], 18) is not None


def test_the_days_between_are_working_days():
    assert rest(here("2026-04-05 12:00"), PLACES["jerusalem"], 18) is None


@pytest.mark.parametrize(("starts", "ends"), [(0, 0), (600, 599), (600, 600), (600, 541)])
def test_quiet_hours_that_would_never_end_are_refused(starts, ends):
    with pytest.raises(ValidationError, match="at least one hour"):
        Quiet(starts=starts, ends=ends)
