"""Whose each call is."""

from __future__ import annotations

import datetime as dt
import uuid

import pytest
from sqlalchemy import text

from crm.events import inbox
from crm.events.read import read
from crm.events.spec import Call
from tests import makers
from tests.makers import accepted, identify, track
from workers import pipeline


@pytest.fixture
def process(session, now):
    """Run calls through the pipeline, each call a batch of its own unless given as a list."""

    def run(*batches, trusted=True):
        for batch in batches:
            calls = batch if isinstance(batch, list) else [batch]
            pipeline.run(session, [accepted(c, now, trusted=trusted) for c in calls], now, makers.config())

    return run


def ago(now, minutes):
    return now - dt.timedelta(minutes=minutes)


def owner(session, kind, value):
    return session.scalar(text("SELECT profile_id FROM identities WHERE kind = :k AND value = :v"), {"k": kind, "v": value})


def test_an_anonymous_visitor_who_identifies_is_joined_with_the_one_we_knew(session, now, process):
    process(identify({"name": "Dana"}, at=ago(now, 100), user_id="7", anonymous_id="home"))
    process(track("Page", at=ago(now, 5), anonymous_id="phone"))
    process(identify({}, at=ago(now, 4), user_id="7", anonymous_id="phone"))
    [dana] = makers.profiles(session)
    assert dana.name == "Dana"
    assert owner(session, "anonymous_id", "phone") == dana.id
    assert session.scalar(text("SELECT count(*) FROM events WHERE profile_id = :p"), {"p": dana.id}) == 3
    link = session.execute(text("SELECT * FROM links")).one()
    assert (link.into_id, link.reason) == (dana.id, "identified")
    assert (link.detail["kind"], link.detail["value"]) == ("anonymous_id", "phone")


def test_all_in_one_batch_gives_the_same(session, now, process):
    process([
        track("Page", at=ago(now, 5), anonymous_id="phone"),
        identify({"name": "Dana"}, at=ago(now, 100), user_id="7", anonymous_id="home"),
        identify({}, at=ago(now, 4), user_id="7", anonymous_id="phone"),
    ])  # fmt: skip
    [dana] = makers.profiles(session)
    assert session.scalar(text("SELECT count(*) FROM events WHERE profile_id = :p"), {"p": dana.id}) == 3


def test_an_address_is_known_in_any_spelling(session, now, process):
    process(identify({"email": "Dana@Example.co.il", "phone": "050-555 0142"}, at=ago(now, 3), anonymous_id="a"))
    process(track("Order Completed", {"order_id": "1"}, at=ago(now, 2), email="dana@example.co.il"))
    process(track("Order Completed", {"order_id": "2"}, at=ago(now, 1), phone="+972 50 555 0142"))
    assert len(makers.profiles(session)) == 1


def test_a_browser_key_joins_no_two_known_people(session, now, process):
    process(identify({"email": "a@example.com"}, at=ago(now, 9), user_id="1"), identify({"email": "b@example.com"}, at=ago(now, 8), user_id="2"))
    process(identify({"email": "b@example.com"}, at=ago(now, 7), user_id="1", anonymous_id="x"), trusted=False)
    assert len(makers.profiles(session)) == 2
    assert owner(session, "anonymous_id", "x") == owner(session, "user_id", "1")


def test_a_browser_key_gives_no_address_to_a_person_a_server_key_vouched_for(session, now, process):
    process(identify({"email": "dana@example.com"}, at=ago(now, 9), user_id="1"))
    process(identify({"email": "thief@example.com"}, at=ago(now, 8), user_id="1", anonymous_id="x"), trusted=False)
    assert owner(session, "email", "thief@example.com") is None
    process(identify({"email": "dana@work.example.com"}, at=ago(now, 7), user_id="1"))
    assert owner(session, "email", "dana@work.example.com") == owner(session, "user_id", "1")


def test_an_alias_joins_what_was_done_under_the_former_id(session, now, process):
    process(identify({}, at=ago(now, 20), user_id="1"), track("Page", at=ago(now, 9), anonymous_id="before"))
    process(Call(type="alias", user_id="1", previous_id="before", timestamp=ago(now, 8).isoformat()))
    assert owner(session, "anonymous_id", "before") == owner(session, "user_id", "1")
    assert len(makers.profiles(session)) == 1
    assert session.scalar(text("SELECT reason FROM links")) == "alias"


def test_two_user_ids_stay_two_people_even_for_a_server_key(session, now, process):
    process(identify({"email": "home@example.com"}, at=ago(now, 9), user_id="1"), identify({"email": "home@example.com"}, at=ago(now, 8), user_id="2"))
    assert owner(session, "user_id", "1") != owner(session, "user_id", "2")


def test_a_server_key_joins_a_mail_only_profile_with_the_user(session, now, process):
    process(track("Signed Up", at=ago(now, 9), email="d@example.com"), identify({}, at=ago(now, 8), user_id="1"))
    process(identify({"email": "d@example.com"}, at=ago(now, 7), user_id="1"))
    assert len(makers.profiles(session)) == 1


def test_a_second_person_on_a_device_takes_it_over_without_a_join(session, now, process):
    process(identify({}, at=ago(now, 9), user_id="1", anonymous_id="tablet"), identify({}, at=ago(now, 8), user_id="2", anonymous_id="tablet"))
    process(track("Page", at=ago(now, 7), anonymous_id="tablet"))
    assert len(makers.profiles(session)) == 2
    assert owner(session, "anonymous_id", "tablet") == owner(session, "user_id", "2")
    assert session.scalar(text("SELECT count(*) FROM events WHERE profile_id = :p"), {"p": owner(session, "user_id", "2")}) == 2


def test_the_later_trait_wins_however_late_the_earlier_comes(session, now, process):
    process(identify({"city": "Haifa"}, at=ago(now, 5), user_id="1"), identify({"city": "Yafo", "age": 30}, at=ago(now, 50), user_id="1"))
    [person] = makers.profiles(session)
    assert person.traits == {"city": "Haifa", "age": 30}


def test_the_same_message_counts_once(session, now, process):
    call = track("Page", at=ago(now, 5), user_id="1")
    call.message_id = "once"
    process(call, [call, call], call)
    assert session.scalar(text("SELECT count(*) FROM events")) == 1


def test_a_verified_address_is_one_that_a_server_key_told(session, now, process):
    process(identify({"email": "d@example.com"}, at=ago(now, 5), anonymous_id="a"), trusted=False)
    assert session.scalar(text("SELECT verified FROM identities WHERE kind = 'email'")) is False
    process(identify({"email": "d@example.com"}, at=ago(now, 4), user_id="1"))
    assert session.scalar(text("SELECT verified FROM identities WHERE kind = 'email'")) is True


def test_what_kesher_says_of_somebody_who_is_gone_makes_nobody(session, now):
    gone = inbox.system_event("Segment Entered", uuid.uuid4(), {"segment": "vip"}, cause=None, hops=1)
    call = read(inbox.Waiting(1, now, gone.source_id, True, gone.origin, None, 1, None, inbox.as_text(gone.body)))
    pipeline.run(session, [call], now, makers.config())
    assert makers.profiles(session) == []
    assert session.scalar(text("SELECT count(*) FROM events")) == 0
