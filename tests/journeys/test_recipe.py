"""The abandoned-cart recipe, told as stories."""

from __future__ import annotations

import datetime as dt

import pytest

from journeys.files import from_yaml, recipes, to_yaml
from journeys.graph import parse
from journeys.simulate import Sent, simulate, tell

ABANDONED_CART = parse(recipes()["abandoned_cart"])
MON = dt.datetime(2026, 11, 23, 10, tzinfo=dt.UTC)
VASE = {"product_id": "vase", "price": "90"}
CUP = {"product_id": "cup", "price": "20"}


def minutes(n: int) -> dt.timedelta:
    return dt.timedelta(minutes=n)


def test_an_abandoned_cart_gets_one_mail_an_hour_later() -> None:
    sent = simulate(ABANDONED_CART, MON, [(MON, "Product Added")])
    assert [(s.at, s.channel, s.template) for s in sent] == [(MON + minutes(60), "email", "abandoned_cart")]


@pytest.mark.parametrize("after", [1, 30, 59])
def test_a_buyer_is_left_alone(after: int) -> None:
    assert simulate(ABANDONED_CART, MON, [(MON, "Product Added"), (MON + minutes(after), "Order Completed")]) == []


def test_the_hour_counts_from_the_last_touch_of_the_cart() -> None:
    events = [(MON, "Product Added", VASE), (MON + minutes(50), "Product Added", CUP), (MON + minutes(80), "Product Removed", CUP)]
    assert [s.at for s in simulate(ABANDONED_CART, MON, events)] == [MON + minutes(140)]


def test_an_emptied_cart_gets_nothing_and_says_why() -> None:
    trial = tell(ABANDONED_CART, MON, [(MON, "Product Added", VASE), (MON + minutes(5), "Product Removed", VASE)])
    assert trial.sent == []
    assert [(run.end_reason, run.passed[0].exit, run.passed[0].why) for run in trial.runs] == [("cart_closed", "happened", {"cart": "emptied"})]


def test_swapping_an_article_does_not_lose_the_reminder() -> None:
    in_one_cart = {"cart_id": "c1"}
    events = [
        (MON, "Product Added", VASE | in_one_cart),
        (MON + minutes(5), "Product Removed", VASE | in_one_cart),
        (MON + minutes(6), "Product Added", CUP | in_one_cart),
    ]
    assert [s.at for s in simulate(ABANDONED_CART, MON, events)] == [MON + minutes(66)]


def test_two_carts_get_a_mail_each_and_one_cart_never_two() -> None:
    events = [(MON, "Product Added", VASE | {"cart_id": "a"}), (MON + minutes(1), "Product Added", CUP | {"cart_id": "b"})]
    events += [(MON + minutes(90), "Product Added", CUP | {"cart_id": "a"})]
    assert [(s.at, s.key) for s in simulate(ABANDONED_CART, MON, events)] == [(MON + minutes(60), "1:a"), (MON + minutes(61), "1:b")]


def test_the_order_of_another_cart_does_not_end_this_run() -> None:
    events = [(MON, "Product Added", VASE | {"cart_id": "a"}), (MON + minutes(9), "Order Completed", {"cart_id": "b"})]
    assert len(simulate(ABANDONED_CART, MON, events)) == 1


def test_the_file_survives_being_written_and_read() -> None:
    drawing = recipes()["abandoned_cart"]
    again = from_yaml(to_yaml(drawing))
    assert parse(again).drawing == ABANDONED_CART.drawing
    assert simulate(parse(again), MON, [(MON, "Product Added")]) == [Sent(MON + minutes(60), "email", "abandoned_cart", f"1:~{int(MON.timestamp() * 1000)}.0")]
