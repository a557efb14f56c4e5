"""What an event says as a sum, a price, a stock or a currency must be one: what is none is said at once, not counted as something else later. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from crm.events import goods
from crm.events.source import HeldError

LIMIT = Decimal(10) ** 13  # beyond numeric(20,6)
MOST_ITEMS = 200  # lines of an order that are looked at
_ORDER, _LINE = ("revenue", "subtotal", "total", "shipping", "tax", "discount"), ("price", "quantity")
_OF: Mapping[str, Sequence[str]] = {
    "Product Added": (),  # what a cart is opened by says its currency; a line without a readable price is worth nothing
    "Cart Updated": (),
    "Order Completed": _ORDER,
    "Order Updated": _ORDER,
    "Order Refunded": ("refund", "amount", "total", "revenue"),
    goods.UPDATED: ("price", "stock"),
    goods.STOCK: ("stock",),
    goods.PRICE: ("price",),
}
SIGNS = dict.fromkeys(("₪", "NIS", 'ש"ח', "ש״ח", "שח", "שקל"), "ILS") | {"€": "EUR"}


def number(value: Any) -> Decimal | None:
    """A number or a text of one; None where it is none or beyond numeric(20,6)."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        return None
    try:
        found = Decimal(str(value).strip())
    except InvalidOperation:
        return None
    return found if found.is_finite() and abs(found) < LIMIT else None


def unit(value: Any) -> str | None:
    """A currency as three capital letters; None where it is none. A sign is one where it stands for one currency only, as ₪ does and $ does not."""
    said = value.strip().upper() if isinstance(value, str) else ""
    return SIGNS.get(said) or (said if len(said) == 3 and said.isascii() and said.isalpha() else None)


def check(name: str, properties: Mapping[str, Any] | None) -> None:
    """HeldError for the first sum, price, stock or currency of an event that is none; what is missing or empty says nothing."""
    if not properties or name not in _OF:
        return
    if name != goods.STOCK and not _empty(money := properties.get("currency")) and unit(money) is None:
        raise HeldError("odd_value", "no_currency", field="currency", event=name, value=str(money)[:60])
    for field, value in _said(name, properties):
        if _empty(value):
            continue
        found = number(value)
        if field == "stock" and (found is None or found != int(found)):
            raise HeldError("odd_value", "no_count", field=field, event=name, value=str(value)[:60])
        if found is None or (found < 0 and name in goods.NAMES and field == "price"):
            raise HeldError("odd_value", "no_sum", field=field, event=name, value=str(value)[:60])


def _empty(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _said(name: str, properties: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What an event says in numbers; an order's lines only where nothing else says its worth."""
    for field in _OF[name]:
        yield field, properties.get(field)
    lines = properties.get("products")
    if _OF[name] is _ORDER and isinstance(lines, list) and all(properties.get(field) is None for field in _ORDER[:3]):
        for place, line in enumerate(lines[:MOST_ITEMS]):
            if isinstance(line, dict):
                yield from ((f"products[{place}].{field}", line.get(field)) for field in _LINE)
