"""A company that uses everything, made through the product's doors, so that no page is empty."""

from __future__ import annotations

import datetime as dt
import io
import re
import uuid
from collections.abc import Mapping
from typing import Any

from flask import Flask
from sqlalchemy import text
from sqlalchemy.orm import Session
from werkzeug.test import Client

from crm.core import clock
from crm.core.config import Config
from crm.core.crypto import Keys
from crm.core.db import engine_for, sessions
from crm.core.json import dumps
from crm.events import keys
from crm.events.intake import Intake
from crm.messages import deliver, templates
from crm.messages.links import Links
from crm.messages.outbox import Request, queue
from crm.messages.record import Verdict, settle
from crm.segments import fill
from journeys import files, install, publish
from journeys.engine import wake_due
from tests.makers import accepted, product, track
from tests.web.sales_shop import Seller, open_sales
from workers import pipeline

ASKING: dict[str, Any] = {
    "name": {"en": "After a delivery", "he": "אחרי משלוח"},
    "trigger": {"kind": "event", "settings": {"event": "Order Delivered"}},
    "entry": "ask",
    "nodes": {
        "ask": {"kind": "nps", "settings": {"survey": "delivery", "template": "nps_survey", "within": "7d"}, "exits": dict.fromkeys(
            ("promoter", "passive", "detractor", "no_answer"), "end")},
        "end": {"kind": "stop", "settings": {"reason": "finished"}},
    },
}  # fmt: skip
BUYERS = {"all": [{"kind": "did", "event": "Order Completed", "within": "90d"}, {"not": {"kind": "did", "event": "Call Logged"}}]}
HELD = [
    {"type": "track", "event": "Product Added"},
    {"type": "track", "userId": "7"},
    {"type": "say", "userId": "7"},
    {"type": "track", "userId": "7", "event": 3},
]
PEOPLE = "name,email,city,joined\nדנה לוי,dana.l@example.com,חיפה,2026-01-05\nOmri,omri@example.com,Lod,2026-02-30\n"


def open_whole(app: Flask, session: Session, config: Config, *, user_id: int, email: str, password: str) -> Mapping[str, Any]:
    """Ids and tokens by the names that addresses of pages have for them."""
    now = clock.now()
    templates.install(session, templates.shipped_templates(), now)
    install.install(session, now)
    for _n in range(2):
        publish.publish(session, "asking", ASKING, now=now, by=email)
    publish.publish(session, "abandoned_cart_3", files.recipes()["abandoned_cart_3"], now=now)
    session.commit()
    made: dict[str, Any] = dict(open_sales(app, session, config, user_id=user_id, email=email, password=password))
    me = Seller(app.test_client(), email, password)
    made |= _settings(me) | _people(me, session, config, made["lead"])
    made |= _messages(session, config, made["lead"])
    answer = me.post("/imports", file=(io.BytesIO(PEOPLE.encode()), "people.csv"))
    made["import"] = re.search(r"/imports/(\d+)", answer.location)[1]
    made["backtest"] = session.scalar(text("SELECT max(id) FROM backtests"))
    _held(session, config, made["source"])
    return made


def _settings(me: Seller) -> dict[str, Any]:
    source = me.post("/sources", name="החנות").location.rsplit("/", 1)[-1]
    me.post(f"/sources/{source}/keys", kind="server")
    me.post("/settings/tokens", name="till", role="admin")
    me.post("/settings/users", email="noa@shop.example", name="נועה", role="marketer")
    me.post("/settings/webhooks", slug="stock", url="https://erp.example/stock")
    me.post("/coupons", pool="spring", codes="A1\nA2", low="5")
    me.post("/settings/traits", name="views", title="Views", event="Page Viewed", aggregate="count", property="", days="30")
    me.post("/settings/identity/blocked", page="/settings/identity", kind="email", value="test@*", note="testers")
    me.post("/journeys/begin", recipe="win_back")
    me.post("/journeys/abandoned_cart/backtest", **{"from": str(clock.now().date()), "to": str(clock.now().date()), "of": "published"})
    return {"source": source}


def _people(me: Seller, session: Session, config: Config, lead: uuid.UUID) -> dict[str, Any]:
    now = clock.now()
    me.post("/lists", name="Fair")
    me.post("/lists/fair/people", act="add", profile=str(lead))
    me.post("/segments/save", tree=dumps(BUYERS), name="Buyers", slug="")
    while fill.fill(session, now, config):
        session.commit()
    dear = {**product("vase", "120", name="אגרטל כחול"), "currency": "ILS", "variant_id": "vase", "stock": 3, "category": "בית", "brand": "Kad"}
    calls = [track("Product Updated", dear, at=now), track("Product Viewed", dear, at=now, user_id="lead1@example.com")]
    calls.append(track("Order Delivered", {"order_id": "o1"}, at=now, user_id="lead0@example.com"))
    pipeline.run(session, [accepted(call, now) for call in calls], now, config)
    session.commit()
    return {"list": "fair", "segment": "buyers", "variant": "vase"}


def _messages(session: Session, config: Config, lead: uuid.UUID) -> dict[str, Any]:
    now = clock.now()
    wake_due(session, now + dt.timedelta(hours=2), 100, config)
    queue(session, [Request(lead, "email", "my_data", cause="my data")], now)
    marked, _handled = deliver.prepare(session, config, now, 100)
    session.commit()
    settle(session, [Verdict(each.draft, "channel", "sent", "sent", address=each.letter.address, provider_id="1") for each in marked], now)
    session.commit()
    message, asked = (session.scalar(text("SELECT id FROM messages WHERE template = :name"), {"name": name}) for name in ("my_data", "nps_survey"))
    run = session.scalar(text("SELECT r.id FROM runs r JOIN journeys j ON j.id = r.journey_id WHERE slug = 'abandoned_cart_3' LIMIT 1"))
    mine, survey = Links(Keys(config.secret_key), "", message), Links(Keys(config.secret_key), "", asked)
    return {"message": message, "run": run, "mine": mine.mine, "unsubscribe": survey.unsubscribe, "survey": survey.survey}


def _held(session: Session, config: Config, source_id: str) -> None:
    """A batch of calls, each of which says too little."""
    name = session.scalar(text("SELECT name FROM sources WHERE id = :id"), {"id": int(source_id)})
    key = keys.create(session, source_name=str(name), kind="server")
    session.commit()
    intake = Client(Intake(config, sessions(engine_for(config.database_url))))
    answer = intake.post("/v1/batch", data=dumps({"batch": HELD, "writeKey": key}))
    assert answer.status_code == 200, answer.text
