"""A late event is folded as if it had come in time, without looking at what was over before."""

from __future__ import annotations

import datetime as dt
import uuid

from hypothesis import example, given, settings
from hypothesis import strategies as st

from crm.commerce import cart
from crm.events.spec import Happened

DANA = uuid.UUID(int=1)
START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
NAMES = ("Product Added", "Product Removed", "Cart Updated", "Order Completed")
events = st.lists(
    st.tuples(st.integers(0, 12), st.sampled_from(NAMES), st.sampled_from(["cup", "pot"]), st.sampled_from([None, None, "A", "B"])), min_size=1, max_size=12
)


def happened(number: int, days: int, name: str, what: str, key: str | None) -> Happened:
    properties = {"order_id": str(number)} if name == "Order Completed" else {"product_id": what, "price": "10"}
    if name == "Cart Updated":
        properties = {"products": [properties] if number % 2 else []}
    at = START + dt.timedelta(days=days * 11)
    return Happened(DANA, at, number, 10, "track", name, "live", True, (), properties | ({"cart_id": key} if key else {}), {}, {}, at)


def plain(carts: list[cart.CartState]) -> list[object]:
    return sorted((c.key, c.status, c.opened_at, c.changed_at, str(c.closed_at), str(c.items), str(c.order_id), c.recovered) for c in carts)


@settings(max_examples=600)
@given(said=events, late=st.integers(0, 11))
@example(said=[(0, "Product Added", "cup", None), (4, "Product Added", "pot", None), (3, "Order Completed", "cup", None)], late=2)
@example(said=[(0, "Product Added", "cup", None), (4, "Order Completed", "pot", None), (3, "Product Added", "pot", None)], late=2)
def test_folding_again_from_where_the_carts_of_then_began_is_folding_all(said, late):
    every = [happened(n, *each) for n, each in enumerate(said)]
    missing = every[late % len(every)]
    before = cart.fold(DANA, [e for e in every if e is not missing], "ILS")
    since = cart.anew_from(before, missing.occurred_at)
    assert since <= missing.occurred_at
    carts = [c for c in before if c.opened_at < since]
    for event in sorted((e for e in every if e.occurred_at >= since), key=lambda e: e.order):
        cart.apply(carts, event, "ILS")
    assert plain(carts) == plain(cart.fold(DANA, every, "ILS"))
