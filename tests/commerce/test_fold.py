"""Carts and orders as functions of events."""

from __future__ import annotations

import datetime as dt
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from tests import makers
from tests.makers import accepted, identify, product, track
from workers import pipeline

MINUTE = dt.timedelta(minutes=1)


@pytest.fixture
def process(session, now):
    def run(calls):
        pipeline.run(session, [accepted(c, now) for c in calls], now, makers.config())

    return run


def carts(session):
    return session.execute(text("SELECT status, items, value, key, recovered FROM carts ORDER BY opened_at, key")).all()


def test_a_cart_holds_what_was_put_in_and_not_taken_out(session, now, process):
    process(
        [
            track("Product Added", product("cup", "40", 2), at=now - 9 * MINUTE, user_id="1"),
            track("Product Added", product("pot", "100.50"), at=now - 8 * MINUTE, user_id="1"),
        ]
    )
    process([track("Product Removed", product("cup", "40", 1), at=now - 7 * MINUTE, user_id="1")])
    [cart] = carts(session)
    assert [(i["product_id"], i["quantity"]) for i in cart.items] == [("cup", "1"), ("pot", "1")]
    assert (cart.status, str(cart.value)) == ("open", "140.500000")


def test_a_late_removal_is_folded_where_it_belongs(session, now, process):
    process([track("Product Added", product("cup"), at=now - 9 * MINUTE, user_id="1")])
    process([track("Product Added", product("cup"), at=now - 5 * MINUTE, user_id="1")])
    process([track("Product Removed", {"product_id": "cup"}, at=now - 7 * MINUTE, user_id="1")])
    assert [(c.status, len(c.items)) for c in carts(session)] == [("emptied", 0), ("open", 1)]


def test_an_order_closes_the_cart_and_says_whether_it_was_recovered(session, now, process):
    process(
        [
            track("Product Added", product("cup"), at=now - 90 * MINUTE, user_id="1"),
            track("Order Completed", {"order_id": "5"}, at=now - 5 * MINUTE, user_id="1"),
        ]
    )
    [cart] = carts(session)
    assert (cart.status, cart.recovered) == ("ordered", True)


def test_two_cart_ids_are_two_carts(session, now, process):
    process(
        [
            track("Product Added", product("cup", cart_id="A"), at=now - 9 * MINUTE, user_id="1"),
            track("Product Added", product("pot", cart_id="B"), at=now - 8 * MINUTE, user_id="1"),
        ]
    )
    process([track("Order Completed", {"order_id": "5", "cart_id": "A"}, at=now - 5 * MINUTE, user_id="1")])
    assert [(c.key, c.status) for c in carts(session)] == [("A", "ordered"), ("B", "open")]


def test_a_cart_comes_along_when_its_person_is_recognised(session, now, process):
    process([identify({}, at=now - 60 * MINUTE, user_id="1", anonymous_id="old")])
    process([track("Product Added", product("cup"), at=now - 9 * MINUTE, anonymous_id="new")])
    process([identify({}, at=now - 8 * MINUTE, user_id="1", anonymous_id="new")])
    process([track("Order Completed", {"order_id": "1"}, at=now - 7 * MINUTE, anonymous_id="old")])
    [cart] = carts(session)
    assert cart.status == "ordered"


def test_an_order_counts_once_whoever_reports_it_again(session, now, process):
    report = {"order_id": "77", "revenue": "100.10", "currency": "ILS"}
    process([track("Order Completed", report, at=now - 9 * MINUTE, user_id="1"), track("Order Completed", report, at=now - 8 * MINUTE, user_id="1")])
    refund = {"order_id": "77", "refund_id": "r1", "amount": 30.05}
    process([track("Order Refunded", refund, at=now - 7 * MINUTE, user_id="1"), track("Order Refunded", refund, at=now - 6 * MINUTE, user_id="1")])
    assert [str(net) for (net,) in session.execute(text("SELECT revenue - refunded FROM orders"))] == ["70.050000"]


calls = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["Product Added", "Product Removed"]), st.sampled_from(["cup", "pot"]), st.sampled_from([None, "A", "B"])),
        st.tuples(st.just("Order Completed"), st.sampled_from(["1", "2"]), st.sampled_from([None, "A"])),
        st.tuples(st.just("Order Refunded"), st.sampled_from(["1", "2"]), st.sampled_from(["5", None])),
        st.tuples(st.just("identify"), st.sampled_from(["city", "size"]), st.sampled_from(["x", "y", None])),
    ),
    max_size=14,
)


def _call(kind, what, more, at):
    if kind == "identify":
        return identify({what: more}, at=at, user_id="1")
    if kind == "Order Completed":
        return track(kind, {"order_id": what, "revenue": "10", **({"cart_id": more} if more else {})}, at=at, user_id="1")
    if kind == "Order Refunded":
        return track(kind, {"order_id": what, **({"amount": more} if more else {})}, at=at, user_id="1")
    return track(kind, product(what, **({"cart_id": more} if more else {})), at=at, user_id="1")


@settings(max_examples=40)
@given(said=calls, cuts=st.integers(0, 2**14), seed=st.integers(0, 1000))
def test_one_by_one_in_batches_or_shuffled_the_state_is_the_same(session, now, said, cuts, seed):
    batch = [accepted(_call(*what, now - dt.timedelta(minutes=60 - n // 2)), now) for n, what in enumerate(said)]
    shuffled = batch[:]
    random.Random(seed).shuffle(shuffled)
    states = []
    for groups in ([[c] for c in batch], _cut(batch, cuts), [[c] for c in shuffled], _cut(shuffled, cuts)):
        with session.begin_nested() as savepoint:
            for group in groups:
                pipeline.run(session, group, now, makers.config())
            states.append(_state(session))
            savepoint.rollback()
    assert states[0] == states[1] == states[2] == states[3]


def _cut(batch, cuts):
    groups, current = [], []
    for n, call in enumerate(batch):
        current.append(call)
        if cuts >> n & 1:
            groups.append(current)
            current = []
    return [*groups, current] if current else groups


def _state(session):
    cart_rows = session.execute(text("SELECT key, status, items, value, opened_at, changed_at, closed_at, order_id, recovered FROM carts ORDER BY key")).all()
    order_rows = session.execute(
        text("SELECT order_id, currency, revenue, refunded, refunds, ordered_at, version_at, version_accepted FROM orders ORDER BY 1")
    ).all()
    people = session.execute(text("SELECT traits, traits_at, first_seen, last_seen, commerce_at, commerce_accepted FROM profiles")).all()
    return cart_rows, order_rows, people
