"""Today's visitors, played slowly for as long as the demo runs."""

from __future__ import annotations

import datetime as dt
import heapq
import itertools
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from workers.demo.calendar import demand
from workers.demo.catalogue import PRODUCTS
from workers.demo.door import Door
from workers.demo.people import KNOWN, Shopper, shoppers
from workers.demo.shelves import Shelves
from workers.demo.visit import Visit, intent
from workers.demo.year import ZONE

EVERY_S = 6.0  # a visitor on an ordinary day
FASTER = 10.0  # than life: a visit of two minutes takes twelve seconds
LAST = 3600.0  # seconds: what would come later than this (a refund) is not played
FIRST = 6  # visitors who fill a cart and go, so that there is soon a mail to see
MOST = 400  # calls that may wait; while the web process is away no more visitors come
BATCH = 50


@dataclass
class Player:
    """Visits in progress, as calls by the time they are due (seconds of a steady clock)."""

    door: Door
    seed: int
    now: Callable[[], dt.datetime]
    steady: Callable[[], float] = time.monotonic
    shelves: Shelves | None = None
    due: list[tuple[float, int, bool, dict[str, Any]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        started = self.now()
        self._name = f"{started:%y%m%d%H%M%S}"
        self._chance = Random(f"live {self.seed} {started.isoformat()}")
        self._people = shoppers(self.seed, len(PRODUCTS))
        self._weights = [shopper.weight for shopper in self._people]
        self._numbers, self._next, self._came = itertools.count(1), self.steady(), 0

    def play(self, seconds: float | None = None) -> None:
        """Go on for so long, or for ever."""
        end = None if seconds is None else self.steady() + seconds
        while end is None or self.steady() < end:
            self.step()
            time.sleep(0.5)

    def step(self) -> int:
        """Let in who comes now and send what is due; returns how many calls were sent."""
        clock = self.steady()
        while self._next <= clock and len(self.due) < MOST:
            self._let_in(clock)
            pace = EVERY_S / min(2.0, max(0.5, demand(self.now().astimezone(ZONE).date())))
            self._next = max(clock, self._next) + self._chance.expovariate(1 / pace)
        ready: dict[bool, list[dict[str, Any]]] = {False: [], True: []}
        while self.due and self.due[0][0] <= clock:
            _, _, server, call = heapq.heappop(self.due)
            ready[server].append(call)
        if self.shelves:
            sold = [call["properties"] for call in ready[True] if call.get("event") == "Order Completed"]
            ready[True] += [told for order in sold for told in self.shelves.sold(order)]
            ready[True] += self.shelves.happens(clock)
        for server, calls in ready.items():
            for start in range(0, len(calls), BATCH):
                self._send(calls[start : start + BATCH], server=server)
        return sum(map(len, ready.values()))

    def _let_in(self, clock: float) -> None:
        self._came += 1
        first = self._came <= FIRST
        shopper = self._first() if first else self._chance.choices(self._people, self._weights)[0]
        takes, orders = (True, False) if first else intent(self._chance, shopper)
        signs_in = shopper.known and (first or orders or self._chance.random() < 0.6)
        today = self.now().astimezone(ZONE).date()
        gone = self.shelves.gone if self.shelves else frozenset()
        visit = Visit(shopper, f"{self._name}-{self._came}", self.door.base_url, signs_in, takes, orders, shopper.traits(today), gone)
        if signs_in and shopper.consents and takes:
            self.door.consent(shopper.email, language=shopper.language, granted=True)
        calls = visit.calls(self._chance)
        calls += self.shelves.missed(calls, self._chance) if self.shelves else ()
        for said in calls:
            if said.after < LAST:
                heapq.heappush(self.due, (clock + said.after / FASTER, next(self._numbers), said.server, said.call))

    def _first(self) -> Shopper:
        agreed = [shopper for shopper in self._people[:KNOWN] if shopper.consents]
        return self._chance.choice(agreed)

    def _send(self, calls: list[dict[str, Any]], *, server: bool) -> None:
        moment = self.now().isoformat()
        self.door.batch([{**call, "timestamp": moment, "messageId": f"demo-live-{uuid.uuid4()}"} for call in calls], server=server, sent_at=moment)
