"""An order as a function of the reports about it. Pure; the newest report wins, each refund counts once."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from crm.commerce.cart import MAX_ITEMS, item_line, order_id
from crm.commerce.money import ZERO, amount, currency, plain
from crm.events.spec import Happened

REPORTS = ("Order Completed", "Order Updated")
EVENTS = (*REPORTS, "Order Refunded", "Order Cancelled")
FULL = "full"  # a refund that names no amount
Version = tuple[dt.datetime, int]


@dataclass(slots=True)
class OrderState:
    """One order of one source. `refunds`: refund key -> amount as text, or `full`."""

    source_id: int
    order_id: str
    profile_id: uuid.UUID
    currency: str
    version: Version
    revenue: Decimal = ZERO
    total: Decimal | None = None
    refunds: dict[str, str] = field(default_factory=dict)
    items: list[dict[str, Any]] = field(default_factory=list)
    ordered_at: dt.datetime | None = None
    cancelled_at: dt.datetime | None = None
    reported: bool = False  # a report has filled it, not only a refund or a cancellation

    @property
    def refunded(self) -> Decimal:
        """What went back; a full refund or a cancellation gives back all of it."""
        if self.cancelled_at is not None or FULL in self.refunds.values():
            return max(self.revenue, ZERO)
        return sum((Decimal(text) for text in self.refunds.values()), ZERO)


def natural_key(event: Happened) -> tuple[int, str] | None:
    """Under what an order counts once for ever; None where the event names none."""
    number = order_id(event)
    return (event.source_id, number) if event.name in EVENTS and number else None


def apply(order: OrderState | None, event: Happened, default_currency: str) -> OrderState:
    """Fold one report, refund or cancellation into an order, in any order of processing."""
    money = currency(event.properties.get("currency"), default_currency)
    if order is None:
        order = OrderState(event.source_id, order_id(event) or "", event.profile_id, money, event.order)
    if not order.reported and event.order < order.version:
        order.version, order.currency = event.order, money  # until a report comes, the earliest word counts
    if event.name in REPORTS:
        _report(order, event, money)
    elif event.name == "Order Refunded":
        _refund(order, event)
    elif order.cancelled_at is None or event.occurred_at < order.cancelled_at:
        order.cancelled_at = event.occurred_at
    return order


def _report(order: OrderState, event: Happened, money: str) -> None:
    if event.name == "Order Completed" and (order.ordered_at is None or event.occurred_at < order.ordered_at):
        order.ordered_at = event.occurred_at
    if order.reported and event.order <= order.version:
        return
    order.version, order.reported, order.currency = event.order, True, money
    order.total = amount(event.properties.get("total"))
    order.revenue = revenue(event.properties)
    products = event.properties.get("products")
    lines = [item_line(p) for p in products[:MAX_ITEMS] if isinstance(p, dict)] if isinstance(products, list) else []
    order.items = [line for line in lines if line]


def _refund(order: OrderState, event: Happened) -> None:
    said = event.properties.get("refund_id") or event.message_id or event.accepted
    back = next((found for name in ("refund", "amount", "total", "revenue") if (found := amount(event.properties.get(name))) is not None), None)
    order.refunds.setdefault(str(said)[:200], FULL if back is None else plain(abs(back)))


def revenue(said: dict[str, Any]) -> Decimal:
    """After discount, without shipping and tax: `revenue`, else `subtotal` less `discount`, else `total` less both, else the sum of the lines."""
    if (given := amount(said.get("revenue"))) is not None:
        return given
    shipping, tax, discount = (amount(said.get(name)) or ZERO for name in ("shipping", "tax", "discount"))
    if (subtotal := amount(said.get("subtotal"))) is not None:
        return subtotal - discount
    if (total := amount(said.get("total"))) is not None:
        return total - shipping - tax
    products = said.get("products")
    lines = [p for p in products if isinstance(p, dict)] if isinstance(products, list) else []
    return sum(((amount(p.get("price")) or ZERO) * (amount(p.get("quantity")) or Decimal(1)) for p in lines), ZERO) - discount
