"""A small shop with one of everything, so that every page has something to show."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass
from decimal import Decimal
from email.message import EmailMessage

from sqlalchemy import insert
from sqlalchemy.orm import Session

from crm.commerce.models import Cart, Order
from crm.core.ids import new_id
from crm.core.json import dumps
from crm.events import keys, store
from crm.events.models import InboxRow, QuarantinedCall, Source
from crm.events.spec import Happened
from crm.messages.models import Decision, Message
from crm.messages.templates import install, shipped_templates
from crm.profiles.models import Identity, Link, Profile
from crm.profiles.search import refresh_search
from workers.models import Mail

ITEMS = [{"product_id": "p7", "sku": "KM-FNJ-0412", "name": "סט פינג׳אן נחושת", "price": "189.00", "quantity": 1, "image_url": "", "url": ""}]


@dataclass(frozen=True, slots=True)
class Shop:
    """The ids of what was made."""

    dana: uuid.UUID
    source: int
    messages: dict[str, uuid.UUID]
    mail: int
    template: str


def open_shop(session: Session, now: dt.datetime) -> Shop:
    """Fill an empty installation."""
    source = Source(name="קפה ומתנות", settings={"consent_map": {"marketing": {"channel": "email", "topic": "offers"}}})
    session.add(source)
    session.flush()
    keys.create(session, source_name=source.name, kind="server")
    install(session, shipped_templates(), now)
    dana = _dana(session, source.id, now)
    shop = Shop(
        dana,
        source.id,
        {status: _message(session, dana, status, now) for status in ("queued", "held", "sent", "dropped", "failed", "unknown")},
        _mail(session, now),
        "abandoned_cart",
    )
    session.execute(
        insert(QuarantinedCall).values(
            received_at=now, source_id=source.id, trusted=True, origin="live", reason="no_identity", detail="userId or anonymousId is missing",
            body=dumps({"type": "track", "event": "Product Added", "properties": {"name": "<script>alert(1)</script>"}}),
        )
    )  # fmt: skip
    session.commit()
    return shop


def _dana(session: Session, source_id: int, now: dt.datetime) -> uuid.UUID:
    dana, browser = new_id(), new_id()
    traits = {"city": "תל אביב", "language": "he", "email": "dana.av@example.co.il", "club": True, "visits": 12, "address": {"street": "הרצל 1"}}
    seen = {name: [int(now.timestamp() * 1000), 1] for name in traits}
    session.execute(
        insert(Profile).values(
            id=dana, bucket=7, known=True, name="דנה אברהמי", traits=traits, traits_at=seen, first_seen=now - dt.timedelta(days=400), last_seen=now
        )
    )
    session.execute(insert(Profile).values(id=browser, bucket=9, known=False, first_seen=now, last_seen=now, merged_into=dana))
    pairs = [("email", "dana.av@example.co.il"), ("phone", "+972505550142"), ("user_id", "10482"), ("anonymous_id", "a-1"), ("external:woocommerce", "7731")]
    session.execute(
        insert(Identity), [{"kind": kind, "value": value, "profile_id": dana, "verified": kind != "anonymous_id", "first_seen": now} for kind, value in pairs]
    )
    session.execute(insert(Link).values(from_id=browser, into_id=dana, reason="identified", accepted=1, detail={"kind": "anonymous_id", "value": "a-1"}))
    session.execute(
        insert(Cart).values(
            profile_id=dana, source_id=source_id, key="c1", status="open", items=ITEMS, value=Decimal("189"), currency="ILS", opened_at=now, changed_at=now
        )
    )
    session.execute(
        insert(Order).values(
            source_id=source_id, order_id="KM-20931", profile_id=dana, currency="ILS", revenue=Decimal("342"), refunded=Decimal("89"), items=ITEMS,
            ordered_at=now - dt.timedelta(days=10), version_at=now, version_accepted=1,
        )
    )  # fmt: skip
    names = ["Product Added", "Page Viewed", "Order Completed", "identify", "A name of the shop's own"]
    properties = {"name": "סט פינג׳אן נחושת", "price": "189.00", "currency": "ILS", "order_id": "KM-20931", "total": 342, "path": "/coffee"}
    store.append(session, [_happened(dana, source_id, name, n, now=now, properties=properties) for n, name in enumerate(names * 12, 1)])
    body = dumps({"type": "track", "event": "Product Added", "userId": "10482", "messageId": "m1", "properties": properties})
    session.execute(insert(InboxRow).values(received_at=now, source_id=source_id, trusted=True, origin="live", lane=1, body=body, processed_at=now))
    refresh_search(session, [dana])
    return dana


def _happened(profile_id: uuid.UUID, source_id: int, name: str, number: int, *, now: dt.datetime, properties: dict[str, object]) -> Happened:
    kind = "identify" if name == "identify" else "track"
    return Happened(
        profile_id, now - dt.timedelta(hours=number), number, source_id, kind, name, "live", True, (), properties, {}, {}, now, message_id=f"m{number}"
    )


def _message(session: Session, profile_id: uuid.UUID, status: str, now: dt.datetime) -> uuid.UUID:
    number = new_id()
    reason = {"held": "try_later", "dropped": "no_longer_relevant", "failed": "rejected", "unknown": "uncertain"}.get(status)
    session.execute(
        insert(Message).values(
            id=number, profile_id=profile_id, journey="abandoned_cart", node="mail", channel="email", template="abandoned_cart", version=1,
            language="he", topic="offers", purpose="marketing", address="dana.av@example.co.il",
            subject="פרסומת: העגלה שלך מחכה, דנה", status=status, reason=reason, created_at=now,
            sent_at=now if status == "sent" else None, opened_at=now if status == "sent" else None, attempts=1,
        )
    )  # fmt: skip
    answer = {"held": "hold", "dropped": "drop", "queued": "queue"}.get(status, status)
    rows = [("cheap", "send", "allowed"), ("final", answer, reason or "allowed")]
    session.execute(
        insert(Decision),
        [
            {"profile_id": profile_id, "message_id": number, "stage": stage, "answer": what, "reason": why, "detail": {"question": "agreed"}}
            for stage, what, why in rows
        ],
    )
    return number


def _mail(session: Session, now: dt.datetime) -> int:
    mail = EmailMessage()
    mail["Subject"], mail["From"], mail["To"] = "פרסומת: העגלה שלך מחכה, דנה", "shop@kesher.localhost", "dana.av@example.co.il"
    mail["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    mail.set_content("שלום דנה")
    mail.add_alternative("<html><head></head><body><p>שלום דנה</p><script>alert(1)</script></body></html>", subtype="html")
    row = Mail(received_at=now, sender="shop@kesher.localhost", recipient="dana.av@example.co.il", subject=str(mail["Subject"]), raw=mail.as_bytes())
    session.add(row)
    session.flush()
    return row.id
