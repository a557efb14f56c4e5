"""Consent: what counts, what does not, and that tampering shows."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from crm.consent import ledger, suppression
from crm.consent.ledger import GRANTED, REFUSED, Change
from crm.core.crypto import Keys
from tests import makers
from tests.makers import accepted, track
from workers import pipeline

KEYS = Keys("test-secret")
HASH = KEYS.address_hash("email", "dana@example.com")


def change(action, *, explicit=True):
    return Change("email", "dana@example.com", "email", "offers", "marketing", action, "api", explicit, "v1", {"ip": "192.0.2.7"})


def state(session):
    return ledger.current(session, {(HASH, "email", "offers")}).get((HASH, "email", "offers"))


def test_only_a_change_writes_a_row(session, now):
    assert ledger.record(session, [change(GRANTED), change(GRANTED)], KEYS, now) == 1
    assert ledger.record(session, [change(GRANTED)], KEYS, now) == 0


def test_a_refusal_is_lifted_only_by_an_explicit_act(session, now):
    ledger.record(session, [change(GRANTED), change(REFUSED)], KEYS, now)
    ledger.record(session, [change(GRANTED, explicit=False)] * 10, KEYS, now)
    assert state(session) == REFUSED
    ledger.record(session, [change(GRANTED)], KEYS, now)
    assert state(session) == GRANTED


def test_ten_page_views_that_say_yes_do_not_undo_an_unsubscribe(session, now):
    shop = makers.source(session, consent_map={"Marketing": {"channel": "email", "topic": "offers"}})

    def view(answer, n):
        call = track("Page Viewed", at=now, email="dana@example.com", user_id="1")
        call.context["consent"] = {"categoryPreferences": {"Marketing": answer, "Analytics": True}}
        return accepted(call, now, source_id=shop)

    pipeline.run(session, [view(True, 0)], now, makers.config())
    assert state(session) == GRANTED
    ledger.record(session, [change(REFUSED)], KEYS, now)
    pipeline.run(session, [view(True, n) for n in range(10)], now, makers.config())
    assert state(session) == REFUSED
    assert session.scalar(text("SELECT count(*) FROM consent_ledger")) == 2


def test_tracking_consent_is_no_message_consent_without_a_map_or_from_a_browser(session, now):
    mapped = makers.source(session, consent_map={"Marketing": {"channel": "email", "topic": "offers"}})
    for source_id, trusted in ((mapped, False), (makers.source(session, "other"), True)):
        call = track("Page Viewed", at=now, email="dana@example.com", user_id="1")
        call.context["consent"] = {"categoryPreferences": {"Marketing": True}}
        pipeline.run(session, [accepted(call, now, source_id=source_id, trusted=trusted)], now, makers.config())
    assert state(session) is None


def test_the_ledger_cannot_be_rewritten_by_the_application(session, now):
    ledger.record(session, [change(GRANTED)], KEYS, now)
    with pytest.raises(DBAPIError, match="only grows"), session.begin_nested():
        session.execute(text("UPDATE consent_ledger SET action = 'refused'"))


def test_a_tampering_owner_is_found(session, now):
    ledger.record(session, [change(GRANTED), change(REFUSED), change(GRANTED)], KEYS, now)
    assert ledger.seal(session) == 3
    assert ledger.seal(session) == 0
    assert ledger.broken_seal(session) is None
    entry = session.scalar(text("SELECT min(id) + 1 FROM consent_ledger"))
    session.execute(text("ALTER TABLE consent_ledger DISABLE TRIGGER insert_only"))
    session.execute(text("UPDATE consent_ledger SET action = 'granted' WHERE id = :id"), {"id": entry})
    assert ledger.broken_seal(session) == entry


def test_an_address_is_suppressed_once_per_reason(session, now):
    assert suppression.suppress(session, address_hash=HASH, channel="email", reason="bounce", detail="5.1.1", now=now)
    assert not suppression.suppress(session, address_hash=HASH, channel="email", reason="bounce", detail="again", now=now)
    assert suppression.reasons(session, [HASH], channel="email") == {HASH: {"bounce"}}
