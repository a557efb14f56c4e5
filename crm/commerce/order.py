"""An order as a function of the reports about it. Pure; of the most trusted reports the newest wins, each refund counts once.

What a public key says never contradicts what the shop's own systems said: it fills what nobody else has told, and gives way once they do.
"""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from crm.commerce.cart import MAX_ITEMS, item_line, order_id
from crm.commerce.money import ZERO, amount, currency, plain
from crm.events.spec import BROWSER, Happened

REPORTS = ("Order Completed", "Order Updated")
EVENTS = (*REPORTS, "Order Refunded", "Order Cancelled")
FULL = "full"  # a refund that names no amount
Version = tuple[int, dt.datetime, int]  # trust, time, number of acceptance
Refund = list[Any]  # [amount as text or `full`, trust, epoch ms, number of acceptance]


@dataclass(slots=True)
class OrderState:
    """One order of one source. `refunds`: refund key -> what was said of it with the most trust, and of that last."""

    source_id: int
    order_id: str
    profile_id: uuid.UUID
    currency: str
    version: Version
    revenue: Decimal = ZERO
    total: Decimal | None = None
    refunds: dict[str, Refund] = field(default_factory=dict)
    items: list[dict[str, Any]] = field(default_factory=list)
    ordered_at: dt.datetime | None = None
    cancelled_at: dt.datetime | None = None
    reported: bool = False  # a report has filled it, not only a refund or a cancellation
    ordered_trust: int = BROWSER
    vouched: bool = False  # somebody other than a public key spoke of it

    @property
    def refunded(self) -> Decimal:
        """What went back; a full refund or a cancellation gives back all of it."""
        amounts = [refund[0] for refund in self.refunds.values()]
        if self.cancelled_at is not None or FULL in amounts:
            return max(self.revenue, ZERO)
        return sum((Decimal(text) for text in amounts), ZERO)


def natural_key(event: Happened) -> tuple[int, str] | None:
    """Under what an order counts once for ever; None where the event names none."""
    number = order_id(event)
    return (event.source_id, number) if event.name in EVENTS and number else None


def apply(order: OrderState | None, event: Happened, default_currency: str) -> OrderState:
    """Fold one report, refund or cancellation into an order, in any order of processing."""
    money = currency(event.properties.get("currency"), default_currency)
    if order is None:
        order = OrderState(event.source_id, order_id(event) or "", event.profile_id, money, _version(event))
    if event.trust > BROWSER and not order.vouched:
        _vouch(order, event)
    if not order.reported and _is_first_word(event, order.version):
        order.version, order.currency = _version(event), money  # until a report comes, the earliest word counts
    if event.name in REPORTS:
        _report(order, event, money)
    elif order.vouched and event.trust == BROWSER:
        return order  # nobody gives money back or cancels by a public key
    elif event.name == "Order Refunded":
        _refund(order, event)
    elif order.cancelled_at is None or event.occurred_at < order.cancelled_at:
        order.cancelled_at = event.occurred_at
    return order


def _version(event: Happened) -> Version:
    return event.trust, event.occurred_at, event.accepted


def _is_first_word(event: Happened, version: Version) -> bool:
    return (-event.trust, event.occurred_at, event.accepted) < (-version[0], version[1], version[2])


def _vouch(order: OrderState, event: Happened) -> None:
    """The first word with trust: from here on the order is whose it says, and what public keys took off it counts no more."""
    order.vouched, order.profile_id, order.cancelled_at = True, event.profile_id, None
    order.refunds = {}


def _report(order: OrderState, event: Happened, money: str) -> None:
    if event.name == "Order Completed" and (order.ordered_at is None or (-event.trust, event.occurred_at) < (-order.ordered_trust, order.ordered_at)):
        order.ordered_at, order.ordered_trust = event.occurred_at, event.trust
    if order.reported and _version(event) <= order.version:
        return
    order.version, order.reported, order.currency = _version(event), True, money
    order.total = amount(event.properties.get("total"))
    order.revenue = revenue(event.properties)
    products = event.properties.get("products")
    lines = [item_line(p) for p in products[:MAX_ITEMS] if isinstance(p, dict)] if isinstance(products, list) else []
    order.items = [line for line in lines if line]


def _refund(order: OrderState, event: Happened) -> None:
    said = event.properties.get("refund_id") or event.message_id or event.accepted
    back = next((found for name in ("refund", "amount", "total", "revenue") if (found := amount(event.properties.get(name))) is not None), None)
    key, mine = str(said)[:200], [event.trust, int(event.occurred_at.timestamp() * 1000), event.accepted]
    if key not in order.refunds or order.refunds[key][1:] < mine:
        order.refunds[key] = [FULL if back is None else plain(abs(back)), *mine]


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
