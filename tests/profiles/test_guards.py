"""What no join by itself may do."""

from __future__ import annotations

import os

import pytest
from sqlalchemy import text

from crm.profiles import rebuild
from tests import makers
from tests.makers import accepted, identify, track
from tests.profiles.test_undo import World
from workers import pipeline


@pytest.fixture
def world(session, now):
    return World(session, now)


def reports(world):
    return {(row.reason, row.kind): row.count for row in world.session.execute(text("SELECT reason, kind, count FROM guard_reports"))}


def test_a_sixth_phone_is_not_added_and_told(world):
    for n in range(7):
        world.process(identify({"phone": f"050555014{n}"}, at=world.ago(90 - n), user_id="1"))
    assert world.session.scalar(text("SELECT count(*) FROM identities WHERE kind = 'phone'")) == 5
    assert reports(world) == {("limit", "phone"): 2}
    assert len(makers.profiles(world.session)) == 1
    assert world.differences() == []


def test_a_limit_can_be_set(world):
    world.session.execute(text("INSERT INTO identity_limits (kind, most) VALUES ('phone', 1)"))
    world.process(*(identify({"phone": f"050555014{n}"}, at=world.ago(90 - n), user_id="1") for n in range(2)))
    assert world.session.scalar(text("SELECT count(*) FROM identities WHERE kind = 'phone'")) == 1


def test_thousands_of_devices_do_not_become_one_person(session, now):
    world = World(session, now)
    visits = [accepted(track("Page", at=world.ago(50), anonymous_id=f"a{n}"), now) for n in range(1_000)]
    claims = [accepted(identify({}, at=world.ago(40), user_id="1", anonymous_id=f"a{n}"), now) for n in range(1_000)]
    pipeline.run(session, visits, now, makers.config())
    pipeline.run(session, claims[:500], now, makers.config())
    pipeline.run(session, claims[500:], now, makers.config())
    one = world.owner("user_id", "1")
    assert session.scalar(text("SELECT count(*) FROM identities WHERE profile_id = :p"), {"p": one}) == 101
    assert session.scalar(text("SELECT count(*) FROM events WHERE profile_id = :p"), {"p": one}) == 1_100
    assert reports(world) == {("limit", "anonymous_id"): 900}
    assert rebuild.differences(session) == []


def test_a_blocked_identifier_leads_to_nobody(world):
    world.session.execute(text("INSERT INTO blocked_identities (kind, value) VALUES ('phone', '+97235550100'), ('email', 'test@*')"))
    world.process(
        track("Order Completed", {"order_id": "1"}, at=world.ago(9), phone="03-5550100"),
        track("Order Completed", {"order_id": "2"}, at=world.ago(8), phone="03-5550100"),
        identify({"email": "test@shop.example", "name": "A"}, at=world.ago(7), user_id="1"),
        identify({"email": "test@shop.example", "name": "B"}, at=world.ago(6), user_id="2"),
        identify({"email": "attest@shop.example"}, at=world.ago(5), user_id="2"),
    )
    assert len(makers.profiles(world.session)) == 4
    assert world.session.scalars(text("SELECT value FROM identities WHERE kind IN ('email', 'phone')")).all() == ["attest@shop.example"]
    assert world.differences() == []


def test_a_device_of_three_people_is_shared_and_joins_nobody(world):
    world.process(*(identify({}, at=world.ago(90 - n), user_id=str(n), anonymous_id="tablet") for n in range(3)))
    assert world.session.scalar(text("SELECT shared FROM identities WHERE value = 'tablet'"))
    assert reports(world) == {("shared", "anonymous_id"): 1}
    world.process(track("Page", at=world.ago(9), anonymous_id="tablet"), identify({}, at=world.ago(8), user_id="4", anonymous_id="tablet"))
    world.process(track("Page", at=world.ago(7), anonymous_id="tablet"))
    nobody = world.owner("anonymous_id", "tablet")
    people = {world.owner("user_id", n) for n in ("0", "1", "2", "4")}
    assert len(people) == 4
    assert nobody not in people
    assert world.session.scalar(text("SELECT count(*) FROM events WHERE profile_id = :p"), {"p": nobody}) == 2
    assert world.links() == []
    assert world.differences() == []


@pytest.mark.parametrize("together", [False, True])
def test_who_was_joined_before_a_batch_counts_once_in_it_too(world, together):
    """Two identified on the device: one of them first by an address that was found to be theirs since."""
    known = identify({"email": "a@example.com"}, at=world.ago(90), user_id="1")
    first = identify({"email": "b@example.com"}, at=world.ago(80), anonymous_id="tablet")
    world.process(known, first, identify({"email": "b@example.com"}, at=world.ago(70), user_id="1"))
    world.process(identify({"email": "c@example.com"}, at=world.ago(60), user_id="2"))
    then = [identify({}, at=world.ago(9 - n), user_id=str(n), anonymous_id="tablet") for n in (1, 2)]
    if together:
        pipeline.run(world.session, [accepted(call, world.now) for call in then], world.now, makers.config())
    else:
        world.process(*then)
    assert not world.session.scalar(text("SELECT shared FROM identities WHERE value = 'tablet'"))
    assert world.owner("anonymous_id", "tablet") == world.owner("user_id", "2")
    assert world.differences() == []


def test_people_who_became_one_count_once_on_a_device(world):
    world.process(*(identify({}, at=world.ago(90 - n), user_id=str(n), anonymous_id="tablet") for n in range(2)))
    world.merge(world.owner("user_id", "0"), world.owner("user_id", "1"))
    world.process(identify({}, at=world.ago(9), user_id="2", anonymous_id="tablet"))
    assert not world.session.scalar(text("SELECT shared FROM identities WHERE value = 'tablet'"))
    world.process(identify({}, at=world.ago(8), user_id="3", anonymous_id="tablet"))
    assert world.session.scalar(text("SELECT shared FROM identities WHERE value = 'tablet'"))
    assert world.differences() == []


def test_two_user_ids_and_unproven_claims_are_reported(world):
    world.process(identify({"email": "a@example.com"}, at=world.ago(9), user_id="1"), identify({"email": "b@example.com"}, at=world.ago(8), user_id="2"))
    world.process(identify({"email": "b@example.com"}, at=world.ago(7), user_id="1"))
    world.process(identify({"email": "b@example.com"}, at=world.ago(6), user_id="1", anonymous_id="x"), trusted=False)
    assert len(makers.profiles(world.session)) == 2
    assert reports(world) == {("two_users", "email"): 1, ("unproven", "email"): 1}
    assert world.differences() == []


@pytest.mark.full
@pytest.mark.skipif(not os.environ.get("KESHER_TEST_FULL"), reason="100,000 events: set KESHER_TEST_FULL=1")
def test_fifty_thousand_devices_are_stopped_and_told(session, now):
    world = World(session, now)
    for start in range(0, 50_000, 2_000):
        numbers = range(start, start + 2_000)
        pipeline.run(session, [accepted(track("Page", at=world.ago(50), anonymous_id=f"a{n}"), now) for n in numbers], now, makers.config())
        pipeline.run(session, [accepted(identify({}, at=world.ago(40), user_id="1", anonymous_id=f"a{n}"), now) for n in numbers], now, makers.config())
    assert session.scalar(text("SELECT count(*) FROM identities WHERE profile_id = :p"), {"p": world.owner("user_id", "1")}) == 101
    assert reports(world) == {("limit", "anonymous_id"): 49_900}
