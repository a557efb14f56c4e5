"""An order told by a page alone: counted as something done, and yielding to the shop's own systems where sums are meant."""

from __future__ import annotations

import datetime as dt

from sqlalchemy.orm import Session

from tests import makers
from tests.segments.test_refresh import CONFIG, make, members
from workers import pipeline

DID = {"kind": "did", "event": "Order Completed"}
OF_TWO = DID | {"of": "distinct", "prop": "order_id", "value": 2}
SPENT = {"kind": "orders", "of": "revenue", "op": "at_least", "value": 100, "currency": "ILS"}


def tell(session: Session, now: dt.datetime, total: int, *, trusted: bool) -> None:
    call = makers.track("Order Completed", {"order_id": "o1", "total": total, "currency": "ILS"}, at=now, user_id="dana")
    pipeline.run(session, [makers.accepted(call, now, trusted=trusted)], now, CONFIG)


def test_a_pages_order_is_something_done_and_the_shops_word_decides_what_was_spent(session: Session, now: dt.datetime) -> None:
    for slug, rule in (("did", DID), ("two", OF_TWO), ("spent", SPENT)):
        make(session, now, slug, rule)
    tell(session, now, 500, trusted=False)
    assert (members(session, "did"), members(session, "two"), members(session, "spent")) == (1, 0, 1)
    tell(session, now, 50, trusted=True)
    assert (members(session, "did"), members(session, "two"), members(session, "spent")) == (1, 0, 0)
