"""How much of each gift there is: two months of stock and prices behind us, and a shelf that empties and fills while the demo runs."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random
from typing import Any

from workers.demo.catalogue import CATEGORIES, PRODUCTS, Product
from workers.demo.door import Door
from workers.demo.people import KNOWN, Shopper, shoppers
from workers.demo.visit import Said

DAYS = 60  # of history
SCARCE, FULL = 8, (18, 60)  # gifts that run out easily; pieces of a delivery of the others
WAIT = (4, 14)  # days until a sold-out gift is delivered again
ASKS = 0.5  # of visitors who look at a sold-out gift
EVERY_S = 40.0  # something happens on a shelf
ASKED = 36  # people who wait when the demo begins
BATCH = 200


@dataclass
class Shelves:
    """What the shop's server knows; the same past for one seed and day."""

    door: Door
    seed: int
    anchor: dt.date
    stock: dict[str, int] = field(default_factory=dict)
    price: dict[str, Decimal] = field(default_factory=dict)
    next_at: float | None = None

    def __post_init__(self) -> None:
        self._chance = Random(f"shelves {self.seed} {self.anchor}")
        self._past = list(self._history())

    def open(self, now: dt.datetime) -> None:
        """Tell the catalogue and its past; a second time adds nothing."""
        self.door.products([self._item(product) for product in PRODUCTS])
        asked = self._past + list(self._asked(now))
        for start in range(0, len(asked), BATCH):
            self.door.batch(asked[start : start + BATCH], server=True, sent_at=now.isoformat())

    def happens(self, clock: float) -> Sequence[dict[str, Any]]:
        """What happens on the shelves by now: a delivery, a gift that sells out, a price that falls or goes back."""
        self.next_at = clock + EVERY_S / 2 if self.next_at is None else self.next_at
        if clock < self.next_at:
            return ()
        self.next_at = clock + self._chance.expovariate(1 / EVERY_S)
        gone = [sku for sku, count in self.stock.items() if count == 0]
        turn = self._chance.random()
        if turn < 0.4 and len(gone) > 2:
            return [self._told(self._chance.choice(gone), self._chance.randint(2, 6))]
        if turn < 0.75:
            few = sorted((count, sku) for sku, count in self.stock.items() if count)[:SCARCE]
            return [self._told(self._chance.choice(few)[1], 0)]
        return [self._repriced(self._chance.choice(PRODUCTS))]

    def sold(self, order: dict[str, Any]) -> list[dict[str, Any]]:
        """The shelf after an order."""
        lines = order.get("products") or ()
        return [self._told(line["sku"], max(0, self.stock[line["sku"]] - int(line["quantity"]))) for line in lines]

    def missed(self, said: Sequence[Said], chance: Random) -> Iterator[Said]:
        """Some who look at what is sold out ask to be told."""
        for each in said:
            sku = each.call.get("properties", {}).get("sku")
            if each.call.get("event") == "Product Viewed" and self.stock.get(sku) == 0 and chance.random() < ASKS:
                yield Said(each.after + 4, False, {**each.call, "event": "Back In Stock Requested"})

    @property
    def gone(self) -> frozenset[str]:
        """What is sold out."""
        return frozenset(sku for sku, count in self.stock.items() if count == 0)

    def _item(self, product: Product) -> dict[str, Any]:
        picture = f"{self.door.base_url}/static/demo/{product.sku.lower()}.png"
        return {
            "variant_id": product.sku,
            "product_id": product.sku,
            "name": product.he,
            "category": CATEGORIES[product.category][0],
            "brand": "מתנות מכאן",
            "url": f"https://shop.example.com/he/{product.sku.lower()}",
            "pictures": [picture],
        }

    def _told(self, sku: str, count: int) -> dict[str, Any]:
        self.stock[sku] = count
        return {"type": "track", "event": "Product Stock Changed", "properties": {"sku": sku, "stock": count}}

    def _repriced(self, product: Product) -> dict[str, Any]:
        fallen = self.price.get(product.sku, product.price) < product.price
        self.price[product.sku] = product.price if fallen else (product.price * Decimal("0.85")).quantize(Decimal(1))
        return {"type": "track", "event": "Product Price Changed", "properties": self._priced(product)}

    def _priced(self, product: Product) -> dict[str, Any]:
        return {"sku": product.sku, "price": str(self.price[product.sku]), "currency": "ILS"}

    def _history(self) -> Iterator[dict[str, Any]]:
        """Each gift's two months: what was sold day by day, deliveries, the days without; the last days of some end on an empty shelf."""
        scarce = set(self._chance.sample([product.sku for product in PRODUCTS], SCARCE))
        for product in PRODUCTS:
            full = (3, 9) if product.sku in scarce else FULL
            count, empty_until = self._chance.randint(*full), 0
            self.price[product.sku] = product.price
            yield self._dated(product, DAYS, 0, {"event": "Product Price Changed", "properties": self._priced(product)})
            for ago in range(DAYS, 0, -1):
                if count == 0 and ago <= empty_until:
                    count = self._chance.randint(*full)
                elif count:
                    count = max(0, count - self._chance.choice((0, 0, 0, 1, 1, 2, 3)))
                    empty_until = ago - self._chance.randint(*WAIT) if count == 0 else 0
                if count != self.stock.get(product.sku):
                    self.stock[product.sku] = count
                    yield self._dated(product, ago, 1, {"event": "Product Stock Changed", "properties": {"sku": product.sku, "stock": count}})

    def _dated(self, product: Product, ago: int, minute: int, call: dict[str, Any]) -> dict[str, Any]:
        moment = dt.datetime.combine(self.anchor - dt.timedelta(days=ago), dt.time(7, minute), dt.UTC)
        number = f"demo-shelf-{self.seed}-{self.anchor}-{product.sku}-{ago}-{call['event']}"
        return {"type": "track", **call, "timestamp": moment.isoformat(), "messageId": number}

    def _asked(self, now: dt.datetime) -> Iterator[dict[str, Any]]:
        """Who waits already for what is sold out."""
        people: list[Shopper] = [shopper for shopper in shoppers(self.seed, len(PRODUCTS))[:KNOWN] if shopper.consents]
        gone = sorted(self.gone)
        for number, shopper in enumerate(self._chance.sample(people, ASKED) if gone else ()):
            moment = now - dt.timedelta(hours=self._chance.uniform(1, 48))
            call = {"type": "track", "event": "Back In Stock Requested", "userId": shopper.user_id, "properties": {"sku": gone[number % len(gone)]}}
            yield {**call, "timestamp": moment.isoformat(), "messageId": f"demo-asked-{self.seed}-{self.anchor}-{number}"}
