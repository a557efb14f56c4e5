"""A shop whose shelf is empty and whose people wait, for tests of what journeys tell them when goods are back or cheaper."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.consent.ledger import Change, record
from crm.core.crypto import Keys
from crm.events.inbox import claim, mark
from crm.events.read import read
from crm.events.spec import Call
from crm.messages import deliver
from crm.messages.templates import About, Source
from crm.messages.templates import publish as publish_words
from journeys import publish, waves
from journeys.engine import wake_due
from tests.makers import accepted, config, identify, track
from workers import pipeline

CONFIG = config()
BACK: dict[str, Any] = {
    "name": {"en": "Back in stock"},
    "trigger": {"kind": "back_in_stock", "settings": {"pause": "30m", "viewed": False}},
    "reentry": {"again": "after_interval", "interval": "1d"},
    "entry": "mail",
    "nodes": {"mail": {"kind": "send", "settings": {"template": "back"}, "exits": {"next": "end"}}, "end": {"kind": "stop"}},
}
WAITING = [f"p{n}" for n in range(10)]


def minutes(n: float) -> dt.timedelta:
    return dt.timedelta(minutes=n)


class Shop:
    """A shop whose clock the test moves; whatever Kesher says to itself happens at once."""

    def __init__(self, session: Session, now: dt.datetime) -> None:
        self.session, self.now = session, now

    def tell(self, *calls: Call) -> None:
        pipeline.run(self.session, [accepted(call, self.now) for call in calls], self.now, CONFIG)
        self.settle()

    def stock(self, pieces: int, sku: str = "vase") -> None:
        self.tell(Call(type="track", event="Product Stock Changed", timestamp=self.now.isoformat(), properties={"sku": sku, "stock": pieces}))

    def price(self, price: str, sku: str = "vase") -> None:
        said = {"sku": sku, "price": price, "currency": "ILS"}
        self.tell(Call(type="track", event="Product Price Changed", timestamp=self.now.isoformat(), properties=said))

    def later(self, minutes_: float) -> None:
        self.now += minutes(minutes_)

    def waves(self) -> None:
        """The clock's look: who is due is told, and their runs begin."""
        waves.sweep(self.session, self.now, CONFIG)
        self.settle()

    def settle(self) -> None:
        while rows := claim(self.session, 2_000):
            pipeline.run(self.session, [read(row) for row in rows], self.now, CONFIG)
            mark(self.session, rows, self.now)
            wake_due(self.session, self.now, 1_000, CONFIG)

    def deliver(self) -> list[str]:
        """To whom the outbox would hand over now, in the order of their names."""
        marked, _ = deliver.prepare(self.session, CONFIG, self.now, 64)
        deliver.settle(self.session, [deliver.Verdict(each.draft, "channel", "sent", "sent", address=each.letter.address) for each in marked], self.now)
        self.settle()
        return sorted(each.letter.address.partition("@")[0] for each in marked)

    def queued(self) -> int:
        return self.session.scalar(text("SELECT count(*) FROM messages WHERE status = 'queued'")) or 0

    def reasons(self) -> list[str]:
        return sorted(self.session.scalars(text("SELECT reason FROM messages WHERE status = 'dropped'")))

    def ended(self) -> list[str | None]:
        return list(self.session.scalars(text("SELECT ended FROM waves ORDER BY id")))

    def passed_over(self) -> list[tuple[str, str]]:
        rows = self.session.execute(
            text(
                "SELECT i.value, p.passed FROM wave_people p JOIN identities i ON i.profile_id = p.profile_id AND i.kind = 'user_id' WHERE p.passed IS NOT NULL"
            )
        )
        return sorted((row.value, row.passed) for row in rows)


@pytest.fixture(name="shop")
def sold_out(session: Session, now: dt.datetime) -> Shop:
    """Everybody has an address and agreed to offers; the vase is sold out."""
    word = {"subject": "Back", "html": "<p>Back</p>", "text": "Back"}
    about = About(channel="email", topic="offers", purpose="marketing", subject={"en": "Back"})
    publish_words(session, Source("back", about, {"en": word}, {}), now)
    for who in WAITING:
        address = f"{who}@example.com"
        change = Change("email", address, "email", "offers", "marketing", "granted", "form", explicit=True, proof={"form": "x"})
        record(session, [change], Keys(CONFIG.secret_key), now)
    made = Shop(session, now)
    made.tell(*(identify({"email": f"{who}@example.com"}, at=now, user_id=who) for who in WAITING))
    made.stock(0)
    return made


def ask(shop: Shop, *who: str, sku: str = "vase") -> None:
    for each in who:
        shop.later(0.1)
        shop.tell(track("Back In Stock Requested", {"sku": sku}, at=shop.now, user_id=each))


def look(shop: Shop, *who: str) -> None:
    for each in who:
        shop.later(0.1)
        shop.tell(track("Product Viewed", {"sku": "vase", "product_id": "v"}, at=shop.now, user_id=each))


def live(shop: Shop, **settings: Any) -> None:
    trigger = {"kind": "back_in_stock", "settings": BACK["trigger"]["settings"] | settings}
    publish.publish(shop.session, "back", {**BACK, "trigger": trigger}, now=shop.now)
