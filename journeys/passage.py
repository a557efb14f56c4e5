"""One run on its way, purely: which event concerns it, which steps follow, what has to be written afterwards."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, assert_never

from crm.events.spec import Happened
from journeys.graph import Graph, Spot
from journeys.node import Advance, Ask, CartFact, Effect, Finish, Park, Question, Run, RunEvent, Step

MAX_STEPS = 20_000  # of one run in its life
MAX_A_MINUTE = 100  # of one run: more is a loop whose waits are too short
MINUTE = dt.timedelta(minutes=1)
MAX_AT_ONCE = 100  # without a wait


class BrokenError(Exception):
    """A node raised or answered nonsense: the journey's fault, never the event's."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What nodes may ask about one profile, read for the whole batch beforehand."""

    cart: CartFact | None = None
    traits: Mapping[str, Any] = field(default_factory=dict)
    language: str = "en"
    zone: str = "UTC"
    bucket: int = 0


@dataclass(frozen=True, slots=True)
class Moment:
    """The present, and by how much `--time-scale` shortens durations."""

    now: dt.datetime
    time_scale: float = 1.0


@dataclass(frozen=True, slots=True)
class Passed:
    """A node left behind, and why by this exit."""

    node: str
    round: int
    number: int
    exit: str
    why: Mapping[str, Any]
    at: dt.datetime


@dataclass(slots=True)
class Passage:
    """A run in memory: the fields of its row, the graph it follows, and what moving it brought about."""

    id: uuid.UUID
    profile_id: uuid.UUID
    journey_id: int
    slug: str
    version: int
    graph: Graph
    key: str
    node: str
    start: RunEvent
    started_at: dt.datetime
    entered_at: dt.datetime
    data: Mapping[str, Any] = field(default_factory=dict)  # node -> what it brought
    hops: int = 0
    round: int = 0
    steps: int = 0
    due_at: dt.datetime | None = None
    status: str = "active"
    ended_at: dt.datetime | None = None
    end_reason: str | None = None
    error: str | None = None
    held: bool = False  # its journey is paused or broken: it may come to a node, not pass one
    lately: int = 0  # steps of the last minute, before this batch; kept only where the graph loops
    visits: dict[str, int] = field(default_factory=dict)  # node -> times passed; kept only where the graph loops
    passed: list[Passed] = field(default_factory=list)
    effects: list[tuple[str, int, Effect]] = field(default_factory=list)
    changed: bool = False
    asking: Question | None = None  # set while the engine looks for an answer

    @property
    def spot(self) -> Spot:
        """Where it stands."""
        return self.graph.nodes[self.node]

    @property
    def active(self) -> bool:
        """Not over."""
        return self.status == "active"

    def end(self, reason: str, at: dt.datetime, *, status: str = "done") -> None:
        """The run is over."""
        self.status, self.end_reason, self.ended_at, self.due_at, self.changed = status, reason, at, None, True


def seen(event: Happened) -> RunEvent:
    """An event of the log as nodes see it."""
    return RunEvent(event.name, event.occurred_at, event.accepted, event.source_id, event.properties)


def react(passage: Passage, event: RunEvent, facts: Facts, moment: Moment, *, live: bool) -> None:
    """Let an event end or wake the run. Only what came after its start concerns it; history may end a run, not wake it."""
    if not passage.active or event.order <= passage.start.order:
        return
    rule, spot = passage.graph.ends(passage.start, event), passage.spot
    if rule is not None:
        passage.end(f"{'goal' if rule.goal else 'exit'}:{event.name}", moment.now)
    elif live and event.name in spot.listens and not passage.graph.about_another(passage.start, event, spot.node.keyed(spot.settings)):
        walk(passage, facts, moment, woken_by=event)


NOTHING = object()  # no answer was asked for


def walk(passage: Passage, facts: Facts, moment: Moment, *, woken_by: RunEvent | None = None, answer: object = NOTHING) -> None:
    """Move the run until it waits, asks or ends. Raises BrokenError with the run where it stands, its earlier steps kept."""
    now = moment.now
    for _ in range(MAX_AT_ONCE):
        if passage.held and woken_by is None and answer is NOTHING:
            passage.due_at, passage.changed = passage.due_at or now, True
            return
        step = _decide(passage, facts, moment, woken_by, answer)
        woken_by, answer, passage.asking = None, NOTHING, None
        match step:
            case Park(until, effects):
                passage.changed = passage.changed or passage.due_at != until
                passage.due_at = until
                passage.effects.extend((passage.node, passage.round, effect) for effect in effects)
                return
            case Ask(question):
                passage.asking, passage.changed = question, True
                return
            case Finish(reason, why):
                _leave(passage, reason, why, (), now)
                passage.end(reason, now)
                return
            case Advance(exit_name, effects, why, brings):
                if brings is not None:
                    passage.data = {**passage.data, passage.node: dict(brings)}
                _leave(passage, exit_name, why, effects, now)
                _enter(passage, exit_name, now)
            case _:
                assert_never(step)
        if passage.steps >= MAX_STEPS or _runs_away(passage, moment):
            break
    passage.error = f"stopped after {passage.steps} steps, too many at once or within a minute: make the waits of its loop longer, then let it go on"
    passage.end("too_many_steps", now, status="failed")


def _runs_away(passage: Passage, moment: Moment) -> bool:
    """Whether it took too many steps within a minute; where durations are shortened, as many more are allowed."""
    left = int(MAX_A_MINUTE * moment.time_scale) - passage.lately
    return left <= 0 or len(passage.passed) >= left and passage.passed[-left].at > moment.now - MINUTE


def _decide(passage: Passage, facts: Facts, moment: Moment, woken_by: RunEvent | None, answer: object) -> Step:
    spot = passage.spot
    run = Run(
        id=passage.id,
        profile_id=passage.profile_id,
        node=passage.node,
        round=passage.round,
        start=passage.start,
        started_at=passage.started_at,
        entered_at=passage.entered_at,
        due_at=passage.due_at,
        now=moment.now,
        woken_by=woken_by,
        cart=facts.cart,
        traits=facts.traits,
        language=facts.language,
        zone=facts.zone,
        bucket=facts.bucket,
        data=passage.data,
        answer=None if answer is NOTHING else answer,
        asked=answer is not NOTHING,
        time_scale=moment.time_scale,
    )
    try:
        step = spot.node.step(spot.settings, run)
    except Exception as error:  # whatever a plug-in raises is the journey's problem and must not reach the batch
        raise BrokenError(f"node {passage.node!r}: {type(error).__name__}: {error}") from error
    if not isinstance(step, Step):
        raise BrokenError(f"node {passage.node!r} answered {step!r}, which is no step")
    if isinstance(step, Advance) and step.exit not in spot.exits:
        raise BrokenError(f"node {passage.node!r} left by {step.exit!r}, which leads nowhere")
    return step


def _leave(passage: Passage, exit_name: str, why: Mapping[str, Any], effects: tuple[Effect, ...], now: dt.datetime) -> None:
    passage.passed.append(Passed(passage.node, passage.round, passage.steps, exit_name, why, now))
    passage.effects.extend((passage.node, passage.round, effect) for effect in effects)
    passage.visits[passage.node] = passage.visits.get(passage.node, 0) + 1
    passage.steps += 1
    passage.error = None
    passage.changed = True


def _enter(passage: Passage, exit_name: str, now: dt.datetime) -> None:
    passage.node = passage.spot.exits[exit_name]
    passage.round = passage.visits.get(passage.node, 0)
    passage.entered_at, passage.due_at = now, None
