"""Home's numbers are right while they are small, and near enough and quick when they are not."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest
from sqlalchemy import insert, text
from sqlalchemy.orm import Session

from crm.analytics import pulse as under_test
from crm.analytics.pulse import events_per_minute, pulse
from crm.commerce.models import Cart
from crm.core import partitions
from crm.core.ids import new_id
from crm.events.models import QuarantinedCall
from crm.messages.models import Message
from crm.profiles.models import Profile

CALLS = """
INSERT INTO event_inbox (received_at, source_id, trusted, origin, lane, body)
SELECT :now - interval '1 hour' * n / :count, 1, true, 'live', 0, '{}' FROM generate_series(:count - 1, 0, -1) n
"""


def accepted_within_the_hour(session: Session, now: dt.datetime, count: int) -> None:
    partitions.ensure(session, "event_inbox", [partitions.day_bounds(now - dt.timedelta(days=days)) for days in range(3)])
    session.execute(text(CALLS), {"now": now, "count": count})


def rows_read(session: Session) -> int:
    """Of the inbox, in this transaction."""
    counted = "SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) FROM pg_stat_xact_user_tables WHERE relname LIKE 'event_inbox%'"
    return int(session.scalar(text(counted)) or 0)


def people(session: Session, now: dt.datetime, *, known: int, anonymous: int, joined: int) -> None:
    rows = [
        {"id": new_id(), "bucket": 0, "known": n < known, "merged_into": new_id() if n >= known + anonymous else None, "first_seen": now, "last_seen": now}
        for n in range(known + anonymous + joined)
    ]
    session.execute(insert(Profile), rows)


def test_events_are_counted_by_the_minute(session: Session, now: dt.datetime) -> None:
    accepted_within_the_hour(session, now, 600)
    minutes, how = events_per_minute(session, now=now)
    assert how == "exact"
    assert len(minutes) == 60
    assert all(9 <= calls <= 11 for calls in minutes[:-1])


def test_many_events_are_read_off_their_numbers(session: Session, now: dt.datetime) -> None:
    accepted_within_the_hour(session, now, 300_000)
    before = rows_read(session)
    minutes, how = events_per_minute(session, now=now)
    assert how == "about"
    assert all(calls == pytest.approx(5000, rel=0.02) for calls in minutes[:-1])
    assert rows_read(session) - before < 100_000


def test_an_empty_house_is_all_zeros(session: Session, now: dt.datetime) -> None:
    shown = pulse(session, now=now, day_start=now)
    assert (shown.known.value, shown.anonymous.value, shown.waiting.value, shown.quarantined.value, shown.carts, shown.messages_total) == (0, 0, 0, 0, [], 0)
    assert shown.events_per_minute == [0] * 60


def test_people_carts_messages_and_what_waits_are_counted(session: Session, now: dt.datetime) -> None:
    people(session, now, known=3, anonymous=2, joined=4)
    accepted_within_the_hour(session, now, 5)
    cart = {"source_id": 10, "items": [], "opened_at": now, "status": "open"}
    session.execute(
        insert(Cart),
        [
            {**cart, "profile_id": new_id(), "key": "a", "value": Decimal("10.50"), "currency": "ILS", "changed_at": now},
            {**cart, "profile_id": new_id(), "key": "b", "value": Decimal(20), "currency": "ILS", "changed_at": now - dt.timedelta(hours=2)},
            {**cart, "profile_id": new_id(), "key": "c", "value": Decimal(5), "currency": "USD", "changed_at": now},
            {**cart, "profile_id": new_id(), "key": "d", "value": Decimal(900), "currency": "ILS", "changed_at": now, "status": "ordered"},
        ],
    )
    message = {"profile_id": new_id(), "channel": "email", "template": "t", "topic": "offers", "purpose": "marketing", "data": {}}
    for status, age in [("sent", 0), ("sent", 1), ("held", 0), ("dropped", 0), ("sent", 30)]:
        session.execute(insert(Message).values(**message, id=new_id(), status=status, created_at=now - dt.timedelta(hours=age)))
    session.execute(
        insert(QuarantinedCall),
        [
            {"received_at": now, "source_id": 10, "trusted": False, "origin": "live", "reason": "no_name", "detail": "", "body": "{}", "replayed_at": at}
            for at in (None, now)
        ],
    )
    shown = pulse(session, now=now, day_start=now - dt.timedelta(hours=12))
    assert (shown.known.value, shown.anonymous.value, shown.waiting.value, shown.quarantined.value) == (3, 2, 5, 1)
    assert [(one.currency, one.carts, one.value, one.abandoned, one.abandoned_value) for one in shown.carts] == [
        ("ILS", 2, Decimal("30.50"), 1, Decimal(20)),
        ("USD", 1, Decimal(5), 0, Decimal(0)),
    ]
    assert shown.messages_today == {"sent": 2, "held": 1, "dropped": 1}
    assert shown.messages_total == 4


def test_a_count_that_stops_says_so(session: Session, now: dt.datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_test, "BOUND", 3)
    people(session, now, known=5, anonymous=1, joined=0)
    shown = pulse(session, now=now, day_start=now)
    assert (shown.known.value, shown.known.how) == (3, "at_least")
    assert (shown.anonymous.value, shown.anonymous.how) == (1, "exact")
