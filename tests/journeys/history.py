"""A week of a shop, made by the real pipeline and engine on a clock of its own: inbox, drain, wake, three journeys with everything that decides."""

from __future__ import annotations

import datetime as dt
import random
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from sqlalchemy import Engine, text
from sqlalchemy.orm import Session, sessionmaker

from crm.consent import ledger
from crm.consent.ledger import GRANTED, Change
from crm.core.config import Config
from crm.core.crypto import Keys
from crm.core.db import sessions
from crm.core.partitions import day_bounds, ensure, month_bounds
from crm.events import inbox
from crm.events.inbox import NewRow
from crm.events.models import LIVE
from crm.events.spec import Call
from crm.segments import fill, store
from crm.segments.refresh import lapse_due
from journeys import coupons, publish
from journeys.engine import wake_due
from tests.makers import identify, product, source, track
from workers import pipeline

TICK = dt.timedelta(minutes=30)
CART: dict[str, Any] = {
    "name": {"en": "Cart"},
    "trigger": {"kind": "event", "settings": {"event": "Product Added", "key": "cart"}},
    "exit_on": [{"event": "Order Completed", "goal": True}],
    "holdout": {"percent": 20},
    "entry": "wait",
    "nodes": {
        "wait": {"kind": "wait", "settings": {"for": "1h", "counting_from": "cart"}, "exits": {"timed_out": "dear", "happened": "gone"}},
        "dear": {"kind": "branch", "settings": {"ways": [{"exit": "yes", "when": [{"of": "cart", "name": "value", "op": "at_least", "value": 100}]}]},
                 "exits": {"yes": "code", "otherwise": "half"}},
        "code": {"kind": "coupon", "settings": {"pool": "few"}, "exits": {"next": "remind", "none": "half"}},
        "half": {"kind": "split", "settings": {"salt": "s", "shares": [{"exit": "a", "percent": 50}, {"exit": "b", "percent": 50}]},
                 "exits": {"a": "remind", "b": "gone"}},
        "remind": {"kind": "send", "settings": {"template": "remind", "while_cart_open": True}, "exits": {"next": "day"}},
        "day": {"kind": "wait", "settings": {"for": "1d", "until": ["Product Viewed"]}, "exits": {"timed_out": "again", "happened": "gone"}},
        "again": {"kind": "send", "settings": {"template": "again", "while_cart_open": True}, "exits": {"next": "gone"}},
        "gone": {"kind": "stop"},
    },
}  # fmt: skip
HELLO: dict[str, Any] = {
    "name": {"en": "Hello"},
    "trigger": {"kind": "event", "settings": {"event": "Signed Up", "key": "profile"}},
    "entry": "hello",
    "nodes": {
        "hello": {"kind": "send", "settings": {"template": "hello"}, "exits": {"next": "mark"}},
        "mark": {"kind": "set_trait", "settings": {"trait": "greeted", "value": True}, "exits": {"next": "few"}},
        "few": {"kind": "rate_limit", "settings": {"limit": 4, "per": "1h"}, "exits": {"next": "wait"}},
        "wait": {"kind": "wait", "settings": {"for": "6h", "until": ["Product Added"]}, "exits": {"timed_out": "plan", "happened": "plan"}},
        "plan": {"kind": "switch", "settings": {"of": "trait", "name": "plan", "cases": [{"exit": "gold", "value": "gold"}]},
                 "exits": {"gold": "morning", "otherwise": "end"}},
        "morning": {"kind": "wait_time", "settings": {"at": "10:00"}, "exits": {"next": "second"}},
        "second": {"kind": "send", "settings": {"template": "second"}, "exits": {"next": "end"}},
        "end": {"kind": "stop"},
    },
}  # fmt: skip
LOOK: dict[str, Any] = {
    "name": {"en": "Look"},
    "trigger": {"kind": "event", "settings": {"event": "Product Viewed", "key": "property", "key_property": "product_id"}},
    "reentry": {"again": "after_interval", "interval": "12h", "at_once": "one_per_profile"},
    "entry": "wait",
    "nodes": {"wait": {"kind": "wait", "settings": {"for": "2h", "until": ["Product Added"]}, "exits": {"timed_out": "say", "happened": "end"}},
              "say": {"kind": "send_event", "settings": {"event": "Looked Only"}, "exits": {"next": "end"}},
              "end": {"kind": "stop"}},
}  # fmt: skip
AFTER: dict[str, Any] = {
    "name": {"en": "After"},
    "trigger": {"kind": "ended", "settings": {"journey": "look", "how": "finished"}},
    "reentry": {"again": "every_time", "at_once": "unlimited"},
    "entry": "mail",
    "nodes": {"mail": {"kind": "send", "settings": {"template": "looked"}, "exits": {"next": "end"}}, "end": {"kind": "stop"}},
}
ASKS: dict[str, Any] = {
    "name": {"en": "Asks"},
    "trigger": {"kind": "event", "settings": {"event": "Product Added", "key": "event"}},
    "entry": "wait",
    "nodes": {
        "wait": {"kind": "wait", "settings": {"for": "5h", "until": ["Order Completed"]}, "exits": {"timed_out": "ask", "happened": "ask"}},
        "ask": {"kind": "branch", "settings": {"ways": [
            {"exit": "often", "when": [{"of": "did", "name": "Product Added", "op": "at_least", "value": 2, "within": "2d",
                                        "where": [{"name": "product_id", "op": "is", "value": "vase"}]}]},
            {"exit": "inside", "when": [{"of": "segment", "name": "lookers"}]},
            {"exit": "looked", "when": [{"of": "did", "name": "Product Viewed"}]}]},
            "exits": {"often": "end", "inside": "end", "looked": "end", "otherwise": "end"}},
        "end": {"kind": "stop"}},
}  # fmt: skip
LOOKERS = {"kind": "did", "event": "Product Viewed", "value": 2, "within": "8h"}
DRAWINGS = {"cart": CART, "hello": HELLO, "look": LOOK, "after": AFTER, "asks": ASKS}


def make(engine: Engine, began: dt.datetime, config: Config, *, people: int, days: int) -> int:
    """Live through the days; returns how many calls came in."""
    chance, maker, shop = random.Random(11), sessions(engine), 0  # the same week every time
    with maker() as session:
        ensure(session, "event_inbox", [day_bounds(began + dt.timedelta(days=n)) for n in range(-1, days + 2)])
        ensure(session, "events", [month_bounds(began + dt.timedelta(days=n)) for n in range(-1, days + 2)])
        shop = source(session, "history")
        for name in ("remind", "again", "hello", "second", "looked"):
            session.execute(text("INSERT INTO templates (name, channel, topic, purpose, version) VALUES (:n, 'email', 'offers', 'marketing', 1)"), {"n": name})
        store.save(session, slug="lookers", name="Lookers", rule=LOOKERS, now=began)
        fill.fill(session, began, config)
        coupons.add(session, "few", [f"CODE{number}" for number in range(people // 10)])
        for slug, drawing in DRAWINGS.items():
            publish.publish(session, slug, drawing, now=began)
        session.commit()
    week = Week(maker, config, shop, chance)
    calls, now = 0, began
    with patch("crm.profiles.people.random", random.Random(12)):  # whom shares and halves fall on
        while now < began + dt.timedelta(days=days):
            calls += week.tick(now, [_call(chance, people, now) for _ in range(chance.randint(0, people // 25))])
            now += TICK
    return calls


@dataclass(frozen=True)
class Week:
    """What time passes with."""

    maker: sessionmaker[Session]
    config: Config
    shop: int
    chance: random.Random

    def tick(self, now: dt.datetime, said: list[Call]) -> int:
        """Calls come in one by one, are drained some time later, and what is due wakes before or after."""
        for call in said:
            now += dt.timedelta(seconds=self.chance.randint(1, 20))
            with self.maker() as session:
                inbox.append(session, [NewRow(self.shop, trusted=True, origin=LIVE, body=call)], now)
                self.agree(session, call, now)
                session.commit()
            if self.chance.random() < 0.2:
                now = self.turn(now)
        now = self.turn(now + dt.timedelta(seconds=self.chance.randint(1, 90)))
        self.turn(now)
        return len(said)

    def agree(self, session: Session, call: Call, now: dt.datetime) -> None:
        """Two in three say yes to offers."""
        email = ((call.context or {}).get("traits") or {}).get("email")
        if email and int(call.user_id or 0) % 3:
            agreed = Change("email", email, "email", "offers", "marketing", GRANTED, "form", explicit=True)
            ledger.record(session, [agreed], Keys(self.config.secret_key), now)

    def turn(self, now: dt.datetime) -> dt.datetime:
        """Workers at their work."""
        moment = [now]

        def later() -> dt.datetime:
            moment[0] += dt.timedelta(milliseconds=250)
            return moment[0]

        while pipeline.drain(self.maker, self.config, later):
            pass
        with self.maker() as session:
            lapse_due(session, later(), 10_000, self.config)
            wake_due(session, later(), 10_000, self.config)
            session.commit()
        return later()


def _call(chance: random.Random, people: int, now: dt.datetime) -> Call:
    number = chance.randrange(people)
    at, who = now - dt.timedelta(seconds=chance.choice((0, 0, 0, 5, 900))), {"user_id": str(number), "email": f"p{number}@shop.example"}
    kind = chance.random()
    if kind < 0.12:
        return track("Signed Up", {}, at=at, **who)
    if kind < 0.22:
        return identify({"plan": chance.choice(("gold", "free"))}, at=at, user_id=str(number))
    if kind < 0.30:
        return track("Order Completed", {"order_id": f"o{chance.random()}", "total": 10, "currency": "ILS"}, at=at, **who)
    if kind < 0.36:
        return track("Product Removed", product("vase"), at=at, **who)
    if kind < 0.60:
        return track("Product Added", product(chance.choice(("vase", "lamp", "rug")), price=chance.choice(("20", "150"))), at=at, **who)
    return track("Product Viewed", product(chance.choice(("vase", "lamp"))), at=at, **who)
