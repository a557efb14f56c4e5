"""One person on one page."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal
from typing import Any

from sqlalchemy import insert
from sqlalchemy.orm import Session

from crm.analytics.profile_view import profile, revenue
from crm.commerce.models import Cart, Order
from crm.consent import ledger, suppression
from crm.core.crypto import Keys
from crm.core.ids import new_id
from crm.profiles.models import Identity, Link, Profile

KEYS = Keys("a secret of this test")


def person(session: Session, now: dt.datetime, **more: Any) -> uuid.UUID:
    values = {"id": new_id(), "bucket": 0, "known": True, "name": "דנה", "first_seen": now, "last_seen": now, **more}
    session.execute(insert(Profile).values(values))
    return uuid.UUID(str(values["id"]))


def order(session: Session, now: dt.datetime, profile_id: uuid.UUID, number: str, *, amount: str, refunded: str = "0", **more: Any) -> None:
    values = {
        "source_id": 10,
        "order_id": number,
        "profile_id": profile_id,
        "currency": "ILS",
        "revenue": Decimal(amount),
        "refunded": Decimal(refunded),
        "items": [],
        "ordered_at": now,
        "version_at": now,
        "version_accepted": 1,
        **more,
    }
    session.execute(insert(Order).values(values))


def test_a_person_is_shown_with_everything_known(session: Session, now: dt.datetime) -> None:
    since = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
    dana = person(session, now, traits={"city": "חיפה"}, traits_at={"city": [int(since.timestamp() * 1000), 7]})
    session.execute(
        insert(Identity),
        [{"kind": kind, "value": value, "profile_id": dana, "first_seen": now} for kind, value in [("anonymous_id", "a1"), ("email", "dana@example.com")]],
    )
    session.execute(
        insert(Cart),
        [
            {
                "profile_id": dana,
                "source_id": 10,
                "key": key,
                "status": status,
                "items": [{"name": "כוס"}],
                "value": 5,
                "currency": "ILS",
                "opened_at": at,
                "changed_at": at,
            }
            for key, status, at in [("left", "open", now - dt.timedelta(hours=3)), ("fresh", "open", now), ("bought", "ordered", now - dt.timedelta(days=1))]
        ],
    )
    said = ledger.Change("email", "dana@example.com", "email", "offers", "marketing", "granted", "form", explicit=True, wording="w1", proof={"ip": "127.0.0.1"})
    assert ledger.record(session, [said], KEYS, now) == 1
    suppression.suppress(session, address_hash=KEYS.address_hash("email", "dana@example.com"), channel="email", reason="bounce", detail="550", now=now)
    view = profile(session, dana, keys=KEYS, now=now)
    assert view is not None
    assert [(one.kind, one.value) for one in view.identities] == [("email", "dana@example.com"), ("anonymous_id", "a1")]
    assert [(one.name, one.value, one.since) for one in view.traits] == [("city", "חיפה", since)]
    assert {(one.key, one.abandoned) for one in view.carts} == {("left", True), ("fresh", False), ("bought", False)}
    assert [(one.address, one.topic, one.action, one.source, one.wording) for one in view.consents] == [("dana@example.com", "offers", "granted", "form", "w1")]
    assert [(one.address, one.reason) for one in view.stops] == [("dana@example.com", "bounce")]


def test_revenue_is_net_of_refunds_and_cancellations_in_each_currency(session: Session, now: dt.datetime) -> None:
    dana = person(session, now)
    order(session, now, dana, "1", amount="100.10", refunded="20")
    order(session, now, dana, "2", amount="50", refunded="50", cancelled_at=now)
    order(session, now, dana, "3", amount="7", currency="USD")
    order(session, now, dana, "4", amount="0", refunded="5", ordered_at=None)
    assert [(one.currency, one.orders, one.gross, one.refunded, one.net) for one in revenue(session, dana)] == [
        ("ILS", 1, Decimal("150.10"), Decimal(75), Decimal("75.10")),
        ("USD", 1, Decimal(7), Decimal(0), Decimal(7)),
    ]


def test_a_joined_profile_opens_as_whom_it_became_with_every_link(session: Session, now: dt.datetime) -> None:
    dana = person(session, now)
    phone = person(session, now, merged_into=dana)
    laptop = person(session, now, merged_into=phone)
    for n, (old, new) in enumerate([(laptop, phone), (phone, dana)]):
        session.execute(insert(Link).values(from_id=old, into_id=new, reason="identified", accepted=n, detail={"kind": "email", "value": "d@example.com"}))
    view = profile(session, laptop, keys=KEYS, now=now)
    assert view is not None
    assert (view.id, view.asked) == (dana, laptop)
    assert [link.from_id for link in view.links] == [phone, laptop]


def test_nobody_is_none(session: Session, now: dt.datetime) -> None:
    assert profile(session, new_id(), keys=KEYS, now=now) is None
