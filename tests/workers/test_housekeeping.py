"""Chores: what goes, and what stays."""

from __future__ import annotations

import datetime as dt
import uuid

import pytest
from sqlalchemy import text

from crm.core import partitions
from workers import housekeeping
from workers.clock import keep_house
from workers.process import Tools


def day_with(session, day: dt.datetime, *, waiting: bool) -> str:
    partitions.ensure(session, "event_inbox", [partitions.day_bounds(day)])
    session.execute(
        text("INSERT INTO event_inbox (received_at, source_id, trusted, origin, lane, body, processed_at) VALUES (:at, 1, true, 'live', 0, '{}', :done)"),
        {"at": day, "done": None if waiting else day},
    )
    return f"event_inbox_{day:%Y%m%d}"


def exists(session, table: str) -> bool:
    return session.scalar(text("SELECT to_regclass(:name) IS NOT NULL"), {"name": table})


def test_an_old_day_of_the_inbox_goes_only_when_all_of_it_was_processed(session, now):
    done = day_with(session, now - dt.timedelta(days=16), waiting=False)
    waiting = day_with(session, now - dt.timedelta(days=17), waiting=True)
    young = day_with(session, now - dt.timedelta(days=13), waiting=False)
    assert housekeeping.drop_inbox_days(session, now) == 1
    assert [exists(session, name) for name in (done, waiting, young)] == [False, True, True]


def test_event_keys_are_forgotten_after_the_dedupe_window_unless_kept_for_ever(session, now):
    for days, forever in ((31, False), (29, False), (400, True)):
        session.execute(
            text("INSERT INTO event_keys (key, seen_at, forever) VALUES (:key, :seen, :forever)"),
            {"key": uuid.uuid4(), "seen": now - dt.timedelta(days=days), "forever": forever},
        )
    assert housekeeping.forget_event_keys(session, now) == 1
    assert session.scalar(text("SELECT count(*) FROM event_keys")) == 2


def test_the_days_ahead_exist(session, now):
    housekeeping.make_partitions(session, now + dt.timedelta(days=20))
    assert exists(session, f"event_inbox_{now + dt.timedelta(days=23):%Y%m%d}")


@pytest.mark.parametrize("moment", ["2028-01-31T23:59", "2027-01-30T00:00", "2028-02-29T12:00", "2027-03-31T08:00", "2026-12-31T23:59"])
def test_the_month_ahead_and_those_before_exist_on_every_day_of_a_month(session, moment):
    now = dt.datetime.fromisoformat(moment).replace(tzinfo=dt.UTC)
    housekeeping.make_partitions(session, now)
    months = [divmod(now.year * 12 + now.month - 1 + n, 12) for n in range(-4, 2)]
    assert all(exists(session, f"events_{year}{month + 1:02}01") for year, month in months)


def test_a_chore_that_fails_does_not_stop_the_next(monkeypatch, session, now):
    done = []

    def broken(_session, _now):
        raise ValueError("this chore is broken")

    def works(_session, _now):
        done.append(1)
        return 1

    monkeypatch.setattr("workers.clock.CHORES", (broken, works))

    class Lend:
        def __call__(self):
            return session

    keep_house(Tools(config=None, engine=None, sessions=Lend(), hints=None))
    assert done == [1]


@pytest.mark.parametrize("chore", housekeeping.CHORES, ids=lambda chore: chore.__name__)
def test_every_chore_runs_on_an_empty_installation(chore, session, now):
    assert not chore(session, now)
