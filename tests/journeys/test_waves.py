"""Three pieces come back and ten people wait: who is told, when, and who is not."""

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
from crm.messages.gate import REASONS
from crm.messages.templates import About, Source
from crm.messages.templates import publish as publish_words
from journeys import files, graph, publish, waves
from journeys.engine import wake_due
from journeys.simulate import simulate
from journeys.why import why_not
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


@pytest.fixture
def shop(session: Session, now: dt.datetime) -> Shop:
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


def test_three_pieces_come_back_and_ten_wait(shop: Shop) -> None:
    live(shop)
    ask(shop, *WAITING)
    shop.later(60)
    shop.stock(3)
    shop.waves()
    assert shop.deliver() == ["p0", "p1", "p2"]

    shop.later(20)  # the second wave is not due yet
    shop.waves()
    assert shop.deliver() == []

    shop.tell(track("Order Completed", {"order_id": "1", "products": [{"sku": "vase", "price": "90", "quantity": 1}]}, at=shop.now, user_id="p0"))
    shop.tell(track("Order Completed", {"order_id": "2", "products": [{"sku": "vase", "price": "90", "quantity": 1}]}, at=shop.now, user_id="p3"))
    shop.stock(1)
    shop.later(11)
    shop.waves()
    assert shop.deliver() == ["p4"]  # one piece, one person; p3 has bought one meanwhile
    assert shop.passed_over() == [("p3", "bought")]

    shop.stock(0)
    shop.later(31)
    shop.waves()
    assert (shop.deliver(), shop.ended()) == ([], ["sold_out"])


def test_sold_out_between_queue_and_send_is_dropped_with_its_reason(shop: Shop) -> None:
    live(shop)
    ask(shop, "p0", "p1")
    shop.later(60)
    shop.stock(5)
    shop.waves()
    assert shop.queued() == 2
    shop.stock(0)
    assert shop.deliver() == []
    assert shop.reasons() == ["sold_out", "sold_out"]
    assert REASONS["sold_out"]
    waits = shop.session.scalar(text("SELECT count(*) FROM stock_requests WHERE ended IS NULL"))
    assert waits == 2  # whom nothing reached still waits


def test_whom_a_sold_out_shelf_kept_waiting_is_told_the_next_time_the_same_hour(shop: Shop) -> None:
    recipe = files.recipes()["back_in_stock"]
    tell = {**recipe["nodes"]["tell"], "settings": {"template": "back"}}
    publish.publish(shop.session, "back", {**recipe, "nodes": {**recipe["nodes"], "tell": tell}}, now=shop.now)
    ask(shop, "p0")
    shop.later(60)
    shop.stock(1)
    shop.waves()
    shop.stock(0)
    assert (shop.deliver(), shop.reasons()) == ([], ["sold_out"])
    shop.later(20)
    shop.stock(1)
    shop.waves()
    assert shop.deliver() == ["p0"]


def test_who_bought_between_queue_and_send_gets_nothing(shop: Shop) -> None:
    live(shop)
    ask(shop, "p0")
    shop.later(60)
    shop.stock(5)
    shop.waves()
    shop.tell(track("Order Completed", {"order_id": "1", "products": [{"sku": "vase"}]}, at=shop.now, user_id="p0"))
    assert (shop.deliver(), shop.reasons()) == ([], ["bought"])


def test_who_was_told_waits_no_more_and_a_second_restock_tells_only_the_others(shop: Shop) -> None:
    live(shop)
    ask(shop, "p0", "p1")
    shop.later(60)
    shop.stock(1)
    shop.waves()
    assert shop.deliver() == ["p0"]
    shop.stock(0)
    shop.later(60)
    shop.stock(4)
    shop.waves()
    assert shop.deliver() == ["p1"]
    assert shop.ended() == ["again", "everybody"]


def test_who_looked_while_there_was_none_comes_after_who_asked(shop: Shop) -> None:
    live(shop, viewed=True)
    look(shop, "p5", "p6")
    ask(shop, "p1")
    shop.later(60)
    shop.stock(2)
    shop.waves()
    assert shop.deliver() == ["p1", "p5"]


def test_who_looked_while_it_was_there_is_left_alone(shop: Shop) -> None:
    live(shop, viewed=True)
    shop.stock(4)
    look(shop, "p5")
    shop.later(1)
    shop.stock(0)
    shop.later(10)
    look(shop, "p6")
    shop.later(10)
    shop.stock(4)
    shop.waves()
    assert shop.deliver() == ["p6"]


def test_who_searched_for_it_while_there_was_none_may_be_told(shop: Shop) -> None:
    live(shop, searched=True)
    said = {"sku": "vase", "name": "Blue vase", "price": "90", "currency": "ILS"}
    shop.tell(Call(type="track", event="Product Updated", timestamp=shop.now.isoformat(), properties=said))
    shop.later(5)
    for who, words in (("p3", "BLUE va"), ("p4", "red"), ("p5", "va")):
        shop.tell(track("Products Searched", {"query": words}, at=shop.now, user_id=who))
    shop.later(5)
    shop.stock(4)
    shop.waves()
    assert shop.deliver() == ["p3"]


def test_by_value_the_best_customers_come_first(shop: Shop) -> None:
    live(shop, order="value")
    ask(shop, "p0", "p1", "p2")
    for who, total in (("p1", "50"), ("p2", "900")):
        shop.tell(track("Order Completed", {"order_id": who, "revenue": total, "products": [{"sku": "cup"}]}, at=shop.now, user_id=who))
    shop.later(60)
    shop.stock(2)
    shop.waves()
    assert shop.deliver() == ["p1", "p2"]


def test_a_wish_taken_back_loses_its_place(shop: Shop) -> None:
    live(shop)
    ask(shop, "p0", "p1", "p2")
    shop.later(60)
    shop.stock(1)
    shop.waves()
    shop.tell(track("Back In Stock Cancelled", {"sku": "vase"}, at=shop.now, user_id="p1"))
    shop.later(31)
    shop.waves()
    assert shop.deliver() == ["p0", "p2"]
    assert shop.passed_over() == [("p1", "taken_back")]


def test_a_paused_journey_keeps_its_waves_and_a_stopped_one_ends_them(shop: Shop) -> None:
    live(shop)
    ask(shop, "p0", "p1")
    shop.later(60)
    shop.stock(1)
    publish.pause(shop.session, "back", now=shop.now)
    shop.waves()
    assert shop.queued() == 0
    publish.resume(shop.session, "back", now=shop.now)
    shop.later(2)
    shop.waves()
    assert shop.queued() == 1
    publish.stop(shop.session, "back", now=shop.now)
    shop.later(31)
    shop.waves()
    assert shop.ended() == ["stopped"]


def test_a_wave_of_many_goes_out_in_parts_and_counts_as_one(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waves, "AT_ONCE", 2)
    live(shop)
    ask(shop, *WAITING)
    shop.later(60)
    shop.stock(5)
    for _ in range(4):
        shop.waves()
    assert shop.deliver() == ["p0", "p1", "p2", "p3", "p4"]
    shop.later(31)
    for _ in range(4):
        shop.waves()
    assert (shop.deliver(), shop.ended()) == (["p5", "p6", "p7", "p8", "p9"], ["everybody"])


def test_history_and_old_news_tell_nobody(shop: Shop) -> None:
    live(shop)
    ask(shop, "p0")
    shop.later(60 * 30)
    old = (shop.now - minutes(60 * 25)).isoformat()
    shop.tell(Call(type="track", event="Product Stock Changed", timestamp=old, properties={"sku": "vase", "stock": 3}))
    shop.waves()
    assert shop.queued() == 0


def drop(shop: Shop, **settings: Any) -> None:
    publish.publish(shop.session, "drop", {**BACK, "trigger": {"kind": "price_drop", "settings": settings}}, now=shop.now)


def test_a_price_that_fell_enough_is_told_to_who_looked_or_carted(shop: Shop) -> None:
    drop(shop, percent=10)
    shop.stock(9)
    shop.price("100")
    look(shop, "p1")
    shop.tell(track("Product Added", {"sku": "vase", "price": "100"}, at=shop.now, user_id="p2"))
    shop.later(5)
    shop.price("95")
    shop.waves()
    assert shop.queued() == 0
    shop.price("80")
    shop.waves()
    assert shop.deliver() == ["p1", "p2"]
    start = shop.session.scalar(text("SELECT data->'event' FROM messages LIMIT 1"))
    assert (start["was"], start["price"], start["percent"]) == ("95", "80", "16")


def test_a_price_that_rose_again_takes_the_message_back(shop: Shop) -> None:
    drop(shop, percent=10)
    shop.stock(9)
    shop.price("100")
    look(shop, "p1")
    shop.later(5)
    shop.price("50")
    shop.waves()
    shop.price("120")
    assert (shop.deliver(), shop.reasons()) == ([], ["price_rose"])


def test_nobody_is_told_twice_whatever_runs_twice(shop: Shop) -> None:
    live(shop)
    ask(shop, "p0")
    shop.later(60)
    shop.stock(3)
    shop.waves()
    shop.session.execute(text("UPDATE waves SET next_at = opened_at, ended = NULL"))
    shop.waves()
    assert shop.deliver() == ["p0"]


def test_a_trial_knows_that_it_was_sold_out_before_the_second_message(now: dt.datetime) -> None:
    nodes = {"wait": {"kind": "wait", "settings": {"for": "2h"}, "exits": {"next": "mail"}}}
    drawn = graph.parse({**BACK, "entry": "wait", "nodes": {**BACK["nodes"], **nodes}})
    vase = {"variant_id": "vase", "name": "Vase", "price": "90", "currency": "ILS", "stock": 3}
    start = (now, "Product Back In Stock", vase)
    gone = (now + minutes(60), "Product Stock Changed", {"variant_id": "vase", "stock": 0})
    assert len(simulate(drawn, now, [start])) == 1
    assert simulate(drawn, now, [start, gone]) == []


def test_the_last_word_about_a_cart_shows_what_costs_less(shop: Shop) -> None:
    nodes = {
        "cheaper": {"kind": "recommend", "settings": {"basis": "cart", "cheaper": True}, "exits": {"next": "mail", "none": "end"}},
        **BACK["nodes"],
    }
    trigger = {"kind": "event", "settings": {"event": "Product Added", "key": "cart"}}
    publish.publish(shop.session, "cart", {"name": {"en": "Cart"}, "trigger": trigger, "entry": "cheaper", "nodes": nodes}, now=shop.now)
    for sku, price, stock in (("vase", "90", 3), ("jug", "60", 3), ("pot", "40", 0), ("urn", "120", 3)):
        said = {"sku": sku, "name": sku.title(), "price": price, "stock": stock, "category": "Home", "currency": "ILS"}
        shop.tell(Call(type="track", event="Product Updated", timestamp=shop.now.isoformat(), properties=said))
    shop.tell(track("Product Added", {"sku": "vase", "product_id": "vase", "price": "90"}, at=shop.now, user_id="p1"))
    found = shop.session.scalar(text("SELECT data->'run'->'cheaper'->'products' FROM messages"))
    assert [(each["name"], each["price"]) for each in found] == [("Jug", "60")]


def test_why_somebody_was_not_told_yet_or_not_at_all(shop: Shop) -> None:
    live(shop)
    ask(shop, "p0", "p1", "p2")
    shop.later(60)
    shop.stock(1)
    shop.waves()

    def why(who: str) -> str:
        profile = shop.session.scalar(text("SELECT profile_id FROM identities WHERE kind = 'user_id' AND value = :who"), {"who": who})
        return next(iter(each.text % each.values for each in why_not(shop.session, "back", profile, shop.now)))

    assert why("p1") == "Waits at place 2 in the waves of “vase”."
    assert why("p5").startswith("No product the profile asked for")
    shop.tell(track("Order Completed", {"order_id": "9", "products": [{"sku": "vase"}]}, at=shop.now, user_id="p1"))
    shop.stock(0)
    shop.later(31)
    shop.waves()
    assert "bought it meanwhile" in why("p1")
    assert "ended at place 3" in why("p2")
