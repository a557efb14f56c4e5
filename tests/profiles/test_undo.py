"""A join can be taken back, with what came meanwhile."""

from __future__ import annotations

import datetime as dt

import pytest
from sqlalchemy import text

from crm.commerce import rebuild as commerce_rebuild
from crm.core.errors import InvalidError
from crm.messages import joining
from crm.profiles import rebuild
from tests import makers
from tests.makers import accepted, identify, product, track
from workers import pipeline


class World:
    """The pipeline and the two decisions a person may take, on one session."""

    def __init__(self, session, now):
        self.session, self.now = session, now

    def process(self, *calls, trusted=True):
        for call in calls:
            pipeline.run(self.session, [accepted(call, self.now, trusted=trusted)], self.now, makers.config())

    def ago(self, minutes):
        return self.now - dt.timedelta(minutes=minutes)

    def owner(self, kind, value):
        return self.session.scalar(text("SELECT profile_id FROM identities WHERE kind = :k AND value = :v"), {"k": kind, "v": value})

    def merge(self, one, other):
        return joining.merge(self.session, one, other, by="Dana", said="the same person", now=self.now, currency="ILS")

    def unmerge(self, link_id):
        return joining.unmerge(self.session, link_id, by="Dana", said="not the same", now=self.now, currency="ILS")

    def links(self):
        return [edge.id for edge in rebuild.edges(self.session)]

    def differences(self):
        ids = [row.id for row in makers.profiles(self.session)]
        return rebuild.differences(self.session) + commerce_rebuild.differences(self.session, ids, currency="ILS")

    def state(self):
        """What a profile is, without its id and what tells only when something was written."""
        found = {}
        for row in makers.profiles(self.session):
            keys = tuple(self.session.scalars(text("SELECT kind || ':' || value FROM identities WHERE profile_id = :p ORDER BY 1"), {"p": row.id}))
            events = tuple(self.session.scalars(text("SELECT message_id FROM events WHERE profile_id = :p ORDER BY 1"), {"p": row.id}))
            orders = tuple(self.session.scalars(text("SELECT order_id FROM orders WHERE profile_id = :p ORDER BY 1"), {"p": row.id}))
            carts = tuple(self.session.execute(text("SELECT key, status, value FROM carts WHERE profile_id = :p ORDER BY 1"), {"p": row.id}).all())
            found[keys] = (row.id, row.name, row.known, row.bucket, row.traits, row.first_seen, row.last_seen, events, orders, carts)
        return found


@pytest.fixture
def world(session, now):
    return World(session, now)


def two_people(world):
    world.process(
        identify({"name": "Dana", "city": "Haifa", "email": "dana@example.com"}, at=world.ago(90), user_id="1", anonymous_id="x"),
        track("Product Added", product("mug") | {"cart_id": "c1"}, at=world.ago(80), user_id="1"),
        identify({"name": "דנה", "email": "d@work.example"}, at=world.ago(70), anonymous_id="y"),
        track("Product Added", product("tea") | {"cart_id": "c2"}, at=world.ago(60), anonymous_id="y"),
        track("Order Completed", {"order_id": "o1", "total": "10"}, at=world.ago(50), email="d@work.example"),
    )
    return world.owner("user_id", "1"), world.owner("email", "d@work.example")


def test_taking_a_join_back_restores_both_exactly(world):
    dana, other = two_people(world)
    before = world.state()
    world.merge(dana, other)
    assert len(world.state()) == 1
    world.unmerge(world.links()[0])
    assert world.state() == before
    assert world.differences() == []


def test_what_came_meanwhile_goes_to_whom_its_identities_belong(world):
    dana, other = two_people(world)
    world.merge(dana, other)
    world.process(
        track("Page Viewed Twice", at=world.ago(20), anonymous_id="y"),
        track("Order Completed", {"order_id": "o2", "total": "70"}, at=world.ago(19), email="d@work.example"),
        track("Order Completed", {"order_id": "o3", "total": "80"}, at=world.ago(18), user_id="1"),
        identify({"phone": "0505550142"}, at=world.ago(17), anonymous_id="y"),
    )
    assert world.differences() == []
    world.unmerge(world.links()[0])
    assert world.differences() == []
    orders = dict(world.session.execute(text("SELECT order_id, profile_id FROM orders")).all())
    assert orders == {"o1": other, "o2": other, "o3": dana}
    assert world.owner("phone", "+972505550142") == other
    world.process(track("Page", at=world.ago(1), anonymous_id="y"))
    assert world.session.scalar(text("SELECT profile_id FROM events WHERE name = 'Page'")) == other


def test_who_was_taken_apart_is_not_joined_by_itself_again(world):
    world.process(track("Signed Up", at=world.ago(9), email="d@example.com"), identify({}, at=world.ago(8), user_id="1"))
    call = {"email": "d@example.com"}
    world.process(identify(call, at=world.ago(7), user_id="1"))
    assert len(makers.profiles(world.session)) == 1
    world.unmerge(world.links()[0])
    world.process(identify(call, at=world.ago(6), user_id="1"))
    assert len(makers.profiles(world.session)) == 2
    assert world.session.execute(text("SELECT reason, kind, last_value FROM guard_reports")).one() == ("apart", "email", "d@example.com")
    assert world.differences() == []


def test_an_anonymous_past_goes_back_and_the_device_stays_with_whom_it_identified_as(world):
    world.process(
        identify({"name": "Dana"}, at=world.ago(100), user_id="7", anonymous_id="home"),
        track("Page", at=world.ago(50), anonymous_id="phone"),
        identify({}, at=world.ago(40), user_id="7", anonymous_id="phone"),
        track("Later", at=world.ago(30), anonymous_id="phone"),
    )
    world.unmerge(world.links()[0])
    dana = world.owner("user_id", "7")
    whose = dict(world.session.execute(text("SELECT name, profile_id FROM events WHERE type = 'track'")).all())
    assert whose["Page"] != dana
    assert whose["Later"] == dana
    assert world.owner("anonymous_id", "phone") == dana
    assert world.differences() == []
    world.process(identify({}, at=world.ago(20), user_id="7", anonymous_id="phone"), track("Now", at=world.ago(10), anonymous_id="phone"))
    assert len(makers.profiles(world.session)) == 2
    assert world.differences() == []


def test_a_join_in_the_middle_of_a_chain_takes_back_only_its_side(world):
    world.process(*(identify({"name": name}, at=world.ago(90 - n), user_id=str(n)) for n, name in enumerate("abc")))
    a, b, c = sorted(world.owner("user_id", str(n)) for n in range(3))
    world.merge(b, c)
    world.merge(a, b)
    first, second = world.links()
    world.unmerge(first)
    assert {row.id for row in makers.profiles(world.session)} == {a, c}
    assert world.session.scalar(text("SELECT merged_into FROM profiles WHERE id = :b"), {"b": b}) == a
    assert world.differences() == []
    world.unmerge(second)
    assert len(makers.profiles(world.session)) == 3
    assert world.differences() == []


def test_the_oldest_bucket_counts_and_comes_back(world):
    dana, other = two_people(world)
    buckets = {row.id: row.bucket for row in makers.profiles(world.session)}
    world.session.execute(text("UPDATE profiles SET bucket = 1 WHERE id = :id"), {"id": dana})
    world.session.execute(text("UPDATE profiles SET bucket = 2 WHERE id = :id"), {"id": other})
    world.merge(other, dana)
    assert [row.bucket for row in makers.profiles(world.session)] == [1 if dana < other else 2]
    world.unmerge(world.links()[0])
    assert {row.id: row.bucket for row in makers.profiles(world.session)} == {dana: 1, other: 2}
    assert len(buckets) == 2


def test_taking_back_twice_says_so(world):
    dana, other = two_people(world)
    world.merge(dana, other)
    link = world.links()[0]
    world.unmerge(link)
    with pytest.raises(InvalidError, match="before"):
        world.unmerge(link)
    with pytest.raises(InvalidError, match="one profile already"):
        world.merge(dana, dana)


def test_a_difference_is_told(world):
    two_people(world)
    world.session.execute(text("UPDATE profiles SET traits = '{\"city\": \"Eilat\"}' WHERE name = 'Dana'"))
    assert any("traits is" in line for line in world.differences())
