"""What is decided about a message while it is with its sender: it holds, should the message come back."""

from __future__ import annotations

import pytest
from sqlalchemy import select, text

from crm.messages import deliver, outbox
from crm.messages.models import OutboxRow
from tests.messages.people import fate, message, person, shop, the, why
from tests.messages.standin import mail_server
from tests.messages.test_deliver import send


@pytest.fixture
def server():
    with mail_server() as made:
        yield made


@pytest.fixture
def marked(session, now):
    """A message with its sender."""
    made = message(session, now, person(session, now), journey="j")
    [one], _ = deliver.prepare(session, shop(), now, 64)
    return made, one


def comes_back(session, one, now, answer="retry"):
    deliver.settle(session, [deliver.Verdict(one.draft, "channel", answer, "try_later" if answer == "retry" else answer, due_at=now)], now)


@pytest.mark.parametrize("answer", ["retry", "released"])
def test_what_comes_back_after_its_run_ended_goes_no_more(session, now, server, marked, answer):
    made, one = marked
    assert outbox.withdraw(session, [the(session, made).run_id], "exit:Order Completed", now) == 0
    comes_back(session, one, now, answer)
    assert fate(session, made) == ("dropped", "exit:Order Completed")
    assert why(session, made)[-1] == ("channel", "drop", "exit:Order Completed")
    assert session.scalar(select(OutboxRow)) is None
    assert send(session, shop(server.url), now) == 0
    assert the(session, made).attempts == (1 if answer == "retry" else 0)


def test_what_comes_back_while_its_journey_is_paused_waits_for_its_end(session, now, server, marked):
    made, one = marked
    assert outbox.hold(session, "j", now) == 0
    comes_back(session, one, now)
    assert fate(session, made) == ("held", "journey_paused")
    assert send(session, shop(server.url), now) == 0
    assert outbox.release(session, "j", now) == 1
    assert send(session, shop(server.url), now) == 1
    assert fate(session, made) == ("sent", None)


def test_what_comes_back_after_the_pause_is_tried_again(session, now, server, marked):
    made, one = marked
    outbox.hold(session, "j", now)
    assert outbox.release(session, "j", now) == 0
    comes_back(session, one, now)
    assert fate(session, made) == ("queued", "try_later")


def test_what_was_sent_is_sent_whatever_was_decided_meanwhile(session, now, marked):
    made, one = marked
    outbox.hold(session, "j", now)
    outbox.withdraw(session, [the(session, made).run_id], "stopped", now)
    deliver.settle(session, [deliver.Verdict(one.draft, "channel", "sent", "sent", address=one.letter.address)], now)
    assert fate(session, made) == ("sent", None)
    assert session.scalar(text("SELECT count(*) FROM outbox")) == 0
