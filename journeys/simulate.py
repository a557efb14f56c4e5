"""A journey tried on one profile: the same steps as live, a clock that jumps, nothing written."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from crm.commerce import cart as commerce
from crm.commerce import product
from crm.core.ids import new_id
from crm.events.inbox import MAX_HOPS
from crm.events.spec import Happened
from journeys import entry, looking
from journeys.backtest_cast import FIRST_SPOKEN, spoken
from journeys.facts import CartLife, cart_of
from journeys.graph import Graph
from journeys.node import ENDED, CartFact, Coupon, Effect, Look, Question, Recommend, SendEvent, SendMessage, SetTraits, Slot
from journeys.offers import TRIED
from journeys.passage import Facts, Moment, Passage, Passed, react, seen, walk
from journeys.zones import END, zone_of

Said = tuple[dt.datetime, str] | tuple[dt.datetime, str, Mapping[str, Any] | None]
SOURCE = 1
MOST = 2_000  # steps of a trial: a page shows five hundred lines
ITEM = {"product_id": "p1", "name": "Article", "price": "100", "quantity": 1}


@dataclass(frozen=True, slots=True)
class Somebody:
    """Whom it is tried on."""

    traits: Mapping[str, Any] = field(default_factory=dict)
    language: str = "en"
    timezone: str = "Asia/Jerusalem"
    bucket: int = 0
    segments: frozenset[str] = frozenset()  # in which they are at the start; those that come in or leave are told as events
    past: Sequence[Happened] = ()  # what they did before the start; only counted


NOBODY = Somebody()


@dataclass(frozen=True, slots=True)
class Sent:
    """A message that would have been handed to the gate."""

    at: dt.datetime
    channel: str
    template: str
    key: str = ""


@dataclass(slots=True)
class Trial:
    """What a simulation shows: messages, and each run with its steps. `hears`: names of the events that concern the journey."""

    slug: str = "simulation"
    hears: frozenset[str] = frozenset()
    sent: list[Sent] = field(default_factory=list)
    runs: list[Passage] = field(default_factory=list)
    said: list[tuple[dt.datetime, Effect]] = field(default_factory=list)
    refused: list[tuple[dt.datetime, str]] = field(default_factory=list)
    unheard: list[Happened] = field(default_factory=list)  # what runs have said to the log
    over: set[uuid.UUID] = field(default_factory=set)  # runs whose end was said

    @property
    def enough(self) -> bool:
        """Whether more would only take time: a loop is walked for ever, and runs that say what begins others grow tenfold with each."""
        return sum(run.steps for run in self.runs) >= MOST

    @property
    def steps(self) -> list[Passed]:
        """Every node passed, in order of time."""
        return sorted((step for run in self.runs for step in run.passed), key=lambda step: (step.at, step.number))

    def known(self, who: Somebody) -> Somebody:
        """Who it is tried on, with the traits runs have learned so far."""
        learned = [effect.traits for _, effect in self.said if isinstance(effect, SetTraits)]
        return replace(who, traits={name: value for traits in (who.traits, *learned) for name, value in traits.items()}) if learned else who

    def say(self, run: Passage, effect: Effect, at: dt.datetime) -> None:
        """What a run says to the log comes back as an event, where anything here hears it."""
        self.said.append((at, effect))
        if isinstance(effect, SendEvent | SetTraits):
            name, said = (effect.name, effect.properties) if isinstance(effect, SendEvent) else ("identify", effect.traits)
            if name in self.hears:
                self.unheard.append(spoken(run.profile_id, name, said, at, hops=run.hops + 1, accepted=FIRST_SPOKEN + len(self.said)))

    def end(self, run: Passage, at: dt.datetime) -> None:
        """Its end is said as well, once."""
        if not run.active and ENDED in self.hears and run.id not in self.over:
            self.over.add(run.id)
            reason = run.end_reason or ""
            self.say(run, SendEvent(ENDED, {"journey": self.slug, "run_id": str(run.id), "reason": reason, "how": reason.partition(":")[0]}), at)


def simulate(graph: Graph, start: dt.datetime, events: Sequence[Said], who: Somebody = NOBODY) -> list[Sent]:
    """What would be sent to a profile to whom `events` (time, name, properties) happen, from `start` until every run is over or waits for ever."""
    return tell(graph, start, events, who).sent


def tell(graph: Graph, start: dt.datetime, events: Sequence[Said], who: Somebody = NOBODY, slug: str = "simulation") -> Trial:
    """The same, with every step; `slug` is what the journey is called where it, or another, names it."""
    profile = uuid.UUID(int=0)
    log = sorted((_happened(profile, number, said) for number, said in enumerate(events)), key=lambda event: event.order)
    counted = {each.name for each in looking.criteria(graph) if each.of == "did"}
    trial = Trial(slug, graph.listens.union(graph.trigger.names(graph.trigger_settings), counted, commerce.EVENTS))
    past: list[Happened] = []
    for event in log:
        if event.occurred_at >= start:
            _let_pass(graph, trial, past, event.occurred_at, who)
        past.append(event)
        if event.occurred_at >= start:
            _happen(graph, trial, past, event, who)
            _listen(graph, trial, past, who)
    _let_pass(graph, trial, past, None, who)
    return trial


def _listen(graph: Graph, trial: Trial, past: list[Happened], who: Somebody) -> None:
    """Hear what runs said, at the moment at which they said it."""
    while trial.unheard and not trial.enough:
        event = trial.unheard.pop(0)
        past.append(event)
        _happen(graph, trial, past, event, who)


def _let_pass(graph: Graph, trial: Trial, past: list[Happened], until: dt.datetime | None, who: Somebody) -> None:
    """Wake, in order, every run that comes due up to `until`; those that go round and round, as long as anybody looks at them."""
    last = END if until is None else min(until, END)
    while not trial.enough and (due := [run for run in trial.runs if run.active and run.due_at and run.due_at <= last]):
        run = min(due, key=lambda each: each.due_at or each.entered_at)
        at = run.due_at or run.entered_at
        _walk(run, past, trial.known(who), at)
        _collect(trial, run, past, at)
        _listen(graph, trial, past, who)


def _happen(graph: Graph, trial: Trial, past: Sequence[Happened], event: Happened, who: Somebody) -> None:
    who = trial.known(who)
    for run in trial.runs:
        react(run, seen(event), _facts(run, past, who), Moment(event.occurred_at), live=True)
        _answer(run, past, who, event.occurred_at)
        _collect(trial, run, past, event.occurred_at)
    if not graph.trigger.matches(graph.trigger_settings, event, trial.slug if event.accepted >= FIRST_SPOKEN else ""):
        return
    key = _key(graph, past, event)
    reason = "no_cart" if key is None else entry.refusal(graph.reentry, key, _earlier(trial), event.occurred_at)
    if graph.drawing.holdout and entry.held_out(who.bucket, graph.drawing.holdout, "simulation"):
        reason = "held_out"
    if event.hops >= MAX_HOPS:
        reason = "too_many_hops"
    if key is None or reason:
        trial.refused.append((event.occurred_at, reason or ""))
        return
    run = Passage(
        id=new_id(),
        profile_id=event.profile_id,
        journey_id=0,
        slug=trial.slug,
        version=0,
        graph=graph,
        key=key,
        node=graph.entry,
        start=seen(event),
        started_at=event.occurred_at,
        entered_at=event.occurred_at,
        hops=event.hops,
    )
    trial.runs.append(run)
    _walk(run, past, who, event.occurred_at)
    _collect(trial, run, past, event.occurred_at)


def _earlier(trial: Trial) -> list[entry.Earlier]:
    return [entry.Earlier(run.key, run.started_at, run.active) for run in trial.runs]


def _collect(trial: Trial, run: Passage, past: Sequence[Happened], at: dt.datetime) -> None:
    """Hand over what the run wants sent, as the outbox would: not for a cart that is closed; keep what it says to the log."""
    cart = cart_of(_carts(run.profile_id, past), run.start)
    for _, _, effect in run.effects:
        if isinstance(effect, SendMessage) and _spent(run, past):
            continue
        if isinstance(effect, SendMessage) and not (effect.while_cart_open and (cart is None or cart.status != "open")):
            trial.sent.append(Sent(at, effect.channel, effect.template, run.key))
        elif not isinstance(effect, SendMessage):
            trial.say(run, effect, at)
    run.effects.clear()
    trial.end(run, at)


def _spent(run: Passage, past: Sequence[Happened]) -> str | None:
    """Why a message about a variant would not go any more, by what was told of it since the start."""
    wanted = (run.graph.trigger.holds(run.graph.trigger_settings, run.start) or {}).get("product")
    return product.over_by(wanted, run.start.properties, [event for event in past if event.order > run.start.order]) if wanted else None


def _key(graph: Graph, past: Sequence[Happened], event: Happened) -> str | None:
    if graph.key == "cart":
        cart = cart_of(_carts(event.profile_id, past), seen(event))
        return f"{cart.source_id}:{cart.key}" if cart else None
    return graph.trigger.about(graph.trigger_settings, seen(event))


def _facts(run: Passage, past: Sequence[Happened], who: Somebody) -> Facts:
    cart = cart_of(_carts(run.profile_id, past), run.start) if run.graph.key == "cart" else None
    return Facts(cart, who.traits, str(who.traits.get("language") or who.language), zone_of(who.traits, who.timezone), who.bucket)


def _walk(run: Passage, past: Sequence[Happened], who: Somebody, at: dt.datetime) -> None:
    """As live."""
    walk(run, _facts(run, past, who), Moment(at))
    _answer(run, past, who, at)


def _answer(run: Passage, past: Sequence[Happened], who: Somebody, at: dt.datetime) -> None:
    """What somebody did is counted over what was told; else the kindest answer: there is a code, a place is free, nobody was asked lately."""
    while run.asking is not None and run.active:
        asked: Question = run.asking
        if isinstance(asked, Look):
            found: object = looking.looked(asked, run.start, [*who.past, *past], looking.inside_after(who.segments, past), at)
        else:
            found = kindest(asked, at)
        walk(run, _facts(run, past, who), Moment(at), answer=found)


def kindest(question: Question, at: dt.datetime) -> object:
    """What a try-out and a backtest answer where life would have to look."""
    if isinstance(question, Slot):
        return at
    if isinstance(question, Recommend):
        return [dict(TRIED)]
    return f"TRY-{question.pool.upper()}" if isinstance(question, Coupon) else True


def _carts(profile: uuid.UUID, past: Iterable[Happened]) -> list[CartLife]:
    return [
        CartLife(CartFact(c.source_id, c.key, c.status, len(c.items), c.value, c.currency, c.changed_at), c.opened_at, c.closed_at)
        for c in commerce.fold(profile, past, "ILS")
    ]


def _happened(profile: uuid.UUID, number: int, said: Said) -> Happened:
    at, name = said[0], said[1]
    given = said[2] if len(said) > 2 else None
    properties: Mapping[str, Any] = given if given is not None else ITEM if name in commerce.CHANGES else {}
    return Happened(
        profile_id=profile,
        occurred_at=at,
        accepted=number,
        source_id=SOURCE,
        type="track",
        name=name,
        origin="live",
        trusted=True,
        identities=(),
        properties=dict(properties),
        context={},
        traits={},
        received_at=at,
    )
