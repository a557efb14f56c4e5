"""What is sold: a variant is what its events say, whoever processes them in which order."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.commerce import products, requests
from crm.commerce.products import Change
from crm.core.db import engine_for, sessions
from crm.events import store
from crm.events.models import SYSTEM_SOURCE
from crm.events.source import HeldError
from crm.events.spec import Call
from crm.profiles.rebuild import differences as people_differ
from tests.makers import accepted, config, identify, track
from workers import pipeline

MINUTE = dt.timedelta(minutes=1)


@pytest.fixture
def process(session: Session, now: dt.datetime) -> Callable[..., None]:
    def run(*calls: Call, **how: Any) -> None:
        pipeline.run(session, [accepted(call, now, **how) for call in calls], now, config())

    return run


def told(what: str, at: dt.datetime, sku: str = "vase", **said: Any) -> Call:
    return Call(type="track", event=f"Product {what}", timestamp=at.isoformat(), properties={"sku": sku, **said})


def variant(session: Session, sku: str = "vase") -> Any:
    return session.execute(text("SELECT * FROM variants WHERE id = :id"), {"id": sku}).one_or_none()


def stocks(session: Session, sku: str = "vase") -> list[int | None]:
    return list(session.scalars(text("SELECT stock FROM stock_history WHERE variant_id = :id ORDER BY at, accepted"), {"id": sku}))


def test_a_variant_is_described_priced_and_counted(session: Session, now: dt.datetime, process: Callable[..., None]) -> None:
    process(told("Updated", now - 9 * MINUTE, product_id="v", name="Vase", category="Home", price="90.50", currency="ILS", stock=4, pictures=["https://x/1"]))
    process(told("Stock Changed", now - 8 * MINUTE, stock=0), told("Price Changed", now - 7 * MINUTE, price=80))
    row = variant(session)
    assert (row.name, row.product_id, row.category, row.stock, row.price, row.pictures) == ("Vase", "v", "Home", 0, Decimal(80), ["https://x/1"])
    assert stocks(session) == [4, 0]
    assert products.differences(session, ["vase"], currency="ILS") == []


def test_goods_are_nobody(session: Session, now: dt.datetime, process: Callable[..., None]) -> None:
    process(told("Stock Changed", now, stock=3), track("Product Stock Changed", {"sku": "cup", "stock": 2}, at=now, anonymous_id="server-7"))
    assert session.scalar(text("SELECT count(*) FROM profiles")) == 0
    assert (variant(session).stock, variant(session, "cup").stock) == (3, 2)
    assert people_differ(session) == []


def test_a_call_about_no_goods_at_all_is_nobodys(session: Session, now: dt.datetime, process: Callable[..., None]) -> None:
    with pytest.raises(HeldError) as error:
        process(track("Product Updated", {"name": "Vase", "sku": " "}, at=now))
    assert error.value.reason == "no_identity"
    assert session.scalar(text("SELECT count(*) FROM profiles")) == 0


def test_a_browser_changes_neither_stock_nor_price(session: Session, now: dt.datetime, process: Callable[..., None]) -> None:
    process(told("Updated", now - MINUTE, stock=4, price="90"))
    process(track("Product Stock Changed", {"sku": "vase", "stock": 0}, at=now, anonymous_id="a"), trusted=False)
    process(track("Product Price Changed", {"sku": "vase", "price": "1"}, at=now, anonymous_id="a"), trusted=False)
    assert (variant(session).stock, variant(session).price) == (4, Decimal(90))


def test_a_lower_version_changes_nothing(session: Session, now: dt.datetime, process: Callable[..., None]) -> None:
    process(told("Updated", now - 3 * MINUTE, stock=4, version=7))
    process(told("Updated", now - 2 * MINUTE, stock=9, version=6))
    assert variant(session).stock == 4
    process(told("Stock Changed", now - MINUTE, stock=2))
    assert (variant(session).stock, variant(session).version) == (2, 7)


@pytest.mark.parametrize("seed", range(6))
def test_the_order_of_processing_does_not_matter(session: Session, now: dt.datetime, process: Callable[..., None], seed: int) -> None:
    chance = random.Random(seed)
    calls = [told("Stock Changed", now - n * MINUTE, stock=chance.randrange(4)) for n in range(8)]
    calls += [told("Updated", now - n * MINUTE, name=f"name {n}", price=n + 1, version=10 - n) for n in range(5)]
    chance.shuffle(calls)
    for start in range(0, len(calls), 3):
        process(*calls[start : start + 3])
    assert products.differences(session, ["vase"], currency="ILS") == []
    assert len(stocks(session)) == session.scalar(text("SELECT count(DISTINCT (at, accepted)) FROM stock_history"))


def changes(session: Session, now: dt.datetime, *calls: Call) -> list[tuple[str, str]]:
    goods, _ = products.part([accepted(call, now) for call in calls])
    store.append(session, goods)
    found: list[Change] = products.fold(session, goods, currency="ILS")
    return [(each.kind, each.variant_id) for each in found]


def test_a_restock_and_a_fall_of_price_are_told_once(session: Session, now: dt.datetime) -> None:
    assert changes(session, now, told("Updated", now - 9 * MINUTE, stock=0, price=90)) == []
    assert changes(session, now, told("Stock Changed", now - 8 * MINUTE, stock=3)) == [("stock", "vase")]
    assert changes(session, now, told("Stock Changed", now - 7 * MINUTE, stock=5)) == []
    assert changes(session, now, told("Price Changed", now - 6 * MINUTE, price=70)) == [("price", "vase")]
    assert changes(session, now, told("Price Changed", now - 5 * MINUTE, price=75)) == []
    assert changes(session, now, told("Price Changed", now - 5 * MINUTE, price=50, currency="USD")) == []


def waiting(session: Session) -> list[tuple[str, str | None]]:
    return [(row.variant_id, row.ended) for row in session.execute(text("SELECT variant_id, ended FROM stock_requests ORDER BY variant_id"))]


def asks(at: dt.datetime, who: str = "anna", what: str = "Requested", sku: str = "vase") -> Call:
    return track(f"Back In Stock {what}", {"sku": sku}, at=at, user_id=who)


def test_somebody_waits_once_until_told_or_taken_back(session: Session, now: dt.datetime, process: Callable[..., None]) -> None:
    process(asks(now - 9 * MINUTE), asks(now - 8 * MINUTE))
    assert waiting(session) == [("vase", None)]
    process(asks(now - 7 * MINUTE, what="Cancelled"))
    assert waiting(session) == [("vase", "cancelled")]
    process(asks(now - 6 * MINUTE))
    assert waiting(session) == [("vase", None)]
    with pytest.raises(HeldError, match="Only Kesher itself"):
        process(asks(now - 5 * MINUTE, what="Notified"), trusted=False)
    assert waiting(session) == [("vase", None)]
    process(asks(now - 4 * MINUTE, what="Notified"), source_id=SYSTEM_SOURCE)
    assert waiting(session) == [("vase", "notified")]


def test_wishes_follow_who_is_who_and_late_words(session: Session, now: dt.datetime, process: Callable[..., None]) -> None:
    process(track("Back In Stock Requested", {"sku": "vase"}, at=now - 5 * MINUTE, anonymous_id="phone"))
    process(asks(now - 4 * MINUTE, sku="cup"), asks(now - 9 * MINUTE, what="Cancelled", sku="cup"))
    process(identify({}, at=now, user_id="anna", anonymous_id="phone"))
    assert waiting(session) == [("cup", None), ("vase", None)]
    ids = list(session.scalars(text("SELECT id FROM profiles")))
    assert requests.differences(session, ids) == []
    assert session.scalar(text("SELECT count(DISTINCT profile_id) FROM stock_requests")) == 1


def test_two_workers_that_tell_of_one_variant_lose_nothing(fresh_url: str, now: dt.datetime) -> None:
    engine = engine_for(fresh_url)
    make = sessions(engine)
    skus = ["vase", "cup", "pot"]

    def work(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(12):
            calls = [told("Stock Changed", now - chance.randrange(500) * MINUTE / 10, sku, stock=chance.randrange(9)) for sku in skus]
            chance.shuffle(calls)
            with make() as session:
                pipeline.run(session, [accepted(call, now) for call in calls], now, config())
                session.commit()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, (1, 2)))
    with make() as session:
        assert session.scalar(text("SELECT count(*) FROM events")) == 2 * 12 * len(skus)
        assert products.differences(session, skus, currency="ILS") == []
    engine.dispose()
