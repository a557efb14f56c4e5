"""What costs less now, and what costs less instead: who is told of it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text

from crm.events.spec import Call
from journeys import publish
from tests.journeys.shelf import BACK, Shop, ask, look, sold_out
from tests.makers import track

__all__ = ["sold_out"]


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


def asked_and_told(shop: Shop) -> None:
    ask(shop, "p1", "p2")
    shop.stock(9)
    for price in ("100", "80"):
        shop.later(5)
        shop.price(price)
    shop.waves()
    assert shop.deliver() == ["p1", "p2"]


def test_who_waits_for_it_hears_that_it_costs_less_once(shop: Shop) -> None:
    drop(shop, viewed=False)
    asked_and_told(shop)
    shop.tell(track("Back In Stock Cancelled", {"sku": "vase"}, at=shop.now, user_id="p1"))
    shop.later(2 * 24 * 60)
    shop.price("60")
    shop.waves()
    assert shop.deliver() == []
    ask(shop, "p1")
    shop.later(5)
    shop.price("40")
    shop.waves()
    assert shop.deliver() == ["p1"]


def test_who_waits_for_it_and_was_told_and_looks_again_is_told_as_one_who_looked(shop: Shop) -> None:
    drop(shop)
    asked_and_told(shop)
    shop.later(2 * 24 * 60)
    look(shop, "p1")
    shop.later(5)
    shop.price("60")
    shop.waves()
    assert shop.deliver() == ["p1"]


def test_who_searched_for_it_while_there_was_none_may_hear_that_it_costs_less(shop: Shop) -> None:
    drop(shop, viewed=False, carted=False, searched=True)
    said = {"sku": "vase", "name": "Blue vase", "price": "100", "currency": "ILS"}
    shop.tell(Call(type="track", event="Product Updated", timestamp=shop.now.isoformat(), properties=said))
    shop.later(5)
    shop.tell(track("Products Searched", {"query": "blue"}, at=shop.now, user_id="p3"))
    shop.later(5)
    shop.stock(9)
    shop.price("80")
    shop.waves()
    assert shop.deliver() == ["p3"]


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
