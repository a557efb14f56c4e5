"""The message log: pages, filters, sums, reasons."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

import pytest
from sqlalchemy import insert
from sqlalchemy.orm import Session

from crm.core.ids import new_id
from crm.messages.log import Filters, by_status, decisions, message, messages
from crm.messages.models import Decision, Message
from crm.profiles.models import Profile


def said(session: Session, at: dt.datetime, **more: Any) -> uuid.UUID:
    values = {
        "id": new_id(),
        "profile_id": new_id(),
        "channel": "email",
        "template": "abandoned_cart",
        "topic": "offers",
        "purpose": "marketing",
        "status": "sent",
        "created_at": at,
        **more,
    }
    session.execute(insert(Message).values(values))
    return uuid.UUID(str(values["id"]))


def test_pages_show_each_message_once_newest_first(session: Session, now: dt.datetime) -> None:
    made = {said(session, now - dt.timedelta(minutes=n // 3)) for n in range(11)}
    shown, after = [], None
    while True:
        page = messages(session, Filters(), after=after, limit=4)
        shown += page.rows
        after = page.next
        if after is None:
            break
    assert {row.id for row in shown} == made
    assert [(row.created_at, row.id) for row in shown] == sorted(((row.created_at, row.id) for row in shown), reverse=True)


def test_each_filter_narrows(session: Session, now: dt.datetime) -> None:
    dana, run = new_id(), new_id()
    session.execute(insert(Profile).values(id=dana, bucket=0, name="דנה", first_seen=now, last_seen=now))
    wanted = said(
        session, now, profile_id=dana, run_id=run, node="mail", journey="welcome", status="dropped", reason="no_consent", channel="sms", template="hello"
    )
    said(session, now - dt.timedelta(days=2))
    for filters in [
        Filters(status="dropped"),
        Filters(channel="sms"),
        Filters(journey="welcome"),
        Filters(template="hello"),
        Filters(reason="no_consent"),
        Filters(profile_id=dana),
        Filters(run_id=run),
        Filters(since=now - dt.timedelta(days=1)),
        Filters(status="dropped", channel="sms", until=now + dt.timedelta(seconds=1)),
    ]:
        assert [row.id for row in messages(session, filters).rows] == [wanted], filters
    assert messages(session, Filters(until=now - dt.timedelta(days=3))).rows == []
    one = message(session, wanted)
    assert one is not None
    assert (one.profile, one.reason) == ("דנה", "no_consent")
    assert message(session, new_id()) is None


def test_the_statuses_add_up(session: Session, now: dt.datetime) -> None:
    for status in ("sent", "sent", "held", "unknown"):
        said(session, now, status=status)
    said(session, now - dt.timedelta(days=1), status="sent")
    assert by_status(session, since=now - dt.timedelta(hours=1)) == {"sent": 2, "held": 1, "unknown": 1}


def test_a_message_tells_every_decision_in_order(session: Session, now: dt.datetime) -> None:
    one = said(session, now)
    for stage, answer, reason in [("cheap", "send", "allowed"), ("final", "drop", "consent_refused")]:
        session.execute(insert(Decision).values(profile_id=new_id(), message_id=one, stage=stage, answer=answer, reason=reason, detail={"topic": "offers"}))
    assert [(row.stage, row.answer, row.reason, row.detail) for row in decisions(session, one)] == [
        ("cheap", "send", "allowed", {"topic": "offers"}),
        ("final", "drop", "consent_refused", {"topic": "offers"}),
    ]


@pytest.mark.parametrize("after", ["", "x", "1.y", "99999999999999999.z", f"1.{uuid.UUID(int=0)}"])
def test_a_cursor_that_is_none_of_ours_is_harmless(session: Session, after: str) -> None:
    messages(session, Filters(), after=after)
