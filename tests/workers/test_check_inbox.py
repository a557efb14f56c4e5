"""`kesher doctor` tells events that are passed over from a backlog."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import text

from tests import makers
from workers.check import Patient, inbox


def came(session, at, *, done):
    session.execute(
        text("INSERT INTO event_inbox (received_at, source_id, trusted, origin, lane, body, processed_at) VALUES (:at, 10, true, 'live', 0, '{}', :done)"),
        {"at": at, "done": at if done else None},
    )


def test_events_others_overtake_are_told_apart_from_a_backlog(session, now):
    patient = Patient(makers.config(), session, now)
    assert inbox(patient).state == "ok"
    came(session, now - dt.timedelta(minutes=9), done=True)
    came(session, now - dt.timedelta(minutes=5), done=False)
    assert "wait to be processed" in inbox(patient).said
    came(session, now - dt.timedelta(minutes=1), done=True)
    found = inbox(patient)
    assert found.state == "warn"
    assert "passed over" in found.said
    assert "for 300 s" in found.said
