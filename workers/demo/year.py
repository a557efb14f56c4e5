"""A year of the shop as lines of Segment calls, always the same for one seed and day."""

from __future__ import annotations

import datetime as dt
import itertools
import math
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

from crm.core.json import dumps
from workers.demo.calendar import demand, hours
from workers.demo.catalogue import PRODUCTS
from workers.demo.people import Shopper, shoppers
from workers.demo.visit import Visit, intent

DAYS = 365
VISITS = 30.0  # on an ordinary day
SIGNS_IN = 0.25  # of visits in which nothing is ordered
ZONE = ZoneInfo("Asia/Jerusalem")


def write(path: Path, *, seed: int, anchor: dt.date, base_url: str) -> int:
    """Write the year before `anchor` as JSON lines; the file appears whole or not at all. Returns the number of lines."""
    part, count = path.with_suffix(".part"), 0
    with part.open("w", encoding="utf-8") as out:
        for call in calls(seed=seed, anchor=anchor, base_url=base_url):
            out.write(dumps(call) + "\n")
            count += 1
    part.replace(path)
    return count


def calls(*, seed: int, anchor: dt.date, base_url: str) -> Iterator[dict[str, Any]]:
    """Every call of the year, visit by visit, with time and messageId."""
    chance = Random(f"year {seed} {anchor}")
    people = sorted(shoppers(seed, len(PRODUCTS)), key=lambda shopper: -shopper.joined)
    end = dt.datetime.combine(anchor, dt.time(), ZONE)
    numbers = itertools.count(1)
    here: list[Shopper] = []
    for ago in range(DAYS, 0, -1):
        day = anchor - dt.timedelta(days=ago)
        new = [shopper for shopper in people[len(here) :] if shopper.joined >= ago]
        here += new
        for shopper, is_new in _visitors(chance, day, here, new):
            begin = _moment(chance, day)
            takes, orders = intent(chance, shopper)
            signs_in = shopper.known and (is_new or orders or chance.random() < SIGNS_IN)
            visit = Visit(shopper, f"{seed}-{next(numbers)}", base_url, signs_in, takes, orders, shopper.traits(anchor))
            yield from _dated(visit, chance, begin, end)


def _visitors(chance: Random, day: dt.date, here: list[Shopper], new: list[Shopper]) -> Iterator[tuple[Shopper, bool]]:
    yield from ((shopper, True) for shopper in new)
    expected = VISITS * demand(day) * min(1.0, 0.35 + len(here) / 1500)
    count = max(0, round(chance.gauss(expected, math.sqrt(expected))))
    if here:
        yield from ((shopper, False) for shopper in chance.choices(here, [shopper.weight for shopper in here], k=count))


def _moment(chance: Random, day: dt.date) -> dt.datetime:
    hour = chance.choices(range(24), hours(day))[0]
    return dt.datetime.combine(day, dt.time(hour, chance.randrange(60), chance.randrange(60)), ZONE)


def _dated(visit: Visit, chance: Random, begin: dt.datetime, end: dt.datetime) -> Iterator[dict[str, Any]]:
    for number, said in enumerate(visit.calls(chance)):
        moment = begin + dt.timedelta(seconds=said.after)
        if moment < end:
            yield {**said.call, "timestamp": moment.isoformat(), "messageId": f"demo-{visit.name}-{number}"}
