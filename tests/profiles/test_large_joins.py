"""A join with very much to move does not hold up a batch: it is done soon, whole or not at all."""

from __future__ import annotations

import os

import pytest
from sqlalchemy import event, text
from sqlalchemy.orm import Session

from crm.commerce import rebuild as commerce_rebuild
from crm.core.db import engine_for, sessions
from crm.core.errors import InvalidError
from crm.messages import joining
from crm.profiles import large, move, rebuild, undo
from crm.profiles.graph import graph
from crm.profiles.move import Join
from tests import makers
from tests.makers import accepted, identify, product, track
from tests.profiles.test_undo import World
from workers import pipeline
from workers.check import Patient, large_joins
from workers.due import due


@pytest.fixture
def made(fresh_url):
    engine = engine_for(fresh_url)
    yield sessions(engine)
    engine.dispose()


@pytest.fixture
def world(made, now, monkeypatch):
    """A visitor with more than the limit's few events, whose cart a known person will claim."""
    monkeypatch.setattr(large, "MOST", 3)
    with made() as session:
        world = World(session, now)
        world.process(identify({"name": "Dana"}, at=world.ago(90), user_id="1"))
        world.process(*(track("Product Added", product("mug"), at=world.ago(60 - n), anonymous_id="kiosk") for n in range(5)))
        world.process(identify({}, at=world.ago(9), user_id="1", anonymous_id="kiosk"))
        session.commit()
        yield world


def later(made, now):
    return joining.merge_later(made, "ILS", lambda: now)


def people(made):
    with made() as session:
        return len(makers.profiles(session))


def all_is_well(made):
    with made() as session:
        ids = [row.id for row in makers.profiles(session)]
        return rebuild.differences(session) + commerce_rebuild.differences(session, ids, currency="ILS") == []


def test_both_stay_two_until_a_worker_comes_then_they_are_one(made, world, now):
    assert people(made) == 2
    assert all_is_well(made)
    with made() as session:
        assert "join" in due(session, now)
    assert later(made, now) == 1
    assert people(made) == 1
    assert all_is_well(made)
    with made() as session:
        link = session.execute(text("SELECT reason, accepted IS NOT NULL AS by_a_call, detail->>'value' AS showed FROM links")).one()
        assert tuple(link) == ("identified", True, "kiosk")
        assert session.scalar(text("SELECT count(*) FROM carts")) == 1
        assert "join" not in due(session, now)
    assert later(made, now) == 0


def test_what_comes_meanwhile_goes_where_it_went_before(made, world, now):
    world.process(track("Page", at=world.ago(5), anonymous_id="kiosk"), identify({}, at=world.ago(4), user_id="1", anonymous_id="kiosk"))
    world.session.commit()
    assert people(made) == 2
    assert later(made, now) == 1
    assert later(made, now) == 0, "claimed twice, noted once"
    world.process(track("Page", at=world.ago(1), anonymous_id="kiosk"))
    world.session.commit()
    assert people(made) == 1
    assert all_is_well(made)


def test_a_worker_killed_on_the_way_has_done_nothing(made, world, now, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(move, "settle", killed)
    with pytest.raises(KeyboardInterrupt):
        later(made, now)
    monkeypatch.undo()
    assert people(made) == 2
    assert all_is_well(made)
    assert later(made, now) == 1
    assert people(made) == 1
    assert all_is_well(made)


def test_one_that_raises_is_set_aside_with_its_error_and_the_others_go_on(made, world, now, monkeypatch):
    world.process(identify({"name": "Omri"}, at=world.ago(90), user_id="2"))
    world.process(*(track("Product Added", product("pot"), at=world.ago(60 - n), anonymous_id="till") for n in range(5)))
    world.process(identify({}, at=world.ago(9), user_id="2", anonymous_id="till"))
    world.session.commit()
    dana, kiosk = world.owner("user_id", "1"), world.owner("anonymous_id", "kiosk")

    def fails_for_dana(session, owners, settle=move.settle):
        session.execute(text("SELECT 1 / :n"), {"n": int(dana not in owners)})
        settle(session, owners)

    with monkeypatch.context() as broken:
        broken.setattr(move, "settle", fails_for_dana)
        assert [later(made, now) for _ in range(3)] == [1, 1, 0]
    assert people(made) == 3
    assert all_is_well(made)
    with made() as session:
        assert "join" not in due(session, now)
        [aside] = large.failed(session)
        assert (aside.undoing, aside.problem) == (False, "DivisionByZero: division by zero")
        assert large_joins(Patient(makers.config(), session, now)).state == "warn"
        [shown] = graph(session, kiosk).failed
        assert (shown.profile_id, shown.other_id) == (kiosk, dana)
        assert not large.waits(session, dana)
    world.process(identify({}, at=world.ago(4), user_id="1", anonymous_id="kiosk"))
    world.session.commit()
    assert later(made, now) == 0, "the next call does not try again what may cost minutes"
    world.merge(dana, kiosk)
    world.session.commit()
    assert later(made, now) == 1
    assert people(made) == 2
    assert all_is_well(made)
    with made() as session:
        assert large.failed(session) == []
        assert large_joins(Patient(makers.config(), session, now)).state == "ok"


def test_an_undoing_that_raises_is_set_aside_too(made, world, now, monkeypatch):
    assert later(made, now) == 1
    [link] = world.links()
    kiosk, one = world.unmerge(link)
    world.session.commit()
    with monkeypatch.context() as broken:
        broken.setattr(undo, "settle", lambda session, _owners: session.execute(text("SELECT 1 / 0")))
        assert later(made, now) == 1
    assert people(made) == 1
    assert all_is_well(made)
    shown = graph(world.session, one)
    assert [(each.other_id, each.undoing) for each in shown.failed] == [(kiosk, True)]
    assert shown.parting == set()
    world.unmerge(link)
    world.session.commit()
    assert later(made, now) == 1
    assert people(made) == 2
    assert graph(world.session, one).failed == []


def test_what_a_guard_says_meanwhile_counts(made, world, now):
    world.process(track("Order Completed", {"order_id": "1"}, at=world.ago(8), user_id="2", anonymous_id="kiosk"))
    world.session.commit()
    while later(made, now):
        pass
    assert people(made) == 2
    assert all_is_well(made)


def test_by_hand_too_and_only_once_they_are_two(made, world, now):
    world.session.execute(text("DELETE FROM large_joins"))
    one, other = world.owner("user_id", "1"), world.owner("anonymous_id", "kiosk")
    assert world.merge(one, other) == one
    assert large.waits(world.session, other)
    shown = graph(world.session, one)
    assert shown is not None
    assert shown.waits
    world.session.commit()
    assert later(made, now) == 1
    with made() as session:
        assert session.scalar(text("SELECT detail->>'by' FROM links")) == "Dana"
        assert not large.waits(session, one)


def test_taking_one_back_is_done_soon_too(made, world, now):
    one, kiosk = world.owner("user_id", "1"), world.owner("anonymous_id", "kiosk")
    assert later(made, now) == 1
    [link] = world.links()
    for _ in range(2):  # once by a hasty second click
        assert world.unmerge(link) == (kiosk, one)
    world.session.commit()
    assert people(made) == 1
    shown = graph(world.session, one)
    assert shown is not None
    assert (shown.waits, shown.parting) == (False, {link})
    world.process(track("Page", at=world.ago(5), anonymous_id="kiosk"))
    world.session.commit()
    assert later(made, now) == 1
    assert people(made) == 2
    assert all_is_well(made)
    with made() as session:
        undone = session.execute(text("SELECT detail->>'by', detail->>'said', undoes FROM links WHERE reason = 'undone'")).one()
        assert tuple(undone) == ("Dana", "not the same", link)
        assert session.scalar(text("SELECT count(*) FROM events WHERE profile_id = :id"), {"id": kiosk}) == 6  # what it did before and while it waited
        assert not large.waits(session, one)
    assert later(made, now) == 0
    with pytest.raises(InvalidError):
        world.unmerge(link)


def test_a_join_that_is_needed_no_more_does_not_stand_in_the_way_of_an_undoing(session: Session, now):
    world = World(session, now)
    world.process(*(track("Page", at=world.ago(9), anonymous_id=name) for name in "ab"))
    one, two = (row.id for row in makers.profiles(session))
    large.postpone(session, [Join(one, two, "identified", 7, {})], now)
    large.postpone(session, [Join(two, one, undo.UNDONE, None, {"link": "1"})], now)
    large.postpone(session, [Join(one, two, "identified", 8, {})], now)
    assert session.scalar(text("SELECT reason FROM large_joins")) == undo.UNDONE


def test_many_are_noted_at_once_each_pair_as_it_was_first_asked(session: Session, now):
    world = World(session, now)
    world.process(*(track("Page", at=world.ago(9), anonymous_id=name) for name in "abc"))
    one, two, three = (row.id for row in makers.profiles(session))
    asked = []
    event.listen(session.connection(), "before_cursor_execute", lambda *said: asked.append(said[2]))
    large.postpone(session, [Join(one, two, "first", 7, {}), Join(two, one, "second", 8, {}), Join(two, three, "third", None, {"by": "Dana"})], now)
    assert len(asked) == 1
    noted = session.execute(text("SELECT one_id, other_id, reason, accepted, detail FROM large_joins ORDER BY reason")).all()
    assert [tuple(row) for row in noted] == [(one, two, "first", 7, {}), (two, three, "third", None, {"by": "Dana"})]


@pytest.mark.full
@pytest.mark.skipif(not os.environ.get("KESHER_TEST_FULL"), reason="50,000 events: set KESHER_TEST_FULL=1")
def test_fifty_thousand_events_of_one_device_are_moved_in_one_go(session: Session, now):
    world = World(session, now)
    for start in range(0, 50_000, 2_000):
        pipeline.run(session, [accepted(track("Page", at=world.ago(50), anonymous_id="a"), now) for _ in range(start, start + 2_000)], now, makers.config())
    world.process(identify({}, at=world.ago(9), user_id="1"), identify({}, at=world.ago(8), user_id="1", anonymous_id="a"))
    assert len(makers.profiles(session)) == 2
    world.process(identify({}, at=world.ago(7), user_id="1", anonymous_id="a"))
    assert session.scalar(text("SELECT count(*) FROM large_joins")) == 1
