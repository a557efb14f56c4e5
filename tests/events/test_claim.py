"""What waits is found, whichever lanes the dice choose."""

from __future__ import annotations

import datetime as dt

from sqlalchemy.orm import Session

from crm.events import inbox
from crm.events.inbox import NewRow
from crm.events.models import LIVE
from tests import makers


def test_one_waiting_call_is_claimed_at_the_first_try(session: Session, now: dt.datetime) -> None:
    source_id = makers.source(session)
    for number in range(12):
        inbox.append(session, [NewRow(source_id, True, LIVE, makers.track("Page Viewed", {}, at=now, anonymous_id=f"a{number}"))], now)
        rows = inbox.claim(session, 100)
        assert len(rows) == 1, number
        inbox.mark(session, rows, now)


def test_even_a_batch_of_one_claims_what_waits(session: Session, now: dt.datetime) -> None:
    source_id = makers.source(session)
    inbox.append(session, [NewRow(source_id, True, LIVE, makers.track("Page Viewed", {}, at=now, anonymous_id="a"))], now)
    assert len(inbox.claim(session, 1)) == 1
