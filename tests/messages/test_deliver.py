"""From the outbox to the mail server: what goes, what does not, and what a crash leaves behind."""

from __future__ import annotations

import datetime as dt
from contextlib import contextmanager
from email.header import decode_header, make_header

import pytest
from sqlalchemy import select, text, update

from crm.commerce.models import Cart
from crm.core.crypto import Keys
from crm.core.db import engine_for, sessions
from crm.core.ids import new_id
from crm.messages import deliver, feedback
from crm.messages.channel import registry
from crm.messages.deliver import ATTEMPTS, CLAIM, LEASE, deliver_due, expire_leases
from crm.messages.feedback import Visit
from crm.messages.gate import Hold
from crm.messages.models import Message, OutboxRow, Template, TemplateVersion
from crm.messages.outbox import Request, queue, withdraw
from crm.messages.templates import install, shipped_templates
from tests.messages.people import about_cart, fate, message, person, say, shop, the, why
from tests.messages.standin import mail_server


@pytest.fixture
def server():
    with mail_server() as made:
        yield made


def send(session, config, now, **more):
    @contextmanager
    def same():
        yield session

    return deliver_due(same, config, now if callable(now) else lambda: now, **more)


def events(session):
    return [(row[0], row[1]) for row in session.execute(text("SELECT body::json->>'event', cause FROM event_inbox ORDER BY id"))]


def words(mail, kind):
    return next(part.get_payload(decode=True).decode() for part in mail.walk() if part.get_content_type() == kind)


def test_an_abandoned_cart_is_mailed_in_the_profiles_language(session, now, server):
    made = message(session, now, person(session, now, email="dana@example.com", firstName="דנה", language="he"))
    assert send(session, shop(server.url), now) == 1
    [mail] = server.mails()
    assert fate(session, made) == ("sent", None)
    assert str(make_header(decode_header(mail["Subject"]))) == "פרסומת: העגלה שלך מחכה, דנה"
    assert str(make_header(decode_header(mail["From"]))) == "קפה ומתנות <shop@kafe.example>"
    assert mail["To"] == "dana@example.com"
    html = words(mail, "text/html")
    assert 'dir="rtl"' in html and "189.90" in html and "https://shop.example/f.png" in html and "https://k.example/cart/" in html
    assert "189.90" in words(mail, "text/plain") and "https://k.example/cart/" in words(mail, "text/plain")
    assert the(session, made).provider_id == mail["Message-ID"]
    assert ("Email Sent", f"message:{made}") in events(session)
    assert why(session, made) == [("queued", "queued", "queued"), ("final", "send", "allowed"), ("channel", "sent", "sent")]
    assert session.scalar(select(OutboxRow)) is None


def test_an_english_profile_reads_english(session, now, server):
    message(session, now, person(session, now, firstName="Dana", locale="en-US"))
    send(session, shop(server.url), now)
    assert server.mails()[0]["Subject"] == "Ad: your cart is waiting, Dana"


def test_marketing_mail_can_be_unsubscribed_by_one_click(session, now, server):
    message(session, now, person(session, now))
    send(session, shop(server.url), now)
    [mail] = server.mails()
    assert mail["List-Unsubscribe"].startswith("<https://k.example/u/")
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert mail["List-Id"] == "<offers.kafe.example>"


@pytest.mark.parametrize(
    ("who", "reason"),
    [({"consent": None}, "no_consent"), ({"consent": "refused"}, "consent_refused"), ({"email": None}, "no_address"), ({"cart": None}, "no_longer_relevant")],
)
def test_what_the_gate_refuses_is_dropped_with_its_reason(session, now, server, who, reason):
    made = message(session, now, person(session, now, **who))
    assert send(session, shop(server.url), now) == 1
    assert fate(session, made) == ("dropped", reason)
    assert why(session, made)[-1] == ("cheap", "drop", reason)
    assert server.received == []


def test_an_order_between_rendering_and_sending_stops_the_mail(session, now, server):
    config = shop(server.url)
    made = message(session, now, person(session, now))
    written, refused = deliver.write(session, deliver.claim(session, now, 10), config, now)
    assert (len(written), refused) == (1, [])
    session.execute(update(Cart).values(status="ordered"))
    marked, dropped = deliver.mark(session, written, config, now)
    assert marked == []
    assert [(v.draft.id, v.stage, v.reason) for v in dropped] == [(made, "final", "no_longer_relevant")]


def test_a_held_message_waits_for_its_hour(session, now, server, monkeypatch):
    made = message(session, now, person(session, now))
    morning = now + dt.timedelta(hours=9)
    monkeypatch.setattr(deliver, "decide", lambda facts: (Hold(morning, "quiet_hours"), "quiet_hours"))
    assert send(session, shop(server.url), now) == 1
    monkeypatch.undo()
    assert fate(session, made) == ("held", "quiet_hours")
    assert send(session, shop(server.url), morning - dt.timedelta(seconds=1)) == 0
    assert send(session, shop(server.url), morning) == 1
    assert fate(session, made) == ("sent", None)


def test_a_bounced_address_gets_nothing_more(session, now, server):
    server.answers["RCPT"] = ["550 5.1.1 no such user"]
    profile = person(session, now)
    first = message(session, now, profile)
    send(session, shop(server.url), now)
    second = message(session, now, profile, relevant_if=None, data={})
    send(session, shop(server.url), now)
    assert fate(session, first) == ("failed", "bounce")
    assert fate(session, second) == ("dropped", "bounce")
    assert [name for name, _ in events(session)] == ["Email Bounced"]


def test_a_refused_message_fails_and_blames_nobody_else(session, now, server):
    server.answers["RCPT"] = ["554 5.7.1 we do not like this"]
    first, second = (message(session, now, person(session, now)) for _ in range(2))
    send(session, shop(server.url), now)
    assert sorted([fate(session, first), fate(session, second)]) == [("failed", "rejected"), ("sent", None)]


def test_the_same_words_about_the_same_cart_go_once_a_day(session, now, server):
    profile = person(session, now)
    first, second = (message(session, now, profile) for _ in range(2))
    send(session, shop(server.url), now)
    third = message(session, now, profile)
    send(session, shop(server.url), now + dt.timedelta(hours=23))
    assert sorted([fate(session, first), fate(session, second)]) == [("dropped", "duplicate"), ("sent", None)]
    assert fate(session, third) == ("dropped", "duplicate")


def test_the_same_words_about_other_things_go_each(session, now, server):
    profile = person(session, now)
    first, second, again = (message(session, now, profile, data={"reference": what}) for what in ("alert:1", "alert:2", "alert:1"))
    send(session, shop(server.url), now)
    assert sorted(fate(session, one) for one in (first, second, again)) == [("dropped", "duplicate"), ("sent", None), ("sent", None)]
    late = message(session, now, profile, data={"reference": "alert:2"})
    send(session, shop(server.url), now + dt.timedelta(hours=1))
    assert fate(session, late) == ("dropped", "duplicate")
    fourth = message(session, now, profile)
    send(session, shop(server.url), now + dt.timedelta(hours=25))
    assert fate(session, fourth) == ("sent", None)


def test_a_run_asks_for_a_message_once(session, now):
    install(session, shipped_templates(), now)
    request = Request(person(session, now), "email", "abandoned_cart", run_id=new_id(), node="mail")
    assert len(queue(session, [request], now)) == 1
    assert queue(session, [request], now) == []


def test_a_message_without_template_fails_visibly(session, now):
    [made] = queue(session, [Request(person(session, now), "email", "no_such_thing")], now)
    assert fate(session, made) == ("failed", "template_missing")


def test_an_ended_run_takes_its_waiting_messages_back(session, now, server):
    run = new_id()
    made = message(session, now, person(session, now), run_id=run)
    other = message(session, now, person(session, now))
    assert withdraw(session, [run], "no_longer_relevant", now) == 1
    send(session, shop(server.url), now)
    assert fate(session, made) == ("dropped", "no_longer_relevant")
    assert fate(session, other) == ("sent", None)


def test_a_hint_is_given_once_the_message_is_committed(fresh_url, now):
    heard = []
    with sessions(engine_for(fresh_url))(info={"hint": {"deliver": lambda: heard.append(1)}}) as session:
        message(session, now, person(session, now))
        assert heard == []
        session.commit()
        assert heard == [1]


def test_a_busy_server_is_asked_again_later_and_later(session, now, server):
    config = shop(server.url, time_scale=10)
    made = message(session, now, person(session, now))
    server.answers["RCPT"] = ["451 4.3.0 busy"] * 2
    send(session, config, now)
    assert fate(session, made) == ("queued", "try_later")
    assert session.scalar(select(OutboxRow.due_at)) == now + dt.timedelta(seconds=3)
    assert send(session, config, now + dt.timedelta(seconds=2)) == 0
    send(session, config, now + dt.timedelta(seconds=3))
    assert session.scalar(select(OutboxRow.due_at)) == now + dt.timedelta(seconds=9)
    send(session, config, now + dt.timedelta(seconds=9))
    assert fate(session, made) == ("sent", None)


def test_a_server_that_stays_away_ends_in_failure(session, now, server):
    made = message(session, now, person(session, now))
    session.execute(update(Message).values(attempts=ATTEMPTS - 1))
    server.answers["RCPT"] = ["451 4.3.0 busy"]
    send(session, shop(server.url), now)
    assert fate(session, made) == ("failed", "gave_up")


def test_an_outage_costs_one_attempt_of_one_message(session, now):
    made = [message(session, now, person(session, now)) for _ in range(3)]
    send(session, shop("smtp://127.0.0.1:1"), now)
    assert {fate(session, m)[0] for m in made} == {"queued"}
    assert sorted(the(session, m).attempts for m in made) == [0, 0, 1]


def test_a_break_after_the_handover_is_unknown_and_never_sent_again(session, now, server):
    made = message(session, now, person(session, now))
    server.answers["END"] = ["keep and drop"]
    send(session, shop(server.url), now)
    assert fate(session, made) == ("unknown", "uncertain")
    for hours in (0, 1, 48):
        assert send(session, shop(server.url), now + dt.timedelta(hours=hours)) == 0
    assert len(server.received) == 1


def test_what_does_not_fit_into_a_claims_second_goes_with_the_next(session, now, server):
    made = [message(session, now, person(session, now)) for _ in range(4)]
    clock = iter(now + dt.timedelta(seconds=0.4 * step) for step in range(100))
    send(session, shop(server.url), lambda: next(clock))
    states = [fate(session, m) for m in made]
    assert ("queued", "released") in states and ("sent", None) in states
    while send(session, shop(server.url), now + dt.timedelta(seconds=60)):
        pass
    assert {fate(session, m) for m in made} == {("sent", None)}
    assert len(server.received) == len(set(server.recipients())) == 4


def test_a_broken_template_fails_its_messages_and_says_where(session, now, server):
    broken = message(session, now, person(session, now))
    good_profile = person(session, now)
    session.execute(update(TemplateVersion).values(content={"he": {"subject": "פרסומת {{ nothing.here }}", "html": "x", "text": "x"}}, digest="broken"))
    send(session, shop(server.url), now)
    assert fate(session, broken) == ("failed", "template_broken")
    assert "he, subject" in session.scalar(select(Template.problem))
    session.execute(update(TemplateVersion).values(digest="old"))
    good = message(session, now, good_profile)
    send(session, shop(server.url), now)
    assert fate(session, good) == ("sent", None)
    assert session.scalar(select(Template.problem)) is None


class TestTwoSides:
    """Several connections, real commits."""

    @pytest.fixture
    def made(self, fresh_url):
        engine = engine_for(fresh_url)
        yield sessions(engine)
        engine.dispose()

    def begin(self, made, now, count=1):
        with made() as session:
            ids = [message(session, now, person(session, now)) for _ in range(count)]
            session.commit()
        return ids

    def test_an_unsubscribe_committed_before_the_mark_stops_the_mail(self, made, now, server):
        [first] = self.begin(made, now)
        config = shop(server.url)
        with made() as sender, made() as reader:
            written, _ = deliver.write(sender, deliver.claim(sender, now, 10), config, now)
            say(reader, now, sender.execute(text("SELECT value FROM identities")).scalar_one(), "refused")
            reader.commit()
            marked, dropped = deliver.mark(sender, written, config, now)
        assert marked == [] and [v.reason for v in dropped] == ["consent_refused"]

    def test_an_unsubscribe_waits_for_a_mark_that_has_begun(self, made, now, server):
        self.begin(made, now)
        config = shop(server.url)
        with made() as sender, made() as reader:
            marked, _ = deliver.prepare(sender, config, now, 10)
            assert len(marked) == 1
            reader.execute(text("SET lock_timeout = '200ms'"))
            with pytest.raises(Exception, match="lock timeout"):
                say(reader, now, marked[0].letter.address, "refused")

    def test_a_crash_between_mark_and_record_sends_nothing_twice(self, made, now, server):
        [first] = self.begin(made, now)
        config = shop(server.url)
        with made() as sender:
            marked, _ = deliver.prepare(sender, config, now, 10)
            sender.commit()
        list(deliver.hand_over(marked, config, lambda: now))  # the process dies here: nothing is recorded
        assert len(server.received) == 1
        assert deliver_due(made, config, lambda: now + dt.timedelta(hours=1)) == 0
        with made() as session:
            assert expire_leases(session, now + LEASE) == 0
            assert expire_leases(session, now + LEASE + dt.timedelta(seconds=1)) == 1
            session.commit()
            assert fate(session, first) == ("unknown", "lease_expired")
        assert deliver_due(made, config, lambda: now + dt.timedelta(hours=2)) == 0
        assert len(server.received) == 1

    def test_a_certain_answer_that_comes_late_settles_the_unknown(self, made, now, server):
        [first] = self.begin(made, now)
        config = shop(server.url)
        with made() as sender:
            marked, _ = deliver.prepare(sender, config, now, 10)
            sender.commit()
            expire_leases(sender, now + 2 * LEASE)
            sender.commit()
            deliver.settle(sender, list(deliver.hand_over(marked, config, lambda: now)), now)
            sender.commit()
            assert fate(sender, first) == ("sent", None)

    def test_a_channel_that_raises_loses_only_the_message_it_raised_on(self, made, now, server, monkeypatch):
        ids = self.begin(made, now, 3)
        plugin, calls = registry()["email"], []

        def stumble(letter, config):
            calls.append(letter)
            if len(calls) == 2:
                raise RuntimeError("a bug")
            return f"<{letter.message_id.hex}@x>"

        monkeypatch.setattr(plugin, "send", stumble)
        with pytest.raises(RuntimeError):
            deliver_due(made, shop(server.url), lambda: now)
        with made() as session:
            assert sorted(fate(session, m)[0] for m in ids) == ["queued", "sending", "sent"]

    def test_somebody_elses_person_is_left_for_the_next_claim(self, made, now, server):
        [first] = self.begin(made, now)
        config = shop(server.url)
        with made() as pipeline:
            pipeline.execute(text("SELECT FROM profiles FOR UPDATE"))
            assert deliver_due(made, config, lambda: now) == 0
        assert deliver_due(made, config, lambda: now) == 1
        assert len(server.received) == 1

    def test_two_senders_never_take_the_same_message(self, made, now):
        self.begin(made, now, 6)
        with made() as one, made() as other:
            mine, theirs = deliver.claim(one, now, 3), deliver.claim(other, now, CLAIM)
            assert len(mine) == 3 and len(theirs) == 3
            assert not {d.id for d in mine} & {d.id for d in theirs}

    def test_an_unsubscribe_by_the_link_stops_the_next_mail(self, made, now, server):
        config = shop(server.url)
        with made() as session:
            profile = person(session, now)
            first = message(session, now, profile)
            session.commit()
            deliver_due(made, config, lambda: now)
            second = message(session, now, profile, relevant_if=about_cart(now, "c1"), node="second")
            assert feedback.unsubscribe(session, Keys(config.secret_key), the(session, first), Visit("POST", "x"), now)
            session.commit()
            deliver_due(made, config, lambda: now + dt.timedelta(days=2))
            assert fate(session, second) == ("dropped", "unsubscribed")
        assert len(server.received) == 1
