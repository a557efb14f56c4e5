"""A list follows what is asked of it in the order of asking, whoever works on it and whatever happens meanwhile."""

from __future__ import annotations

import datetime as dt
import itertools
import threading
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session, sessionmaker

from crm.core.db import engine_for, sessions
from crm.events.importing.models import Upload
from crm.segments import list_jobs, lists
from tests import makers
from tests.profiles.test_undo import World
from tests.segments.test_refresh import happen
from tests.waiting import until_it_waits

NAMES = ("adi", "gil", "tal", "uri")


@pytest.fixture
def made(fresh_url: str) -> Iterator[sessionmaker[Session]]:
    engine = engine_for(fresh_url)
    yield sessions(engine)
    engine.dispose()


@pytest.fixture
def one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "AT_ONCE", 1)


def imported(session: Session, now: dt.datetime) -> Upload:
    """A file that told of four people; the list they may go on."""
    happen(session, now, *(makers.identify({"name": name}, at=now - dt.timedelta(hours=1), user_id=name, anonymous_id=name) for name in NAMES))
    source = makers.source(session, "files")
    upload = Upload(file_name="fair.csv", file_digest=b"\x01" * 32, size=1, how={}, status="done", source_id=source, counts={"events": {"identify": 1}})
    session.add(upload)
    session.flush()
    session.execute(text("UPDATE events SET message_id = :id || profile_id, source_id = :source"), {"id": f"{'01' * 16}:1", "source": source})
    lists.create(session, slug="fair", name="Fair", now=now)
    return upload


def on(session: Session) -> set[uuid.UUID]:
    return {one for one, _since in lists.members(session, "fair", after=None, limit=99)}


def everybody(session: Session) -> list[uuid.UUID]:
    return [row.id for row in makers.profiles(session)]


def finish(session: Session, now: dt.datetime) -> None:
    while list_jobs.work(session, now):
        pass


def test_who_is_put_on_after_everybody_was_taken_off_stays(session: Session, now: dt.datetime, one_by_one: None) -> None:
    imported(session, now)
    people = everybody(session)
    lists.add(session, "fair", people, now=now)
    soon = now + dt.timedelta(seconds=1)
    list_jobs.begin(session, "fair", upload=None, now=soon)
    extra = people[-1]
    lists.remove(session, "fair", [extra], now=soon)
    lists.add(session, "fair", [extra], now=soon + dt.timedelta(seconds=1))
    finish(session, soon + dt.timedelta(seconds=9))
    assert on(session) == {extra}


def test_the_last_word_counts_of_two_that_are_still_being_done(session: Session, now: dt.datetime, one_by_one: None) -> None:
    upload, later = imported(session, now), [now + dt.timedelta(seconds=n) for n in range(9)]
    list_jobs.begin(session, "fair", upload=upload, now=later[0])
    list_jobs.begin(session, "fair", upload=None, now=later[1])
    finish(session, later[8])
    assert on(session) == set()
    lists.add(session, "fair", everybody(session), now=later[2])
    list_jobs.begin(session, "fair", upload=None, now=later[3])
    list_jobs.begin(session, "fair", upload=upload, now=later[4])
    finish(session, later[8])
    assert on(session) == set(everybody(session))


def test_a_second_worker_leaves_the_list_alone_and_takes_another(made: sessionmaker[Session], now: dt.datetime, one_by_one: None) -> None:
    with made() as session:
        upload = imported(session, now)
        lists.create(session, slug="vip", name="VIP", now=now)
        list_jobs.begin(session, "fair", upload=upload, now=now)
        list_jobs.begin(session, "fair", upload=None, now=now + dt.timedelta(seconds=1))
        list_jobs.begin(session, "vip", upload=upload, now=now)
        session.commit()
    with made() as first, made() as second:
        first.execute(text("SELECT FROM list_jobs ORDER BY id LIMIT 1 FOR UPDATE"))
        while list_jobs.work(second, now):
            pass
        vip = second.scalar(text("SELECT count(*) FROM list_members m JOIN lists l ON l.id = m.list_id WHERE l.slug = 'vip'"))
        assert vip == len(NAMES)
        assert len(on(second)) == 1


def test_whom_a_join_led_behind_the_mark_is_put_on_too(session: Session, now: dt.datetime, one_by_one: None, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = itertools.count(1)
    monkeypatch.setattr("crm.profiles.people.new_id", lambda _ms: uuid.UUID(int=next(ids)))  # so that who is older is not chance
    world = World(session, now)
    world.process(makers.track("Page Viewed", at=now - dt.timedelta(days=1), user_id="old"))
    [old] = everybody(session)
    upload = imported(session, now)
    last = max(everybody(session))
    list_jobs.begin(session, "fair", upload=upload, now=now)
    assert world.merge(old, last) == old
    finish(session, now)
    assert on(session) == set(everybody(session))
    assert old in on(session)


def test_deleting_a_list_waits_for_the_part_in_hand(made: sessionmaker[Session], now: dt.datetime, one_by_one: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with made() as session:
        list_jobs.begin(session, "fair", upload=imported(session, now), now=now)
        session.commit()
    deleted: list[str] = []

    def delete() -> None:
        with made() as session:
            lists.delete(session, "fair")
            session.commit()
            deleted.append("fair")

    deleting = threading.Thread(target=delete)
    add = lists.add

    def add_meanwhile(session: Session, *said: Any, **more: Any) -> int:
        deleting.start()
        with made() as watching:
            until_it_waits(watching, deleting)
        return add(session, *said, **more)

    monkeypatch.setattr(lists, "add", add_meanwhile)
    with made() as session:
        assert list_jobs.work(session, now)
        session.commit()
    deleting.join()
    assert deleted == ["fair"]
    with made() as session:
        assert list_jobs.work(session, now) == 0
        assert session.scalar(text("SELECT count(*) FROM list_members")) == 0
