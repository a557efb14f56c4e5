"""Who plays in a backtest: the journeys, the person as known by then, and who hears what happened."""

from __future__ import annotations

import datetime as dt
import uuid
from bisect import insort
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from crm.commerce import cart
from crm.commerce.cart import CartState
from crm.events.models import LIVE, SYSTEM_SOURCE
from crm.events.spec import Happened
from crm.profiles import fold
from crm.profiles.people import Person
from journeys.facts import CartLife
from journeys.graph import Graph
from journeys.looking import criteria
from journeys.node import CartFact, Effect
from journeys.nodes.send import SendSettings
from journeys.passage import Passage
from journeys.triggers.date import DateTrigger

FIRST_SPOKEN = 1 << 62  # what runs say comes after everything else of its moment
MOST = 5_000  # of one person's events remembered at once: more are a machine's


@dataclass(frozen=True, slots=True)
class Case:
    """A journey to live again: its drawings, each from when on it held, oldest first."""

    journey_id: int
    slug: str
    held: Sequence[tuple[dt.datetime, int, Graph]]

    def at(self, moment: dt.datetime) -> tuple[int, Graph] | None:
        """The version that began runs then."""
        return next(((number, graph) for since, number, graph in reversed(self.held) if since <= moment), None)

    @property
    def graphs(self) -> list[Graph]:
        """All of them."""
        return [graph for _, _, graph in self.held]

    @property
    def newest(self) -> Graph:
        """The latest of them."""
        return self.held[-1][2]


class Cast:
    """The journeys that play, and which events concern them."""

    def __init__(self, cases: Sequence[Case]) -> None:
        self.cases = {case.journey_id: case for case in cases}
        self.starts: dict[str, list[Case]] = {}
        for case in cases:
            for name in frozenset[str]().union(*(graph.trigger.names(graph.trigger_settings) for graph in case.graphs)):
                self.starts.setdefault(name, []).append(case)
        graphs = [graph for case in cases for graph in case.graphs]
        self.names = frozenset(self.starts).union(*(graph.listens for graph in graphs))
        self.traits = any("traits" in graph.reads or isinstance(graph.trigger, DateTrigger) for graph in graphs)
        self.carts = any(graph.key == "cart" or sends_about_carts(graph) for graph in graphs)
        asked = [each for graph in graphs for each in criteria(graph)]
        self.counted = frozenset(each.name for each in asked if each.of == "did")  # events that are counted
        self.segments = frozenset(each.name for each in asked if each.of == "segment")
        self.back = max((each.within for each in asked if each.within), default=dt.timedelta(0))  # how far counting looks back
        self.fresh = max((graph.trigger.fresh_for(graph.trigger_settings) for graph in graphs), default=dt.timedelta(0))


def sends_about_carts(graph: Graph) -> bool:
    """Whether a message of it asks whether the cart still waits."""
    return any(isinstance(spot.settings, SendSettings) and spot.settings.while_cart_open for spot in graph.nodes.values())


@dataclass(frozen=True, slots=True)
class Moved:
    """Somebody came into a segment, or left it: when that was, and the event that brought it about."""

    at: dt.datetime
    cause: str | None
    slug: str
    entered: bool


@dataclass(frozen=True, slots=True)
class Setting:
    """Where it plays: the installation's language, zone and currency, and the period."""

    language: str
    timezone: str
    currency: str
    begins: dt.datetime
    ends: dt.datetime
    time_scale: float = 1.0


class Sink(Protocol):
    """Who hears what happened."""

    def started(self, case: Case, run: Passage) -> None:
        """A run began."""

    def refused(self, case: Case, event: Happened, reason: str, at: dt.datetime) -> None:
        """A trigger matched and started nothing."""

    def moved(self, run: Passage, at: dt.datetime) -> None:
        """A run was moved: `passed` holds the steps since the last time."""

    def wants(self, run: Passage, node: str, effect: Effect, at: dt.datetime, cart: CartFact | None) -> None:
        """A run asked for something; with the cart it is about, where the effect asks for one."""


@dataclass(slots=True)
class Somebody:
    """What was known of a person at the moment reached."""

    id: uuid.UUID
    bucket: int
    told: Person
    arms: Mapping[int, str] = field(default_factory=dict)  # journey -> drawn then
    moves: Sequence[Moved] = ()  # through segments that are asked about, all the log tells, in order
    carts: list[CartState] = field(default_factory=list)
    cart_log: list[Happened] = field(default_factory=list)
    cut: bool = False  # the log of a machine's cart is kept in part
    known: tuple[Mapping[str, Any], str, str] | None = None  # traits, language, zone; until something is learned
    lives: list[CartLife] | None = None
    closed: dict[tuple[int, str], CartLife] = field(default_factory=dict)  # carts that were not open when last looked at: they seldom change again

    def learn(self, event: Happened, traits: Mapping[str, Any]) -> None:
        """Traits told by an identify call."""
        fold.tell(self.told, traits, occurred_at=event.occurred_at, accepted=event.accepted, trust=event.trust)
        self.known = None

    def inside(self, at: dt.datetime, causes: Collection[str]) -> frozenset[str]:
        """Segments they were in, by the log: before the first it tells, the opposite of that; of one it tells nothing of, not in it."""
        found: dict[str, bool] = {}
        for each in self.moves:
            if each.at <= at or each.cause in causes:
                found[each.slug] = each.entered
            else:
                found.setdefault(each.slug, not each.entered)
        return frozenset(slug for slug, there in found.items() if there)

    def carts_now(self) -> list[CartLife]:
        """The carts as nodes see them."""
        if self.lives is None:
            self.lives = [self._life(each) for each in self.carts]
        return self.lives

    def _life(self, state: CartState) -> CartLife:
        known = self.closed.get((state.source_id, state.key))
        if known and (known.fact.status, known.fact.changed_at, known.closed_at) == (state.status, state.changed_at, state.closed_at):
            return known
        fact = CartFact(state.source_id, state.key, state.status, len(state.items), state.value, state.currency, state.changed_at)
        life = CartLife(fact, state.opened_at, state.closed_at)
        if state.status != "open":
            self.closed[state.source_id, state.key] = life
        return life

    def shop(self, event: Happened, currency: str) -> None:
        """Fold a cart event; one that comes late folds all anew."""
        self.lives = None
        late = bool(self.cart_log) and event.order < self.cart_log[-1].order
        insort(self.cart_log, event, key=order)
        if len(self.cart_log) > MOST:
            del self.cart_log[: MOST // 2]
            self.cut = True
        if late and not self.cut:
            self.carts = cart.fold(self.id, self.cart_log, currency)
        else:
            cart.apply(self.carts, event, currency)


def spoken(profile_id: uuid.UUID, name: str, said: Mapping[str, Any], at: dt.datetime, *, hops: int = 0, accepted: int = 0) -> Happened:
    """An event of Kesher's own, as the log would hold it."""
    kind = name if name == "identify" else "track"
    return Happened(profile_id, at, accepted, SYSTEM_SOURCE, kind, name, LIVE, True, (), dict(said), {}, {}, at, hops=hops)


def order(event: Happened) -> tuple[dt.datetime, int]:
    """A person's order: time, ties by acceptance."""
    return event.occurred_at, event.accepted
