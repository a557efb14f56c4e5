"""Messages that wait for a better moment, or for room at an address."""

from __future__ import annotations

import datetime as dt

import pytest
from sqlalchemy import select, text

from crm.core.db import engine_for, sessions
from crm.core.errors import InvalidError
from crm.messages import deliver, outbox, sending
from crm.messages.caps import Spent
from crm.messages.models import OutboxRow
from crm.messages.sending import Cap
from tests.messages.people import fate, message, person, say, shop, why
from tests.messages.standin import mail_server
from tests.messages.test_deliver import send

HOUR, DAY = dt.timedelta(hours=1), dt.timedelta(days=1)
FRIDAY = dt.datetime(2026, 11, 20, 18, 10, tzinfo=dt.UTC)  # 20:10 in Jerusalem
NIGHTFALL = dt.datetime(2026, 11, 21, 15, 16, tzinfo=dt.UTC)


@pytest.fixture
def server():
    with mail_server() as made:
        yield made


def due(session):
    return session.scalar(select(OutboxRow.due_at))


def several(session, now, who, count):
    """As many messages, each about another thing."""
    return [message(session, now, who, data={"reference": f"r{n}"}) for n in range(count)]


def fates(session, ids):
    return sorted(fate(session, each) for each in ids)


def test_a_message_due_on_friday_night_goes_when_shabbat_is_over(session, server):
    sending.save(session, {"rest": {"candles": 40}}, FRIDAY)
    made = message(session, FRIDAY, person(session, FRIDAY))
    send(session, shop(server.url), FRIDAY)
    assert (fate(session, made), due(session)) == (("held", "shabbat"), NIGHTFALL)
    send(session, shop(server.url), NIGHTFALL - dt.timedelta(minutes=1))
    assert server.mails() == []
    send(session, shop(server.url), NIGHTFALL)
    assert fate(session, made) == ("sent", None)


def test_what_waits_is_asked_again_when_it_wakes(session, server):
    sending.save(session, {"rest": {"candles": 40}}, FRIDAY)
    who = person(session, FRIDAY, email="dana@example.com")
    made = message(session, FRIDAY, who)
    send(session, shop(server.url), FRIDAY)
    say(session, FRIDAY + HOUR, "dana@example.com", "refused")
    send(session, shop(server.url), NIGHTFALL)
    assert fate(session, made) == ("dropped", "consent_refused")


def test_quiet_hours_are_on_the_clock_of_whom_it_is_for(session, server):
    sending.save(session, {"quiet": {"email": {"starts": 1260, "ends": 480}}}, FRIDAY)
    noon = dt.datetime(2026, 11, 18, 12, tzinfo=dt.UTC)
    here, there = (message(session, noon, person(session, noon, **more)) for more in ({}, {"timezone": "America/New_York"}))
    send(session, shop(server.url), noon)
    assert (fate(session, here), fate(session, there)) == (("sent", None), ("held", "quiet_hours"))
    assert due(session) == dt.datetime(2026, 11, 18, 13, tzinfo=dt.UTC)


def test_receipts_go_at_any_time_and_count_for_nothing(session, server):
    sending.save(session, {"rest": {}, "quiet": {"email": {"starts": 0, "ends": 1380}}, "caps": {"": {"day": 1}}}, FRIDAY)
    made = several(session, FRIDAY, person(session, FRIDAY), 3)
    session.execute(text("UPDATE messages SET purpose = 'transactional'"))
    send(session, shop(server.url), FRIDAY)
    assert {fate(session, each) for each in made} == {("sent", None)}


def test_other_settings_ask_again_about_what_waits(session, server):
    sending.save(session, {"rest": {"candles": 40}}, FRIDAY)
    made = message(session, FRIDAY, person(session, FRIDAY))
    send(session, shop(server.url), FRIDAY)
    sending.save(session, {}, FRIDAY + HOUR)
    send(session, shop(server.url), FRIDAY + HOUR)
    assert fate(session, made) == ("sent", None)


def test_so_many_a_day_and_the_next_when_the_first_is_a_day_old(session, now, server):
    sending.save(session, {"caps": {"": {"day": 2}}}, now)
    made = several(session, now, person(session, now), 3)
    send(session, shop(server.url), now)
    assert fates(session, made) == [("held", "frequency_cap"), ("sent", None), ("sent", None)]
    assert due(session) == now + DAY
    send(session, shop(server.url), now + DAY)
    assert {fate(session, each) for each in made} == {("sent", None)}


def test_a_week_counts_beside_the_day_and_every_journey_counts(session, now, server):
    sending.save(session, {"caps": {"email": {"day": 2, "week": 3}}, "patience": 30}, now)
    who = person(session, now)
    made = [message(session, now, who, journey=f"j{n}", data={"reference": f"r{n}"}) for n in range(4)]
    for days in range(8):
        send(session, shop(server.url), now + days * DAY)
        sent = len(server.mails())
        assert sent == (2, 3, 3, 3, 3, 3, 3, 4)[days]
    assert {fate(session, each) for each in made} == {("sent", None)}


def test_two_people_with_one_address_share_its_room(session, now, server):
    sending.save(session, {"caps": {"": {"day": 1}}}, now)
    one, other = person(session, now, email=None), person(session, now, email="home@example.com")
    session.execute(
        text("INSERT INTO identities (kind, value, profile_id, first_seen) VALUES ('email', 'own@example.com', :who, :at)"), {"who": one, "at": now}
    )
    say(session, now, "own@example.com", "granted")
    first = message(session, now, one)
    send(session, shop(server.url), now)
    session.execute(text("UPDATE messages SET address = 'home@example.com'"))  # as if it had been theirs, before they were parted
    second = message(session, now, other)
    send(session, shop(server.url), now + HOUR)
    assert (fate(session, first), fate(session, second)) == (("sent", None), ("held", "frequency_cap"))


def test_what_finds_no_room_in_time_is_let_go(session, now, server):
    sending.save(session, {"caps": {"": {"week": 1}}, "patience": 2}, now)
    made = several(session, now, person(session, now), 2)
    send(session, shop(server.url), now)
    assert fates(session, made) == [("dropped", "no_room"), ("sent", None)]


def test_patience_does_not_run_out_while_a_journey_is_paused(session, now, server):
    sending.save(session, {"caps": {"": {"day": 1}}, "patience": 2}, now)
    who = person(session, now)
    made = [message(session, now, who, journey="j", data={"reference": f"r{n}"}) for n in range(2)]
    outbox.hold(session, "j", now)
    later = now + 10 * DAY
    outbox.release(session, "j", later)
    send(session, shop(server.url), later)
    assert fates(session, made) == [("held", "frequency_cap"), ("sent", None)]


def test_what_was_refused_by_the_server_takes_no_room(session, now, server):
    sending.save(session, {"caps": {"": {"day": 1}}}, now)
    made = several(session, now, person(session, now), 2)
    session.execute(text("UPDATE messages SET status = 'failed', address = 'p@example.com', marked_at = :now WHERE id = :id"), {"id": made[0], "now": now})
    session.execute(text("DELETE FROM outbox WHERE message_id = :id"), {"id": made[0]})
    send(session, shop(server.url), now)
    assert fate(session, made[1]) == ("sent", None)


def test_two_senders_at_once_never_send_one_too_many(fresh_url, now):
    """Both have rendered for people of their own, who share an address as parted profiles may."""
    engine = engine_for(fresh_url)
    open_ = sessions(engine)
    with open_() as session:
        sending.save(session, {"caps": {"": {"day": 1}}}, now)
        people = [person(session, now, email=f"p{n}@example.com") for n in range(2)]
        made = [message(session, now, who) for who in people]
        session.commit()
    with open_() as one, open_() as other:
        claims = [deliver.claim(each, now, 1) for each in (one, other)]
        written = [deliver.write(each, drafts, shop(), now)[0] for each, drafts in zip((one, other), claims, strict=True)]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("crm.messages.facts._addresses", lambda _session, drafts: {d.id: ("email", "p0@example.com") for d in drafts})
            first, _ = deliver.mark(one, written[0], shop(), now)
            none, refused = deliver.mark(other, written[1], shop(), now)
            assert (len(first), none, refused) == (1, [], [])  # the address is busy: the message stays for the next claim
            one.commit()
            other.rollback()
            written_again, _ = deliver.write(other, deliver.claim(other, now, 1), shop(), now)
            assert written_again == []  # the cheap gate counts what is being sent
            other.rollback()
    with open_() as session:
        assert sorted(fate(session, each)[0] for each in made) == ["queued", "sending"]
    engine.dispose()


def test_nothing_is_counted_and_no_address_locked_where_no_cap_is_set(session, now, server):
    made = several(session, now, person(session, now), 5)
    send(session, shop(server.url), now)
    assert {fate(session, each) for each in made} == {("sent", None)}
    assert session.scalar(text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1")) == 0


def test_every_hold_says_why_and_until_when(session, now, server):
    sending.save(session, {"caps": {"": {"day": 1}}}, now)
    made = several(session, now, person(session, now), 2)
    send(session, shop(server.url), now)
    held = next(each for each in made if fate(session, each)[0] == "held")
    assert why(session, held)[-1][1:] == ("hold", "frequency_cap")


@pytest.mark.parametrize("cap", [{"day": 0}, {"day": -1}, {"week": 0}, {"month": 3}])
def test_a_cap_that_means_nothing_is_refused(session, now, cap):
    with pytest.raises(InvalidError):
        sending.save(session, {"caps": {"": cap}}, now)


def test_room_comes_when_the_fullest_window_lets_one_through(now):
    spent = Spent({"": Cap(day=2, week=5), "email": Cap(day=1)})
    assert spent.room_at("a", "email", now) is None
    spent.note("a", "sms", now - 20 * HOUR)
    assert spent.room_at("a", "email", now) is None
    spent.note("a", "sms", now - 2 * HOUR)
    assert spent.room_at("a", "email", now) == now + 4 * HOUR
    spent.note("a", "email", now - HOUR)
    assert spent.room_at("a", "sms", now) == now + 22 * HOUR
    assert spent.room_at("a", "email", now) == now + 23 * HOUR
