"""A person's carts as a function of their events. Pure: the same events in any processing order give the same carts."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from crm.commerce.money import ZERO, amount, currency, plain
from crm.events.spec import Happened

CHANGES = ("Product Added", "Product Removed", "Cart Updated")
EVENTS = (*CHANGES, "Order Completed")
ABANDONED_AFTER = dt.timedelta(hours=1)
EXPIRES_AFTER = dt.timedelta(days=30)  # a cart without an id that lay this long is not continued but replaced
MAX_ITEMS = 200


@dataclass(slots=True)
class CartState:
    """One cart; `items` by line key, in the order they came in."""

    profile_id: uuid.UUID
    source_id: int
    key: str
    currency: str
    opened_at: dt.datetime
    changed_at: dt.datetime
    items: dict[str, dict[str, Any]] = field(default_factory=dict)
    status: str = "open"
    closed_at: dt.datetime | None = None
    order_id: str | None = None
    recovered: bool = False

    @property
    def named(self) -> bool:
        """Has an id of the shop's own."""
        return not self.key.startswith("~")

    @property
    def value(self) -> Decimal:
        """Sum of price times quantity."""
        return sum((Decimal(item["price"]) * Decimal(item["quantity"]) for item in self.items.values() if item.get("price")), ZERO)

    def close(self, status: str, at: dt.datetime) -> None:
        """End as ordered, emptied or expired."""
        self.status, self.closed_at = status, at


def cart_id(properties: dict[str, Any]) -> str | None:
    """The shop's own id of a cart, where an event carries one."""
    value = properties.get("cart_id") or properties.get("cartId")
    return str(value)[:200].lstrip("~") or None if isinstance(value, str | int) and not isinstance(value, bool) else None


def apply(carts: list[CartState], event: Happened, default_currency: str) -> None:
    """Fold one event of one person into that person's carts. Events must come in the person's order."""
    if event.name == "Order Completed":
        _ordered(carts, event)
    elif event.name in CHANGES:
        _changed(carts, event, default_currency)


def fold(profile_id: uuid.UUID, events: Iterable[Happened], default_currency: str) -> list[CartState]:
    """All carts of a person from all events, sorted by the person's order."""
    carts: list[CartState] = []
    for event in sorted(events, key=lambda e: e.order):
        if event.profile_id == profile_id:
            apply(carts, event, default_currency)
    return carts


def state_of(row: Any) -> CartState:
    """A cart out of its row."""
    return CartState(row.profile_id, row.source_id, row.key, row.currency, row.opened_at, row.changed_at, {line_key(i): i for i in row.items},
                     row.status, row.closed_at, row.order_id, row.recovered)  # fmt: skip


def anew_from(carts: Sequence[CartState], at: dt.datetime) -> dt.datetime:
    """From when on a person's events are folded again if one more happened `at`: what stood before then stands as it is. Items are not looked at."""
    since = at
    while (earlier := min((c.opened_at for c in carts if c.opened_at < since and _reaches(c, since, carts)), default=since)) < since:
        since = earlier
    return since


def _reaches(cart: CartState, since: dt.datetime, carts: Sequence[CartState]) -> bool:
    """Whether something from `since` on made it what it is. What ended an expired one was there when the next without an id was opened."""
    if cart.status == "expired" and cart.closed_at is not None:
        return not any(not other.named and cart.closed_at < other.opened_at < since for other in carts)
    return max(cart.changed_at, cart.closed_at or cart.changed_at) >= since


def find(carts: Iterable[CartState], source_id: int, key: str | None, at: dt.datetime) -> CartState | None:
    """The cart an event of that moment belongs to: by the shop's id, else the nameless one that was open then."""
    if key is not None:
        return next((c for c in carts if c.key == key and c.source_id == source_id), None)
    return next((c for c in carts if not c.named and c.opened_at <= at and (c.closed_at is None or at <= c.closed_at)), None)


def _changed(carts: list[CartState], event: Happened, default_currency: str) -> None:
    lines = _lines(event)
    cart = _open(carts, event, lines, default_currency)
    if cart is None:
        return
    if event.name == "Cart Updated":
        cart.items = {key: line for key, line in lines.items() if Decimal(line["quantity"]) > 0}
    else:
        for key, line in lines.items():
            _change(cart, key, line, add=event.name == "Product Added")
    cart.changed_at = event.occurred_at
    if cart.items:
        cart.status, cart.closed_at = "open", None
    else:
        cart.close("emptied", event.occurred_at)


def _open(carts: list[CartState], event: Happened, lines: dict[str, Any], default_currency: str) -> CartState | None:
    """The cart this change is about; a new one where there is none and something comes in."""
    key = cart_id(event.properties)
    cart = next((c for c in carts if c.key == key and c.source_id == event.source_id), None) if key else next(
        (c for c in carts if not c.named and c.status == "open"), None
    )  # fmt: skip
    if cart is not None and not cart.named and event.occurred_at - cart.changed_at > EXPIRES_AFTER:
        cart.close("expired", cart.changed_at + EXPIRES_AFTER)
        cart = None
    if cart is None and event.name != "Product Removed" and lines:
        name = key or f"~{int(event.occurred_at.timestamp() * 1000)}.{event.accepted}"
        money = currency(event.properties.get("currency"), default_currency)
        cart = CartState(event.profile_id, event.source_id, name, money, event.occurred_at, event.occurred_at)
        carts.append(cart)
    return None if cart is not None and cart.status == "ordered" else cart


def _change(cart: CartState, key: str, line: dict[str, Any], *, add: bool) -> None:
    there = cart.items.get(key)
    count = Decimal(line.get("quantity") or 1)
    if add and there is None:
        if len(cart.items) < MAX_ITEMS:
            cart.items[key] = line
    elif add and there is not None:
        cart.items[key] = there | line | {"quantity": plain(Decimal(there["quantity"]) + count)}
    elif there is not None:
        left = Decimal(there["quantity"]) - count
        if left > 0 and line.get("quantity_said"):
            cart.items[key] = there | {"quantity": plain(left)}
        else:
            del cart.items[key]


def _ordered(carts: list[CartState], event: Happened) -> None:
    """An order closes its cart; one that names no cart closes every open one, since a nag after a purchase is worse than a missed reminder."""
    key = cart_id(event.properties)
    for cart in carts:
        if cart.status == "open" and (key is None or not cart.named or cart.key == key):
            cart.recovered = event.occurred_at - cart.changed_at >= ABANDONED_AFTER
            cart.order_id = order_id(event)
            cart.close("ordered", event.occurred_at)


def order_id(event: Happened) -> str | None:
    """The shop's number of an order."""
    value = event.properties.get("order_id") or event.properties.get("orderId")
    return str(value)[:200] if isinstance(value, str | int) and not isinstance(value, bool) else None


def _lines(event: Happened) -> dict[str, dict[str, Any]]:
    said = event.properties
    several = said.get("products")
    raw = [p for p in several if isinstance(p, dict)] if isinstance(several, list) else [said]
    return {line_key(line): line for item in raw[:MAX_ITEMS] if (line := item_line(item))}


def line_key(line: Mapping[str, Any]) -> str:
    """What makes two lines of a cart one: the product (or its sku) and the variant."""
    return f"{line.get('product_id') or line.get('sku')}|{line.get('variant', '')}"


def item_line(item: dict[str, Any]) -> dict[str, Any] | None:
    """A product as an event names it, in our words; None where it has neither id nor sku. Prices and quantities are text."""
    line = {name: str(item[name])[:500] for name in _TEXTS if isinstance(item.get(name), str | int) and not isinstance(item.get(name), bool)}
    if not (line.get("product_id") or line.get("sku")):
        return None
    price, quantity = amount(item.get("price")), amount(item.get("quantity"))
    if price is not None and price >= 0:
        line["price"] = plain(price)
    line["quantity"] = plain(quantity) if quantity is not None and quantity >= 0 else "1"
    return line | {"quantity_said": True} if quantity is not None else line


_TEXTS = ("product_id", "variant_id", "sku", "variant", "name", "category", "brand", "url", "image_url")
