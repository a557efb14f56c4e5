"""One visit to the shop as a list of calls: what somebody looks at, takes, orders or leaves behind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from random import Random
from typing import Any

from workers.demo.catalogue import PRODUCTS, Product
from workers.demo.people import Shopper

TAKES = 0.34  # of visits put something into the cart
GOES_BACK = 0.035  # of orders are refunded, in part
EMPTIED = 0.85  # of carts left behind
DAY = 86_400.0  # seconds


@dataclass(frozen=True, slots=True)
class Said:
    """One call: how long after the visit began, who says it (the shop's server or the browser), and what."""

    after: float  # seconds
    server: bool
    call: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Visit:
    """Who comes, with which intent; `name` makes carts and orders of this visit unique."""

    shopper: Shopper
    name: str
    base_url: str
    signs_in: bool
    takes: bool
    orders: bool
    traits: dict[str, Any]
    gone: frozenset[str] = frozenset()  # what cannot be taken

    def calls(self, chance: Random) -> list[Said]:
        """In the order they happen."""
        seen = self._looked_at(chance)
        said = [*self._browsing(chance, seen)]
        clock = said[-1].after
        if self.signs_in:
            clock += chance.uniform(4, 20)
            said.append(Said(clock, True, {"type": "identify", "userId": self.shopper.user_id, "anonymousId": self.shopper.device, "traits": self.traits}))
        if self.takes:
            said += self._shopping(chance, seen, clock)
        return said

    def _looked_at(self, chance: Random) -> list[Product]:
        liked = [PRODUCTS[place] for place in self.shopper.favourites]
        count = 1 + min(6, int(chance.expovariate(0.45)))
        return [chance.choice(liked) if chance.random() < 0.6 else chance.choice(PRODUCTS) for _ in range(count)]

    def _browsing(self, chance: Random, seen: list[Product]) -> Iterator[Said]:
        clock, language = 0.0, self.shopper.language
        home = {"url": f"https://shop.example.com/{language}", "path": f"/{language}", "title": "מתנות מכאן" if language == "he" else "Gifts from here"}
        yield self._browser(clock, {"type": "page", "name": "Home"}, home)
        for product in seen:
            clock += chance.uniform(5, 70)
            yield self._browser(clock, {"type": "track", "event": "Product Viewed"}, product.properties(self.base_url, language))

    def _shopping(self, chance: Random, seen: list[Product], clock: float) -> Iterator[Said]:
        cart_id = f"cart-{self.name}"
        lines = [(product, chance.choices((1, 2, 3), (80, 15, 5))[0]) for product in list(dict.fromkeys(seen))[: chance.choices((1, 2, 3), (55, 30, 15))[0]]]
        lines = [(product, quantity) for product, quantity in lines if product.sku not in self.gone]
        if not lines:
            return
        for product, quantity in lines:
            clock += chance.uniform(3, 40)
            line = {**product.properties(self.base_url, self.shopper.language), "quantity": quantity, "cart_id": cart_id}
            yield self._browser(clock, {"type": "track", "event": "Product Added"}, line)
        if not self.orders:
            yield from self._changes_mind(chance, clock, cart_id, lines)
            return
        clock += chance.uniform(10, 60)
        yield self._browser(clock, {"type": "track", "event": "Checkout Started"}, {"cart_id": cart_id, "currency": "ILS", "value": str(_sum(lines))})
        clock += chance.uniform(20, 90)
        yield self._order(chance, clock, cart_id, lines)
        if chance.random() < GOES_BACK:
            product, quantity = chance.choice(lines)
            back = {"order_id": f"order-{self.name}", "refund_id": f"refund-{self.name}", "currency": "ILS", "total": str(product.price * quantity)}
            yield self._server(clock + chance.uniform(3, 12) * DAY, "Order Refunded", back)

    def _changes_mind(self, chance: Random, clock: float, cart_id: str, lines: list[tuple[Product, int]]) -> Iterator[Said]:
        """Most carts left behind are emptied some days later."""
        if chance.random() < EMPTIED:
            clock += chance.uniform(1, 9) * DAY
            for product, quantity in lines:
                clock += chance.uniform(3, 30)
                line = {**product.properties(self.base_url, self.shopper.language), "quantity": quantity, "cart_id": cart_id}
                yield self._browser(clock, {"type": "track", "event": "Product Removed"}, line)

    def _order(self, chance: Random, clock: float, cart_id: str, lines: list[tuple[Product, int]]) -> Said:
        subtotal = _sum(lines)
        discount = (subtotal / 10).quantize(Decimal("0.01")) if chance.random() < 0.15 else Decimal(0)
        shipping = Decimal(0) if subtotal >= 250 else Decimal(29)
        products = [{**product.properties(self.base_url, self.shopper.language), "quantity": quantity} for product, quantity in lines]
        paid = {"order_id": f"order-{self.name}", "cart_id": cart_id, "currency": "ILS", "subtotal": str(subtotal), "discount": str(discount),
                "shipping": str(shipping), "revenue": str(subtotal - discount), "total": str(subtotal - discount + shipping), "products": products}  # fmt: skip
        return self._server(clock, "Order Completed", paid)

    def _browser(self, clock: float, call: dict[str, Any], properties: dict[str, Any]) -> Said:
        locale = "he-IL" if self.shopper.language == "he" else "en-US"
        return Said(clock, False, {**call, "anonymousId": self.shopper.device, "context": {"locale": locale}, "properties": properties})

    def _server(self, clock: float, name: str, properties: dict[str, Any]) -> Said:
        return Said(clock, True, {"type": "track", "event": name, "userId": self.shopper.user_id, "anonymousId": self.shopper.device, "properties": properties})


def intent(chance: Random, shopper: Shopper) -> tuple[bool, bool]:
    """Whether the visitor takes something, and whether the cart is ordered."""
    takes = chance.random() < TAKES
    return takes, takes and shopper.known and chance.random() < shopper.buys


def _sum(lines: list[tuple[Product, int]]) -> Decimal:
    return sum((product.price * quantity for product, quantity in lines), Decimal(0))
