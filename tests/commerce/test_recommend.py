"""What is offered: what goes together, else what sells; only what is there and not theirs."""

from __future__ import annotations

import datetime as dt
import threading
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.commerce import demand
from crm.commerce.recommend import Offer, Shelf, Wanted, choose, recommend
from crm.core.db import engine_for, sessions
from crm.events.models import HISTORY
from crm.events.spec import Call
from tests.makers import accepted, config, product, track
from tests.waiting import until_it_waits
from workers import pipeline

MINUTE, DAY = dt.timedelta(minutes=1), dt.timedelta(days=1)


def offer(name: str, price: str = "50", *, category: str = "home", there: bool = True) -> Offer:
    return Offer(name, category, Decimal(price), "ILS", there)


OFFERS = {
    each.id: each for each in (offer("vase", "90"), offer("cup", "20"), offer("pot", "95"), offer("tea", "10", category="food"), offer("gone", there=False))
}
SHELF = Shelf(OFFERS, {"vase": {"pot": 9, "cup": 4, "gone": 50, "tea": 2}}, {"home": ["cup", "vase"], "": ["tea", "vase"]})


def test_what_goes_together_comes_first_and_what_is_gone_not_at_all() -> None:
    assert choose(SHELF, ["vase"], set(), 5) == ["pot", "cup", "tea"]
    assert choose(SHELF, ["vase"], set(), 5) == choose(SHELF, ["vase"], set(), 5)


def test_what_they_have_is_not_offered() -> None:
    assert choose(SHELF, ["vase"], {"pot"}, 2) == ["cup", "tea"]


def test_a_cheaper_one_is_of_the_same_category_and_costs_less() -> None:
    assert choose(SHELF, ["vase"], set(), 5, cheaper=True) == ["cup"]


def test_without_anything_to_go_on_from_it_is_what_sells_best() -> None:
    assert choose(SHELF, [], set(), 5) == ["tea", "vase"]


class Shop:
    def __init__(self, session: Session, now: dt.datetime) -> None:
        self.session, self.now = session, now

    def tell(self, *calls: Call, **how: Any) -> None:
        pipeline.run(self.session, [accepted(call, self.now, **how) for call in calls], self.now, config())

    def sell(self, sku: str, price: str, category: str = "home", stock: int | None = 5) -> None:
        said = {"sku": sku, "name": sku.title(), "price": price, "currency": "ILS", "category": category, "stock": stock}
        self.tell(Call(type="track", event="Product Updated", timestamp=(self.now - 9 * DAY).isoformat(), properties=said))

    def look(self, who: str, *skus: str, ago: dt.timedelta = MINUTE) -> None:
        self.tell(*(track("Product Viewed", {"sku": sku}, at=self.now - ago, user_id=who) for sku in skus))

    def buy(self, who: str, *skus: str, ago: dt.timedelta = MINUTE, **how: Any) -> None:
        products = [{**product(sku), "sku": sku} for sku in skus]
        self.tell(track("Order Completed", {"order_id": f"{who}{skus}", "products": products}, at=self.now - ago, user_id=who), **how)

    def who(self, user_id: str) -> Any:
        return self.session.scalar(text("SELECT profile_id FROM identities WHERE kind = 'user_id' AND value = :v"), {"v": user_id})

    def count(self) -> None:
        while demand.count_wants(self.session, self.now):
            pass
        demand.pair(self.session, self.now)

    def offer(self, who: str, basis: Any, **more: Any) -> list[str]:
        [found] = recommend(self.session, [Wanted(self.who(who), basis, 3, **more)], self.now)
        return [each["variant_id"] for each in found]


@pytest.fixture
def shop(session: Session, now: dt.datetime) -> Shop:
    made = Shop(session, now)
    for sku, price in (("vase", "90"), ("cup", "20"), ("pot", "60"), ("jug", "40")):
        made.sell(sku, price)
    made.sell("tea", "10", "food")
    return made


def test_people_who_bought_the_vase_bought_the_pot(shop: Shop) -> None:
    shop.buy("a", "vase", "pot")
    shop.buy("b", "vase", "pot")
    shop.look("c", "vase", "cup")
    shop.look("dana", "vase")
    shop.count()
    assert shop.offer("dana", "viewed")[:2] == ["pot", "cup"]
    assert shop.offer("a", "bought")[:1] == ["cup"]  # they have the pot
    assert shop.offer("dana", "start", start=("vase",), cheaper=True)[0] == "pot"


def test_what_is_sold_out_is_not_offered(shop: Shop) -> None:
    shop.buy("a", "vase", "pot")
    shop.look("dana", "vase")
    shop.sell("pot", "60", stock=0)
    shop.count()
    assert "pot" not in shop.offer("dana", "viewed")


def day(session: Session, sku: str, at: dt.datetime) -> Any:
    return session.execute(text("SELECT * FROM variant_days WHERE variant_id = :v AND day = :d"), {"v": sku, "d": at.date()}).one_or_none()


def test_what_was_wanted_while_there_was_none_is_counted_apart(shop: Shop) -> None:
    noon = shop.now.replace(hour=12, minute=0) - 3 * DAY
    shop.tell(Call(type="track", event="Product Stock Changed", timestamp=noon.isoformat(), properties={"sku": "vase", "stock": 0}))
    for minutes, who in ((-60, "a"), (10, "a"), (20, "a"), (30, "b")):
        shop.tell(track("Product Viewed", {"sku": "vase"}, at=noon + minutes * MINUTE, user_id=who))
    shop.tell(track("Products Searched", {"query": "VAS"}, at=noon + MINUTE, user_id="c"))
    shop.count()
    found = day(shop.session, "vase", noon)
    assert (found.views, found.viewers, found.out_views, found.out_viewers, found.out_searches) == (4, 2, 3, 2, 1)


def test_an_import_has_its_days_counted_again(shop: Shop) -> None:
    shop.count()
    then = shop.now - 20 * DAY
    assert day(shop.session, "tea", then) is None
    shop.buy("a", "tea", ago=20 * DAY, origin=HISTORY)
    shop.count()
    assert (day(shop.session, "tea", then).buyers, day(shop.session, "tea", then).units) == (1, 1)


def test_what_is_being_told_of_a_day_while_it_is_counted_is_counted(fresh_url: str, now: dt.datetime) -> None:
    made = sessions(engine_for(fresh_url))
    then = now - 5 * DAY

    def count() -> None:
        with made() as session:
            demand.count_wants(session, now + 2 * DAY)
            session.commit()

    with made() as session:
        shop = Shop(session, now)
        shop.sell("tea", "10")
        shop.count()
        session.commit()
        shop.buy("a", "tea", ago=5 * DAY, origin=HISTORY)
        counting = threading.Thread(target=count)
        counting.start()
        until_it_waits(session, counting)
        session.commit()
        counting.join()
        assert day(session, "tea", then).buyers == 1


def test_a_shop_without_pairs_is_not_read_through_every_minute(shop: Shop) -> None:
    shop.count()
    shop.buy("a", "vase", "pot")
    assert demand.pair(shop.session, shop.now + MINUTE) == 0
    assert demand.pair(shop.session, shop.now + demand.PAIRS) == 2
