"""Details go with age; what is counted stays."""

from __future__ import annotations

import datetime as dt

import pytest
from sqlalchemy import text

from crm.core.errors import InvalidError
from crm.messages import retention
from crm.profiles import rebuild
from journeys.engine import wake_due
from tests.journeys.test_engine import CONFIG, added, go, minutes, ordered, shop
from workers import housekeeping

__all__ = ["shop"]


def days(n):
    return dt.timedelta(days=n)


@pytest.fixture
def lived(session, now):
    """A run that sent a message and is over, another whose order ended it, a call in quarantine."""
    go(session, now, added(now), added(now, "noa"))
    wake_due(session, now + minutes(61), 100, CONFIG)
    go(session, now + minutes(62), ordered(now + minutes(62), "noa"))
    session.execute(text("UPDATE messages SET status = 'sent', subject = 'Your vase', address = 'anna@example.com', created_at = :at"), {"at": now})
    session.execute(
        text("INSERT INTO quarantine (received_at, source_id, trusted, origin, reason, detail, body) VALUES (:at, 10, true, 'live', 'bad_json', '', '{}')"),
        {"at": now},
    )


def one(session, query):
    return session.scalar(text(query))


def test_nothing_goes_unless_somebody_said_so(session, now, lived):
    assert housekeeping.empty_old_details(session, now + days(4000)) == 0
    assert one(session, "SELECT count(*) FROM audit_log") == 0


def test_contents_and_details_go_with_age_and_sums_stay(session, now, lived):
    before = (one(session, "SELECT count(*) FROM events"), one(session, "SELECT count(*) FROM run_steps"))
    retention.keep(session, {"messages": 30, "runs": 60, "quarantine": 90})
    assert housekeeping.empty_old_details(session, now + days(29)) == 0
    housekeeping.empty_old_details(session, now + days(31))
    kept = session.execute(text("SELECT subject, data, address, status, sent_at IS NULL AS asked FROM messages ORDER BY subject NULLS LAST LIMIT 1")).one()
    assert tuple(kept)[:4] == (None, {}, "anna@example.com", "sent")
    assert one(session, "SELECT count(*) FROM run_steps WHERE detail <> '{}'") > 0
    housekeeping.empty_old_details(session, now + days(61))
    assert one(session, "SELECT count(*) FROM run_steps WHERE detail <> '{}'") == 0
    assert one(session, "SELECT count(*) FROM runs WHERE start->'properties' <> '{}'") == 0
    assert (one(session, "SELECT count(*) FROM events"), one(session, "SELECT count(*) FROM run_steps")) == before
    assert rebuild.differences(session) == []
    housekeeping.empty_old_details(session, now + days(91))
    assert one(session, "SELECT count(*) FROM quarantine") == 0
    said = session.execute(text("SELECT DISTINCT action, subject FROM audit_log")).all()
    assert {tuple(each) for each in said} == {("retention.swept", kind) for kind in ("messages", "runs", "quarantine")}


def test_what_still_waits_keeps_its_contents(session, now, lived):
    session.execute(text("UPDATE messages SET status = 'held'"))
    retention.keep(session, {"messages": 30})
    assert housekeeping.empty_old_details(session, now + days(31)) == 0
    assert one(session, "SELECT count(*) FROM messages WHERE subject IS NULL") == 0


def test_what_waited_long_goes_once_it_is_over_and_keeps_nothing_else(session, now, lived):
    session.execute(text("UPDATE messages SET status = 'held'"))
    copied = "SELECT gen_random_uuid(), profile_id, channel, template, topic, purpose, 'sent', subject, created_at + interval '1 hour' FROM messages"
    session.execute(text(f"INSERT INTO messages (id, profile_id, channel, template, topic, purpose, status, subject, created_at) {copied}"))
    retention.keep(session, {"messages": 30})
    assert housekeeping.empty_old_details(session, now + days(31)) == 2
    session.execute(text("UPDATE messages SET status = 'dropped' WHERE status = 'held'"))
    assert housekeeping.empty_old_details(session, now + days(33)) == 2
    assert one(session, "SELECT count(*) FROM messages WHERE subject IS NOT NULL OR data <> '{}'") == 0


def test_a_failed_run_that_may_yet_go_on_keeps_what_it_needs(session, now, lived):
    session.execute(text("UPDATE runs SET status = 'failed', ended_at = :at, data = '{\"a\": 1}'"), {"at": now})
    retention.keep(session, {"runs": 30})
    assert housekeeping.empty_old_details(session, now + days(31)) == 0
    assert one(session, "SELECT count(*) FROM runs WHERE data IS NOT NULL AND start->'properties' <> '{}'") == 2


def test_a_long_backlog_goes_in_steps_then_rests(session, now, lived, monkeypatch):
    monkeypatch.setattr(retention, "AT_ONCE", 1)
    session.execute(text("INSERT INTO quarantine (received_at, source_id, trusted, origin, reason, detail, body) "
                         "SELECT :at + n * interval '1 minute', 10, true, 'live', 'x', '', '{}' FROM generate_series(1, 3) n"), {"at": now})  # fmt: skip
    retention.keep(session, {"quarantine": 7})
    steps = [housekeeping.empty_old_details(session, now + days(8)) for _ in range(6)]
    assert steps == [1, 1, 1, 1, 0, 0]


def test_the_inbox_keeps_as_many_days_as_the_shop_says(session, now):
    retention.keep(session, {"inbox": 3})
    assert retention.ages(session)["inbox"] == 3
    session.execute(text("DELETE FROM retention"))
    assert retention.ages(session)["inbox"] == 14


@pytest.mark.parametrize("wanted", [{"inbox": None}, {"inbox": 1}, {"messages": 5}, {"runs": -1}])
def test_an_age_out_of_bounds_is_refused(session, wanted):
    with pytest.raises(InvalidError, match="bounds"):
        retention.keep(session, wanted)
