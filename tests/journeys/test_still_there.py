"""What is back on the shelf is asked for again as a message goes: sold out or bought meanwhile, nobody is told."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import text

from crm.messages.gate import REASONS
from journeys import files, graph, publish
from journeys.simulate import simulate
from tests.journeys.shelf import BACK, Shop, ask, live, minutes, sold_out
from tests.makers import track

__all__ = ["sold_out"]


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


def test_a_trial_knows_that_it_was_sold_out_before_the_second_message(now: dt.datetime) -> None:
    nodes = {"wait": {"kind": "wait", "settings": {"for": "2h"}, "exits": {"next": "mail"}}}
    drawn = graph.parse({**BACK, "entry": "wait", "nodes": {**BACK["nodes"], **nodes}})
    vase = {"variant_id": "vase", "name": "Vase", "price": "90", "currency": "ILS", "stock": 3}
    start = (now, "Product Back In Stock", vase)
    gone = (now + minutes(60), "Product Stock Changed", {"variant_id": "vase", "stock": 0})
    assert len(simulate(drawn, now, [start])) == 1
    assert simulate(drawn, now, [start, gone]) == []
