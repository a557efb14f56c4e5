"""A person whose marketing is paused, from the trait to the outbox."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from crm.messages import deliver
from tests.messages.people import fate, message, person, shop, why
from tests.messages.standin import mail_server
from tests.messages.test_deliver import send


@pytest.fixture
def server():
    with mail_server() as made:
        yield made


@pytest.mark.parametrize("value", [True, "true"])
def test_marketing_to_somebody_left_alone_is_dropped_with_its_own_reason(session, now, value):
    made = message(session, now, person(session, now, marketing_paused=value))
    send(session, shop(), now)
    assert fate(session, made) == ("dropped", "marketing_paused")
    assert why(session, made)[-1] == ("cheap", "drop", "marketing_paused")


@pytest.mark.parametrize("value", [False, "false", None, "", 0])
def test_a_pause_that_is_over_stops_nothing(session, now, server, value):
    made = message(session, now, person(session, now, marketing_paused=value))
    send(session, shop(server.url), now)
    assert fate(session, made) == ("sent", None)


def test_receipts_go_on(session, now, server):
    made = message(session, now, person(session, now, marketing_paused=True))
    session.execute(text("UPDATE messages SET purpose = 'transactional'"))
    send(session, shop(server.url), now)
    assert fate(session, made) == ("sent", None)


def test_a_pause_that_comes_while_the_message_is_written_stops_it(session, now):
    who = person(session, now)
    made = message(session, now, who)
    drafts = deliver.claim(session, now, 10)
    written, _refused = deliver.write(session, drafts, shop(), now)
    session.execute(text("""UPDATE profiles SET traits = '{"marketing_paused": true}' WHERE id = :id"""), {"id": who})
    marked, [refused] = deliver.mark(session, written, shop(), now)
    assert (marked, refused.draft.id, refused.stage, refused.reason) == ([], made, "final", "marketing_paused")
