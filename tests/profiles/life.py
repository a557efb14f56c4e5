"""Dana's life in a shop, and her leaving it."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

from sqlalchemy.orm import Session, sessionmaker

from crm.consent import ledger
from crm.consent.ledger import GRANTED, Change
from crm.core.config import Config
from crm.core.crypto import Keys
from crm.events import inbox
from crm.events.inbox import NewRow
from crm.events.models import LIVE, QuarantinedCall
from crm.events.spec import Call
from crm.profiles import erasure
from crm.profiles.find import find
from crm.profiles.privacy_models import Erasure
from crm.web.models import AuditEntry
from tests import makers
from tests.makers import identify, product, track
from workers import leaving, pipeline
from workers.models import Mail

DANA = "dana@example.com"
KEYS = Keys("test-secret")


def accept(make: sessionmaker[Session], config: Config, calls: list[Call], now: dt.datetime, *, origin: str = LIVE, source: str = "shop") -> int:
    """Calls through the inbox and the pipeline, as they come; the id of their source."""
    with make() as session:
        source_id = makers.source(session, source)
        inbox.append(session, [NewRow(source_id, True, origin, call) for call in calls], now)
        session.commit()
    while pipeline.drain(make, config, lambda: now):
        pass
    return source_id


def order(number: str, at: dt.datetime, **who: Any) -> Call:
    return track("Order Completed", {"order_id": number, "total": "50", "products": [product("cup")]}, at=at, message_id=f"order-{number}", **who)


def a_life(make: sessionmaker[Session], config: Config, now: dt.datetime) -> uuid.UUID:
    """Dana with a bit of everything, and Omri, who has nothing to do with her."""
    before = now - dt.timedelta(days=2)
    calls = [
        track("Product Viewed", product("cup"), at=before, anonymous_id="browser-dana"),
        identify({"email": DANA, "phone": "050-555 0142", "name": "Dana Levi"}, at=before, user_id="10482", anonymous_id="browser-dana"),
        track("Product Added", product("cup"), at=now - dt.timedelta(hours=3), user_id="10482"),
        order("77", before, user_id="10482"),
        identify({"email": "omri@example.com", "name": "Omri"}, at=before, user_id="2"),
        order("78", before, user_id="2"),
    ]
    source_id = accept(make, config, calls, now)
    doubled = track("Page Viewed", {}, at=before, user_id="10482", message_id="twice")
    accept(make, config, [doubled, replace_id(doubled)], now)
    with make() as session:
        session.add(Mail(received_at=now, sender="shop@example.com", recipient=DANA, subject="Dana, your cart", raw=b"Dear Dana"))
        session.add(QuarantinedCall(received_at=now, source_id=source_id, trusted=True, origin=LIVE, sent_at=None, reason="bad_json", detail="?",
                                    body='{"type": "identify", "traits": {"phone": "050 5550142"'))  # fmt: skip
        session.add(QuarantinedCall(received_at=now, source_id=source_id, trusted=True, origin=LIVE, sent_at=None, reason="no_identity", detail="?",
                                    body=f'{{"type": "track", "event": "Mail Wished", "properties": {{"to": "{DANA}"}}}}'))  # fmt: skip
        session.add(AuditEntry(action="identity.blocked", subject=DANA, detail={"kind": "email"}))
        ledger.record(session, [Change("email", DANA, "email", "offers", "marketing", GRANTED, "form", True, "w1", {"ip": "203.0.113.9"})], KEYS, now)
        dana = find(session, "email", DANA)
        assert dana is not None
        session.commit()
    folder = config.home / "imports"
    folder.mkdir()
    (folder / "orders.rejected.csv").write_text(
        f'line,reason,detail,row\n1,bad,x,"a,{DANA.upper()}\nb"\n2,bad,x,"omri@example.com"\n3,bad,x,+972-50-555-0142\n'
    )
    return dana


def replace_id(call: Call) -> Call:
    """The same call once more, as a retry sends it."""
    return Call(type=call.type, event=call.event, user_id=call.user_id, message_id=call.message_id, timestamp=call.timestamp, properties={"retry": True})


def leave(make: sessionmaker[Session], config: Config, who: uuid.UUID, now: dt.datetime) -> Erasure:
    with make() as session:
        job = erasure.request(session, who, by="test", now=now)
        session.commit()
    assert job is not None
    while leaving.work(make, config, lambda: now):
        pass
    with make() as session:
        done = session.get(Erasure, job.id)
        assert done is not None
        return done
