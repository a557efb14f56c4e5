"""Typed comparisons."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from journeys.node import CartFact, RunEvent
from journeys.rules import Condition, Criterion, compare

NOW = dt.datetime(2026, 11, 23, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("op", "found", "wanted", "holds"),
    [
        ("is", "He", "he", True),
        ("is", "10", 10, True),
        ("is", 10, "10.00", True),
        ("is", True, True, True),
        ("is", 1, True, False),
        ("is", None, "x", False),
        ("is_not", None, "x", True),
        ("more_than", "100.10", 100.1, False),
        ("more_than", "100.11", 100.1, True),
        ("at_least", 9, "10", False),
        ("more_than", "many", 1, False),
        ("less_than", None, 1, False),
        ("more_than", True, 0, False),
        ("contains", "Blue Vase", "vase", True),
        ("contains", ["a", "B"], "b", True),
        ("contains", None, "b", False),
        ("exists", "", None, False),
        ("missing", None, None, True),
        ("before", "2026-01-01T00:00:00+02:00", "2026-01-01T00:00:00Z", True),
        ("after", "yesterday", "2026-01-01", False),
        ("more_than", "NaN", 1, False),
    ],
)
def test_values_compare_by_type(op: str, found: object, wanted: object, holds: bool) -> None:
    assert compare(op, found, wanted) is holds


@pytest.mark.parametrize("plain", [{"op": "is"}, {"name": "x", "op": "more_than", "value": "many"}, {"name": "x", "op": "before", "value": 3}])
def test_a_condition_that_cannot_be_judged_is_refused(plain: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Condition.model_validate(plain)


def test_each_place_is_looked_into() -> None:
    event = RunEvent("Order Completed", NOW, 1, 10, {"shipping": {"city": "Haifa"}})
    cart = CartFact(10, "c", "open", 2, Decimal("150"), "ILS", NOW)
    conditions = [
        Criterion(of="event", name="shipping.city", op="is", value="haifa"),
        Criterion(of="trait", name="vip", op="is", value=True),
        Criterion(of="language", op="is", value="he"),
        Criterion(of="cart", name="value", op="at_least", value=150),
    ]
    assert all(each.holds(event, {"vip": True}, "he", cart) for each in conditions)
    assert not any(each.holds(RunEvent("x", NOW, 1, 10, {}), {}, "en", None) for each in conditions)
