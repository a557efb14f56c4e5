"""One person's stretch of time lived again, purely: the same steps as live, at the moments at which we heard of what happened."""

from __future__ import annotations

import datetime as dt
import uuid
from bisect import bisect_right, insort
from collections.abc import Callable, Iterable, Sequence

from crm.commerce import cart
from crm.core.ids import new_id
from crm.events.inbox import MAX_HOPS
from crm.events.spec import Happened
from journeys import entry, looking
from journeys.backtest_cast import FIRST_SPOKEN, MOST, Case, Cast, Setting, Sink, Somebody, order, spoken
from journeys.engine import AGAIN
from journeys.entry import Earlier
from journeys.facts import cart_of
from journeys.graph import Graph
from journeys.node import ENDED, CartFact, Effect, Look, RunEvent, SendEvent, SendMessage, SetTraits
from journeys.passage import MAX_AT_ONCE, BrokenError, Facts, Moment, Passage, react, seen, walk
from journeys.simulate import kindest
from journeys.zones import zone_of


class Life:
    """Moments in order. What a run says to the log is heard at once; what it asks of the engine gets the kindest answer."""

    def __init__(self, cast: Cast, who: Somebody, setting: Setting, sink: Sink) -> None:
        self.cast, self.who, self.setting, self.sink = cast, who, setting, sink
        self.runs: list[Passage] = []
        self.earlier: dict[int, list[Earlier]] = {}
        self.heard: list[Happened] = []  # what may concern a run, in the person's order
        self.said: list[Happened] = []  # by runs, not yet heard
        self.spoken = FIRST_SPOKEN
        self.done: set[tuple[uuid.UUID, str, int, str]] = set()  # what a stop of a run has asked for
        self.counted: list[Happened] = []  # what branches count, as it was heard
        self.hearing: frozenset[str] = frozenset()  # how segments name the events of this moment
        self.clock = setting.begins

    def moment(self, at: dt.datetime, events: Sequence[Happened]) -> None:
        """What we heard of at one moment, after everything that came due before it."""
        self.pass_until(at)
        self._hear(at, events)
        self._listen(at)

    def end(self) -> list[Passage]:
        """Let the rest of the period pass; returns the runs still under way."""
        self.pass_until(self.setting.ends)
        return [run for run in self.runs if run.active]

    def pass_until(self, until: dt.datetime) -> None:
        """Wake, in order, every run that comes due."""
        while due := self.next_due(until):
            at, run = due
            self._wake(run, at)
            self._listen(at)

    def _wake(self, run: Passage, at: dt.datetime) -> None:
        self.clock, self.hearing = at, frozenset()
        self.guarded(run, at, lambda: walk(run, self.facts(run), Moment(at, self.setting.time_scale)))
        self.answer([run], at)
        if run.active and not run.passed and (run.due_at is None or run.due_at <= at):
            self.stuck(run, at)
        self.collect(run, at)

    def stuck(self, run: Passage, at: dt.datetime) -> None:
        """Its time is over and it stays: it would wake for ever."""
        run.error = f"node {run.node!r} waits for a time that is over"
        run.end("broken", at, status="failed")

    def next_due(self, until: dt.datetime) -> tuple[dt.datetime, Passage] | None:
        """When the next run's time comes, and which."""
        due = [(run.due_at, run) for run in self.runs if run.active and run.due_at is not None and run.due_at <= until]
        if not due:
            return None
        at, run = min(due, key=lambda each: each[0])
        return max(at, self.clock), run

    def _listen(self, at: dt.datetime) -> None:
        """Hear what runs said meanwhile."""
        while self.said:
            said, self.said = self.said, []
            for event in said:
                self._hear(at, [event])

    def _hear(self, at: dt.datetime, events: Sequence[Happened]) -> None:
        self.hearing = frozenset(f"event:{event.accepted}" for event in events)
        for event in events:
            if event.name in self.cast.counted:
                self._count(event)
            if event.type == "identify":
                self.who.learn(event, event.properties)
            if event.name in cart.EVENTS:
                self.who.shop(event, self.setting.currency)
        concerning = [event for event in events if event.name in self.cast.names]
        concerning.sort(key=order)
        if at < self.setting.begins or not concerning:
            return
        self._remember(at, concerning)
        active = [run for run in self.runs if run.active]
        for event in concerning:
            for run in active:
                if event.name in run.graph.listens:
                    self.guarded(run, at, lambda run=run, event=event: self._react(run, event, at))  # type: ignore[misc]  # mypy takes no default of a lambda
        new = [each for event in concerning for case in self.cast.starts.get(event.name, ()) if (each := self._start(case, event, at))]
        self.answer([*active, *new], at)
        for run in (*active, *new):
            if run.changed:
                self.collect(run, at)
        self.clock = at
        self.runs = [run for run in self.runs if run.active or self.keeps]

    keeps = False  # runs that are over, for comparing

    def _remember(self, at: dt.datetime, events: Iterable[Happened]) -> None:
        for event in events:
            insort(self.heard, event, key=order)
        if len(self.heard) > MOST:
            del self.heard[: bisect_right(self.heard, (at - self.cast.fresh, 0), key=order)]

    def _count(self, event: Happened) -> None:
        self.counted.append(event)
        if len(self.counted) > MOST:
            del self.counted[: MOST // 2]

    def wakes(self, event: Happened) -> bool:
        """Whether an event may start and wake; what was imported counts as if it had been told when it happened."""
        return True

    def _react(self, run: Passage, event: Happened, at: dt.datetime) -> None:
        react(run, seen(event), self.facts(run), Moment(at, self.setting.time_scale), live=self.wakes(event))

    def _start(self, case: Case, event: Happened, at: dt.datetime) -> Passage | None:
        """A run, taken through what we had heard of after its start; None where none begins."""
        held = case.at(at)
        if held is None or not self.wakes(event):
            return None
        number, graph = held
        if event.name not in graph.trigger.names(graph.trigger_settings) or not graph.trigger.matches(graph.trigger_settings, event, case.slug):
            return None
        key = self._enters(case, graph, event, at)
        if key is None:
            return None
        run = Passage(id=new_id(), profile_id=self.who.id, journey_id=case.journey_id, slug=case.slug, version=number, graph=graph, key=key, node=graph.entry,
                      start=seen(event), started_at=at, entered_at=event.occurred_at, hops=event.hops)  # fmt: skip
        self.begun(run, event)
        self.runs.append(run)
        self.sink.started(case, run)
        run.changed = True
        self.guarded(run, at, lambda: self._begin(run, at))
        return run

    def begun(self, run: Passage, event: Happened) -> None:
        """A run is about to take its first step."""

    def _begin(self, run: Passage, at: dt.datetime) -> None:
        """An end that is already there comes before the first step."""
        later = self.heard[bisect_right(self.heard, run.start.order, key=order) :]
        later = [event for event in later if event.name in run.graph.listens]
        facts, moment = self.facts(run), Moment(at, self.setting.time_scale)
        for event in later:
            if event.name in run.graph.exit_on:
                react(run, seen(event), facts, moment, live=False)
        if run.active:
            walk(run, facts, moment)
        for event in later:
            react(run, seen(event), facts, moment, live=self.wakes(event))

    def _enters(self, case: Case, graph: Graph, event: Happened, at: dt.datetime) -> str | None:
        """The key of the run to start; None, and why told, where there is none to start."""
        reason, about = self._about(graph, event, at)
        if about is not None and reason is None:
            reason = entry.refusal(graph.reentry, about, self._earlier(case, graph), at)
        if reason is None and self.left_out(case, graph):
            reason = "held_out"
        if reason is None and about is not None and not self.room(case, event, about, at):
            reason = "full"
        if reason is not None or about is None:
            if reason != "under_way":
                self.sink.refused(case, event, reason or "no_key", at)
            return None
        self.earlier.setdefault(case.journey_id, []).append(Earlier(about, at, active=False))
        return about if graph.reentry.again == "once" or graph.key == "event" else f"{about}{AGAIN}{event.accepted}"

    def _about(self, graph: Graph, event: Happened, at: dt.datetime) -> tuple[str | None, str | None]:
        """Why it comes too late to start anything, or what the run would be about."""
        if at - event.occurred_at > graph.trigger.fresh_for(graph.trigger_settings):
            return "too_late", ""
        if event.hops >= MAX_HOPS:
            return "too_many_hops", ""
        if graph.key != "cart":
            return None, graph.trigger.about(graph.trigger_settings, seen(event))
        mine = self.cart(seen(event))
        return ("no_cart", None) if mine is None else (None, f"{mine.source_id}:{mine.key}")

    def _earlier(self, case: Case, graph: Graph) -> list[Earlier]:
        """Runs of this journey so far, by what they are about; those that are over only where the journey remembers them."""
        active = [Earlier(run.key.partition(AGAIN)[0], run.started_at, active=True) for run in self.runs if run.active and run.journey_id == case.journey_id]
        return [*self.earlier.get(case.journey_id, ()), *active] if graph.remembers else active

    def left_out(self, case: Case, graph: Graph) -> bool:
        """Whether the person is kept out to measure: as drawn then, else as it would be drawn."""
        if not (rule := graph.drawing.holdout):
            return False
        drawn = self.who.arms.get(case.journey_id)
        return drawn in {"out", "mixed"} if drawn else entry.held_out(self.who.bucket, rule, case.slug)

    def room(self, case: Case, event: Happened, about: str, at: dt.datetime) -> bool:
        """Whether a limit of entries leaves a place; one person alone cannot know of the others."""
        return True

    def guarded(self, run: Passage, at: dt.datetime, move: Callable[[], None]) -> None:
        """Move a run; where its graph fails, it stands there for ever, and that is told."""
        try:
            move()
        except BrokenError as error:
            run.error = str(error)
            run.end("broken", at, status="failed")

    def answer(self, runs: Iterable[Passage], at: dt.datetime) -> None:
        """Answer what runs ask until none asks any more."""
        waiting = [run for run in runs if run.asking is not None and run.active]
        for run in waiting:
            for _ in range(MAX_AT_ONCE):
                if run.asking is None or not run.active:
                    break
                found = self.found(run, at)
                self.guarded(run, at, lambda run=run, found=found: walk(run, self.facts(run), Moment(at, self.setting.time_scale), answer=found))  # type: ignore[misc]  # mypy takes no default of a lambda

    def found(self, run: Passage, at: dt.datetime) -> object:
        """What was done and where they were, by what was heard so far; else as in a try-out: there is a code, a place is free, nobody was asked lately."""
        if isinstance(run.asking, Look):
            return looking.looked(run.asking, run.start, self.counted, self.who.inside(at, self.hearing), at)
        return kindest(run.asking, at) if run.asking is not None else None

    def collect(self, run: Passage, at: dt.datetime) -> None:
        """Hand over what moving a run brought about."""
        for node, round_, effect in run.effects:
            stop = (run.id, node, round_, type(effect).__name__)
            if stop not in self.done:
                self.done.add(stop)
                mine = self.cart(run.start) if isinstance(effect, SendMessage) and effect.while_cart_open else None
                self.sink.wants(run, node, effect, at, mine)
                self.say(run, effect, at)
        run.effects.clear()
        if not run.active and ENDED in self.cast.names:
            said = {"journey": run.slug, "version": run.version, "run_id": str(run.id), "reason": run.end_reason}
            self.say(run, SendEvent(ENDED, said), at)
        self.sink.moved(run, at)
        run.changed = False
        if not self.keeps:
            run.passed.clear()

    def say(self, run: Passage, effect: Effect, at: dt.datetime) -> None:
        """What a run says to the log comes back as an event."""
        self.spoken += 1
        if isinstance(effect, SetTraits):
            self.said.append(spoken(self.who.id, "identify", effect.traits, at, hops=run.hops + 1, accepted=self.spoken))
        elif isinstance(effect, SendEvent) and effect.name in self.cast.names | self.cast.counted:
            self.said.append(spoken(self.who.id, effect.name, effect.properties, at, hops=run.hops + 1, accepted=self.spoken))

    def cart(self, start: RunEvent) -> CartFact | None:
        """The cart an event belongs to, as it was folded by then."""
        return cart_of(self.who.carts_now(), start)

    def facts(self, run: Passage) -> Facts:
        """What nodes may ask, as of the moment reached."""
        if self.who.known is None:
            traits = self.who.told.traits
            said = traits.get("language") or traits.get("locale")
            language = said.replace("_", "-").split("-")[0].lower() if isinstance(said, str) else self.setting.language
            self.who.known = (dict(traits), language, zone_of(traits, self.setting.timezone))
        now, language, zone = self.who.known
        mine = self.cart(run.start) if run.graph.key == "cart" else None
        return Facts(cart=mine, traits=now, language=language, zone=zone, bucket=self.who.bucket)
