"""What a backtest counts, per range of people and together: sums that add up, and the report made of them. Pure."""

from __future__ import annotations

import datetime as dt
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from crm.events.models import LIVE
from crm.events.spec import Happened
from journeys.backtest_cast import Case
from journeys.backtest_gate import Fate, Wish
from journeys.graph import Graph
from journeys.node import CartFact, Effect, RunEvent, SendMessage
from journeys.passage import Passage

ITSELF = "itself"
CROWDED = ("people", "days", "most")  # people with too many messages on a day, such days, and the most on one
COUNTERS = ("runs", "edges", "standing", "ends", "refused", "sent", "held", "did", "errors", "crowded", "with")


class Sums:
    """Counters of one journey by what they count; `with` and `crowded` are about the others beside it."""

    def __init__(self, stored: Mapping[str, Mapping[str, int]] | None = None) -> None:
        self.by: dict[str, Counter[str]] = {name: Counter((stored or {}).get(name, {})) for name in COUNTERS}

    def add(self, other: Sums) -> None:
        """Take over another's counts."""
        for name, counter in other.by.items():
            self.by[name].update(counter)

    def stored(self) -> dict[str, dict[str, int]]:
        """As JSON."""
        return {name: dict(counter) for name, counter in self.by.items()}


class Counting:
    """The sink of one batch of people: counts for the journey in question, keeps every journey's wishes for the gate."""

    def __init__(self, sums: Sums, journey_id: int) -> None:
        self.sums, self.journey_id = sums, journey_id
        self.wishes: list[Wish] = []
        self.people: set[uuid.UUID] = set()
        self.events = self.imported = 0

    def heard(self, events: Sequence[Happened], begins: dt.datetime) -> None:
        """Events of the period, and how many of them were imported."""
        for event in events:
            if event.occurred_at >= begins:
                self.events += 1
                self.imported += event.origin != LIVE

    def started(self, case: Case, run: Passage) -> None:
        """One more run, perhaps one more person."""
        if case.journey_id == self.journey_id:
            self.sums.by["runs"]["started"] += 1
            self.people.add(run.profile_id)

    def refused(self, case: Case, event: Happened, reason: str, at: dt.datetime) -> None:
        """By reason."""
        del event, at
        if case.journey_id == self.journey_id:
            self.sums.by["refused"][reason] += 1

    def moved(self, run: Passage, at: dt.datetime) -> None:
        """Ways taken, and how it ended."""
        del at
        if run.journey_id != self.journey_id:
            return
        for step in run.passed:
            self.sums.by["edges"][f"{step.node}/{step.exit}"] += 1
        if not run.active:
            self.sums.by["ends"][f"{run.node}/{run.end_reason}"] += 1
            if run.error:
                self.sums.by["errors"][": ".join(run.error.split(": ")[:2])] += 1  # where and what kind; the rest may quote a person's data

    def wants(self, run: Passage, node: str, effect: Effect, at: dt.datetime, cart: CartFact | None) -> None:
        """A message is kept for the gate; what else a node does is counted by the node."""
        if isinstance(effect, SendMessage):
            about = _about(run.start, cart) if effect.while_cart_open else ""
            waits = (cart is not None and cart.status == "open" and cart.items > 0) if effect.while_cart_open else None
            self.wishes.append(Wish(run.profile_id, run.journey_id, at, effect.channel, effect.template, about, waits))
        elif run.journey_id == self.journey_id:
            self.sums.by["did"][node] += 1

    def over(self, looked_at: int) -> None:
        """Add what was counted apart."""
        self.sums.by["runs"].update(people=looked_at, entrants=len(self.people), events=self.events, imported=self.imported)

    def stands(self, run: Passage) -> None:
        """Under way when the period was over."""
        if run.journey_id == self.journey_id:
            self.sums.by["standing"][run.node] += 1


def _about(start: RunEvent, cart: CartFact | None) -> str:
    return f"{cart.source_id}:{cart.key}" if cart else f"{start.source_id}:{start.accepted}"


@dataclass(frozen=True, slots=True)
class Crowd:
    """Which journey is in question, the names of all that play, whose days count, and how many messages a day are too many."""

    mine: int
    slugs: Mapping[int, str]
    timezone: str
    too_many: int


def count_messages(sums: Sums, fates: Iterable[Fate], crowd: Crowd) -> None:
    """Sent per day and channel, held by reason; and days on which one person would get too many, together with whom."""
    zone, mine = ZoneInfo(crowd.timezone), crowd.mine
    days: dict[uuid.UUID, dict[dt.date, Counter[int]]] = defaultdict(lambda: defaultdict(Counter))
    for fate in fates:
        wish, ours = fate.wish, fate.wish.journey_id == mine
        if ours and fate.reason:
            sums.by["held"][fate.reason] += 1
            sums.by["runs"]["agreed_since"] += fate.agreed_since
        if fate.sent_at is not None:
            day = fate.sent_at.astimezone(zone).date()
            days[wish.profile_id][day][wish.journey_id] += 1
            if ours:
                sums.by["sent"][f"{day.isoformat()}/{wish.channel}"] += 1
    for each in days.values():
        _crowded(sums, each, crowd)


def _crowded(sums: Sums, by_day: Mapping[dt.date, Counter[int]], crowd: Crowd) -> None:
    crowded = [day for day in by_day.values() if day[crowd.mine] and day.total() > crowd.too_many]
    if not crowded:
        return
    sums.by["crowded"].update(people=1, days=len(crowded))
    sums.by["crowded"]["most"] = max(sums.by["crowded"]["most"], *(day.total() for day in crowded))
    for day in crowded:
        others = [crowd.slugs[journey] for journey in day if journey != crowd.mine] or [ITSELF]
        sums.by["with"].update(others)


def together(parts: Iterable[Sums]) -> Sums:
    """All parts as one; the most on one day is a maximum, everything else adds up."""
    whole, most = Sums(), 0
    for part in parts:
        whole.add(part)
        most = max(most, part.by["crowded"]["most"])
    if most:
        whole.by["crowded"]["most"] = most
    return whole


def report(sums: Sums, graph: Graph, prices: Mapping[str, tuple[Decimal, str]], *, too_many: int, notes: Sequence[str]) -> dict[str, Any]:
    """What the screen, the API and the command show."""
    by, runs = sums.by, sums.by["runs"]
    return {
        "people": runs["people"],
        "entrants": runs["entrants"],
        "events": runs["events"],
        "imported": runs["imported"],
        "started": runs["started"],
        "nodes": arrivals(graph, runs["started"], by["edges"]),
        "edges": dict(sorted(by["edges"].items())),
        "standing": dict(by["standing"]),
        "ends": ends(by["ends"]),
        "refused": dict(by["refused"].most_common()),
        "days": by_day(by["sent"]),
        "sent": sum(by["sent"].values()),
        "held": dict(by["held"].most_common()),
        "agreed_since": runs["agreed_since"],
        "did": dict(by["did"]),
        "errors": dict(by["errors"].most_common(5)),
        "cost": cost(by["sent"], prices),
        "collisions": {"too_many": too_many, **{name: by["crowded"][name] for name in CROWDED}, "with": dict(by["with"].most_common())},
        "notes": list(notes),
    }


def arrivals(graph: Graph, started: int, edges: Mapping[str, int]) -> dict[str, int]:
    """How often runs came to each node."""
    found: Counter[str] = Counter({graph.entry: started})
    for name, count in edges.items():
        node, _, way = name.rpartition("/")
        spot = graph.nodes.get(node)
        if spot and way in spot.exits:
            found[spot.exits[way]] += count
    return {name: found[name] for name in graph.nodes}


def ends(counted: Mapping[str, int]) -> dict[str, int]:
    """Ends by reason, wherever they came."""
    found: Counter[str] = Counter()
    for name, count in counted.items():
        found[name.partition("/")[2]] += count
    return dict(found.most_common())


def by_day(sent: Mapping[str, int]) -> dict[str, dict[str, int]]:
    """Day -> channel -> messages, in order of days."""
    found: dict[str, dict[str, int]] = {}
    for name, count in sorted(sent.items()):
        day, _, channel = name.partition("/")
        found.setdefault(day, {})[channel] = count
    return found


def cost(sent: Mapping[str, int], prices: Mapping[str, tuple[Decimal, str]]) -> list[dict[str, Any]]:
    """What the messages of each channel would have cost; a channel without a price says so."""
    channels: Counter[str] = Counter()
    for name, count in sent.items():
        channels[name.partition("/")[2]] += count
    found: list[dict[str, Any]] = []
    for channel, count in sorted(channels.items()):
        price, currency = prices.get(channel, (None, None))
        total = None if price is None else format((price * count).normalize(), "f")
        found.append(
            {"channel": channel, "messages": count, "price": None if price is None else format(price.normalize(), "f"), "currency": currency, "total": total}
        )
    return found
