"""What a public key tells of somebody never replaces what the shop's own systems told."""

from __future__ import annotations

import datetime as dt
import itertools

import pytest
from sqlalchemy import text

from crm.profiles import rebuild
from crm.profiles.fold import MAX_TRAITS, MOST_UNPROVEN
from tests import makers
from tests.makers import accepted, identify
from workers import pipeline


def told(traits, ago, now, *, trusted, **who):
    return accepted(identify(traits, at=now - dt.timedelta(minutes=ago), **({"user_id": "1"} | who)), now, trusted=trusted)


def run(session, now, *calls):
    for call in calls:
        pipeline.run(session, [call], now, makers.config())


def traits(session):
    [person] = makers.profiles(session)
    return person.traits


def test_a_browser_cannot_rename_whom_the_shop_has_named(session, now):
    run(session, now, told({"name": "Dana", "vip": True}, 90, now, trusted=True), told({"name": "Mallory", "vip": None, "size": "M"}, 5, now, trusted=False))
    assert traits(session) == {"name": "Dana", "vip": True, "size": "M"}
    assert rebuild.differences(session) == []


def test_what_the_shop_forgot_a_browser_does_not_bring_back(session, now):
    run(session, now, told({"vip": True}, 90, now, trusted=True), told({"vip": None}, 80, now, trusted=True), told({"vip": True}, 5, now, trusted=False))
    assert traits(session) == {}


def test_the_shop_s_older_word_replaces_what_a_browser_said(session, now):
    run(session, now, told({"city": "Haifa"}, 5, now, trusted=False), told({"city": "Eilat"}, 90, now, trusted=True))
    assert traits(session) == {"city": "Eilat"}
    assert rebuild.differences(session) == []


def test_an_anonymous_visitor_s_browser_fills_and_corrects_its_own(session, now):
    run(
        session, now,
        told({"city": "Haifa"}, 9, now, trusted=False, user_id=None, anonymous_id="x"),
        told({"city": "Eilat"}, 5, now, trusted=False, user_id=None, anonymous_id="x"),
    )  # fmt: skip
    assert traits(session) == {"city": "Eilat"}


@pytest.mark.parametrize("order", list(itertools.permutations(range(4)))[::5])
def test_the_order_of_processing_does_not_matter(session, now, order):
    calls = [
        told({"name": "Dana"}, 90, now, trusted=True), told({"name": "M"}, 5, now, trusted=False),
        told({"name": "Dana L"}, 60, now, trusted=True), told({"name": "X"}, 99, now, trusted=False),
    ]  # fmt: skip
    run(session, now, *(calls[n] for n in order))
    assert traits(session) == {"name": "Dana L"}
    assert rebuild.differences(session) == []


def test_an_anonymous_past_joined_does_not_overwrite_either(session, now):
    run(
        session, now,
        told({"name": "Dana"}, 90, now, trusted=True),
        told({"name": "Mallory"}, 8, now, trusted=False, user_id=None, anonymous_id="x"),
        told({}, 5, now, trusted=False, anonymous_id="x"),
    )  # fmt: skip
    assert traits(session) == {"name": "Dana"}
    assert rebuild.differences(session) == []


def test_however_much_a_browser_tells_the_shop_still_finds_room(session, now):
    run(session, now, told({f"t{n}": n for n in range(MAX_TRAITS)}, 9, now, trusted=False), told({"plan": "gold"}, 5, now, trusted=True))
    assert session.scalar(text("SELECT traits->>'plan' FROM profiles")) == "gold"
    assert len(traits(session)) == MOST_UNPROVEN + 1
