"""Lists by hand: put on and taken off once, told as events, followed by segments, through joins and their undoing."""

from __future__ import annotations

import datetime as dt
import uuid

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.core.errors import InvalidError
from crm.core.ids import new_id
from crm.core.json import loads
from crm.events import inbox
from crm.events.read import read
from crm.segments import lists, store
from tests import makers
from tests.segments.test_refresh import CONFIG, happen, make, members
from workers import pipeline

FAIR = {"kind": "in_list", "list": "fair"}


def drained(session: Session, now: dt.datetime) -> list[str]:
    """What waits in the inbox, through the pipeline; returns the names of it."""
    rows = inbox.claim(session, 100)
    calls = [read(row) for row in rows]
    inbox.mark(session, rows, now)
    pipeline.run(session, calls, now, CONFIG)
    return [loads(row.body)["event"] for row in rows if "event" in loads(row.body)]


@pytest.fixture
def dana(session: Session, now: dt.datetime) -> uuid.UUID:
    happen(session, now, makers.track("Page Viewed", at=now, user_id="dana"))
    lists.create(session, slug="fair", name="Fair", now=now)
    return uuid.UUID(str(makers.profiles(session)[0].id))


def test_who_is_added_twice_is_on_it_once_and_the_segment_follows(session: Session, now: dt.datetime, dana: uuid.UUID) -> None:
    make(session, now, "visitors", FAIR)
    assert lists.add(session, "fair", [dana, dana], now=now) == 1
    assert lists.add(session, "fair", [dana, new_id()], now=now) == 0
    assert drained(session, now)[:1] == ["List Joined"]
    assert members(session, "visitors") == 1
    assert lists.remove(session, "fair", [dana], now=now) == 1
    assert lists.remove(session, "fair", [dana], now=now) == 0
    drained(session, now)
    assert members(session, "visitors") == 0


def test_another_list_looks_at_nobody(session: Session, now: dt.datetime, dana: uuid.UUID) -> None:
    lists.create(session, slug="vip", name="VIP", now=now)
    make(session, now, "visitors", FAIR)
    session.execute(text("INSERT INTO list_members (list_id, profile_id, since) SELECT id, :id, now() FROM lists WHERE slug = 'fair'"), {"id": dana})
    lists.add(session, "vip", [dana], now=now)
    drained(session, now)
    assert members(session, "visitors") == 0


def test_after_a_join_they_are_on_it_once_and_an_undone_one_leaves_each_where_they_stood(session: Session, now: dt.datetime, dana: uuid.UUID) -> None:
    happen(session, now, makers.track("Page Viewed", at=now, anonymous_id="a1"))
    visitor = next(p.id for p in makers.profiles(session) if p.id != dana)
    lists.add(session, "fair", [visitor], now=now)
    happen(session, now, makers.identify({}, at=now, user_id="dana", anonymous_id="a1"))
    [owner] = [row.id for row in makers.profiles(session)]
    assert lists.add(session, "fair", [visitor, dana], now=now) == 0
    assert [one for one, _since in lists.members(session, "fair", after=None, limit=9)] == [owner]
    assert lists.remove(session, "fair", [visitor], now=now) == 1


def test_a_list_in_use_is_not_deleted_and_a_segment_names_only_what_there_is(session: Session, now: dt.datetime, dana: uuid.UUID) -> None:
    make(session, now, "visitors", {"not": FAIR})
    with pytest.raises(InvalidError, match="used by visitors"):
        lists.delete(session, "fair")
    with pytest.raises(InvalidError, match="there is no list 'none'"):
        store.save(session, slug="bad", name="Bad", rule={"kind": "in_list", "list": "none"}, now=now)
    store.remove(session, "visitors")
    lists.delete(session, "fair")
    assert lists.all_lists(session) == []


def test_sizes_count_people(session: Session, now: dt.datetime, dana: uuid.UUID) -> None:
    lists.add(session, "fair", [dana], now=now)
    assert [(one.slug, one.size) for one in lists.all_lists(session)] == [("fair", 1)]
