"""A sum, a price or a stock that is none is said, not counted as nothing."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from crm.events import quarantine, sums
from crm.events.models import QuarantinedCall
from crm.events.quarantine import Holding
from crm.events.source import HeldError, detail_of

ODD = [
    ("Order Completed", {"total": "מאה"}, "total"),
    ("Order Completed", {"revenue": True, "total": 5}, "revenue"),
    ("Order Updated", {"total": "1,200.50"}, "total"),
    ("Order Completed", {"total": 10**20}, "total"),
    ("Order Completed", {"products": [{"price": 5}, {"price": "five"}]}, "products[1].price"),
    ("Order Refunded", {"refund": "חמישים"}, "refund"),
    ("Product Stock Changed", {"sku": "cup", "stock": "חמש"}, "stock"),
    ("Product Stock Changed", {"sku": "cup", "stock": 2.5}, "stock"),
    ("Product Updated", {"sku": "cup", "price": []}, "price"),
    ("Product Price Changed", {"sku": "cup", "price": -1}, "price"),
    ("Order Completed", {"total": 5, "currency": "$"}, "currency"),
    ("Order Completed", {"total": 5, "currency": "shekel"}, "currency"),
    ("Order Refunded", {"refund": 5, "currency": 376}, "currency"),
    ("Product Price Changed", {"sku": "cup", "price": 5, "currency": "דולר"}, "currency"),
    ("Product Added", {"sku": "cup", "price": 5, "currency": "XX1"}, "currency"),
    ("Cart Updated", {"products": [{"sku": "cup"}], "currency": "shekel"}, "currency"),
]
GOOD = [
    ("Order Completed", {"total": "100.50", "tax": None, "discount": ""}),
    ("Order Completed", {"total": 100, "products": [{"price": "see total"}]}),
    ("Order Completed", {"products": ["cup", {"price": 5}, {}]}),
    ("Order Refunded", {"order_id": "o1"}),
    ("Product Stock Changed", {"sku": "cup", "stock": -3}),
    ("Product Updated", {"sku": "cup", "stock": None, "price": " 12.5 "}),
    ("Product Viewed", {"price": "ask us"}),
    ("Order Cancelled", {"total": "מאה"}),
    ("Order Completed", None),
    ("Order Completed", {"total": 5, "currency": " usd "}),
    ("Order Completed", {"total": 5, "currency": ""}),
    ("Product Added", {"sku": "cup", "price": "ask us", "currency": "₪"}),
    ("Product Removed", {"sku": "cup", "currency": "shekel"}),
    ("Product Stock Changed", {"sku": "cup", "stock": 5, "currency": "₪"}),
]


@pytest.mark.parametrize(
    ("said", "meant"), [("₪", "ILS"), (" nis", "ILS"), ('ש"ח', "ILS"), ("שקל", "ILS"), ("€", "EUR"), ("usd", "USD"), ("$", None), ("", None), (5, None)]
)
def test_a_sign_that_stands_for_one_currency_is_that_currency(said: object, meant: str | None) -> None:
    assert sums.unit(said) == meant


@pytest.mark.parametrize(("name", "properties", "field"), ODD)
def test_what_is_no_number_is_named(name: str, properties: dict[str, Any], field: str) -> None:
    with pytest.raises(HeldError) as caught:
        sums.check(name, properties)
    assert caught.value.reason == "odd_value"
    assert detail_of(caught.value.detail)[1]["field"] == field


@pytest.mark.parametrize(("name", "properties"), GOOD)
def test_what_counts_or_says_nothing_passes(name: str, properties: dict[str, Any] | None) -> None:
    sums.check(name, properties)


def test_a_replay_does_not_make_a_number_of_it(session: Session, now: dt.datetime) -> None:
    body = json.dumps({"type": "track", "event": "Order Completed", "userId": "u", "properties": {"total": "מאה"}})
    quarantine.hold(session, [Holding(now, 10, True, "live", None, "odd_value", "Because.", body)])
    (held,) = session.scalars(select(QuarantinedCall.id))
    done = quarantine.replay(session, ids=[held], now=now)
    assert done.count == 0
    assert "מאה" in str(done.refused[held])
