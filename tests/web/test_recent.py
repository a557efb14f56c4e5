"""What just came in, and whom it is about."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import insert
from sqlalchemy.orm import Session

from crm.analytics.recent import recent_calls
from crm.core.json import dumps
from crm.events.models import SYSTEM_SOURCE, InboxRow
from tests.web.shop import open_shop


def arrive(session: Session, now: dt.datetime, source_id: int, body: str) -> None:
    session.execute(insert(InboxRow).values(received_at=now, source_id=source_id, trusted=True, origin="live", lane=1, body=body))


def test_a_call_names_the_person_it_is_about_by_any_identity(session: Session, now: dt.datetime) -> None:
    shop = open_shop(session, now)
    arrive(session, now, shop.source, dumps({"type": "page", "anonymousId": "a-1", "properties": {"path": "/"}}))
    arrive(session, now, shop.source, dumps({"type": "track", "event": "Product Viewed", "anonymousId": "nobody yet"}))
    arrive(session, now, SYSTEM_SOURCE, dumps({"type": "track", "event": "Email Opened", "profileId": str(shop.dana)}))
    found = [(call.name, call.profile_id, call.source) for call in recent_calls(session, now=now)]
    assert found == [
        ("Email Opened", shop.dana, "kesher"),
        ("Product Viewed", None, "קפה ומתנות"),
        ("Page Viewed", shop.dana, "קפה ומתנות"),
        ("Product Added", shop.dana, "קפה ומתנות"),
    ]


def test_one_source_is_shown_alone_and_what_cannot_be_read_is_left_out(session: Session, now: dt.datetime) -> None:
    shop = open_shop(session, now)
    arrive(session, now, SYSTEM_SOURCE, dumps({"type": "track", "event": "Email Opened", "profileId": str(shop.dana)}))
    arrive(session, now, shop.source, "{not json")
    assert [call.name for call in recent_calls(session, now=now, source_id=shop.source)] == ["Product Added"]
    assert recent_calls(session, now=now + dt.timedelta(days=2), source_id=shop.source) == []


def test_a_call_about_goods_is_about_a_product(session: Session, now: dt.datetime) -> None:
    from crm.events.inbox import NewRow, append
    from crm.events.spec import Call

    call = Call(type="track", event="Product Stock Changed", message_id="s1", properties={"sku": "KM-1", "stock": 0})
    append(session, [NewRow(1, trusted=True, origin="live", body=call)], now)
    [found] = recent_calls(session, now=now)
    assert (found.profile_id, found.variant) == (None, "KM-1")
