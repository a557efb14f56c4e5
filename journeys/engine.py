"""Moving people: what a batch of events starts, wakes and ends, and whose waiting is over. Decided purely, written in sets."""

from __future__ import annotations

import datetime as dt
import uuid
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import structlog
from sqlalchemy import text
from sqlalchemy.orm import Session

import journeys.moves  # noqa: F401  hears of joins wherever the engine runs
from crm.core.config import Config
from crm.core.crypto import Keys
from crm.core.db import in_short, is_passing
from crm.core.ids import new_id
from crm.events.inbox import MAX_HOPS
from crm.events.spec import Happened
from journeys import arms, asking, coupons, entry, facts, limits, runs
from journeys import board as boards
from journeys.board import Board, Standing
from journeys.entry import Earlier
from journeys.facts import Known, cart_of
from journeys.node import RunEvent
from journeys.passage import MAX_AT_ONCE, BrokenError, Moment, Passage, react, seen, walk
from journeys.runs import Refused

log = structlog.get_logger()
MANY = 20  # runs that fail while nobody's can be moved: it lies elsewhere, and all wait until it is mended
AGAIN = "|#"  # in a run's key, between what it is about and the event that started it again
UNREADABLE = "people stand on version {}, which this Kesher cannot read; publish one it can and move them there"
_Mine = tuple[uuid.UUID, int]  # profile and journey


@dataclass(frozen=True, slots=True)
class Candidate:
    """A trigger that matched an event."""

    journey: Standing
    event: Happened


def on_events(session: Session, events: Sequence[Happened], now: dt.datetime, config: Config) -> None:
    """Start, wake and end runs for a batch whose profiles are locked and whose events are logged and folded."""
    coupons.use(session, events)
    board = boards.read(session)
    runs.break_journeys(session, board.unreadable)
    concerning = sorted((event for event in events if event.name in board.names), key=lambda event: event.order)
    if not concerning:
        return
    moving = Moving(board, now, config)
    candidates = list(moving.candidates(concerning))
    active = runs.active_of(session, board, {event.profile_id for event in concerning})
    known = facts.read(session, _asked(active, candidates, concerning), _reads(active, candidates), config.locale, config.timezone)
    facts.count_visits(session, active, now)
    moving.react(active, concerning, known)
    new = moving.start(session, candidates, known, active)
    moving.answer(session, (*active, *new), known)
    moving.save(session, active, new)
    runs.take_back(session, board, concerning, now)


def wake_due(session: Session, now: dt.datetime, limit: int, config: Config) -> int:
    """Move up to `limit` runs whose waiting is over; returns how many wake-ups were taken from the queue.

    People locked by somebody else are left for the next call. A doubled call finds nothing to do. A run that cannot be written down is parked.
    """
    board = boards.read(session)
    runs.break_journeys(session, board.unreadable)
    profiles = sorted(set(session.scalars(_CLAIM, {"now": now, "limit": limit}).all()))
    moved, failed, parts = 0, 0, [profiles] if profiles else []
    while parts:
        part = parts.pop()
        try:
            with session.begin_nested():
                moved += _move(session, board, part, now, config)
        except Exception as error:  # whatever one person's runs can do to us must not stop the others: they are found by halves
            if is_passing(error) or failed >= MANY and not moved:
                raise
            if len(part) > 1:
                middle = len(part) // 2
                parts += [part[middle:], part[:middle]]
                continue
            log.error("runs_failed", profile=str(part[0]), problem=in_short(error))
            failed += runs.fail(session, part[0], in_short(error), now)
    return moved + failed


def _move(session: Session, board: Board, profiles: Sequence[uuid.UUID], now: dt.datetime, config: Config) -> int:
    spent = text("SELECT run_id FROM wakeups WHERE profile_id = ANY(:profiles) AND due_at <= :now")
    due = set(session.scalars(spent, {"profiles": profiles, "now": now}).all())
    active = [passage for passage in runs.active_of(session, board, profiles) if passage.id in due]
    if gone := due - {passage.id for passage in active}:
        session.execute(text("DELETE FROM wakeups WHERE run_id = ANY(:runs)"), {"runs": list(gone)})
        runs.break_journeys(session, _unreadable(session, board, gone))
    known = facts.read(session, profiles, _reads(active, ()), config.locale, config.timezone)
    facts.count_visits(session, active, now)
    moving = Moving(board, now, config)
    for passage in active:
        passage.changed = True  # its wake-up is spent: a new time or none is written
        moving.guarded(passage, lambda each=passage: walk(each, known.of(each), moving.moment))  # type: ignore[misc]  # mypy takes no default of a lambda
    moving.answer(session, active, known)
    moving.save(session, active, [])
    return len(due)


class Moving:
    """One batch on its way: the board, the time, and the journeys found broken meanwhile."""

    def __init__(self, board: Board, now: dt.datetime, config: Config) -> None:
        self.board, self.now, self.moment = board, now, Moment(now, config.time_scale)
        self.keys = Keys(config.secret_key)
        self.broken: dict[int, str] = {}
        self.refused: list[Refused] = []

    def candidates(self, events: Iterable[Happened]) -> Iterator[Candidate]:
        """Triggers that match; history starts nothing."""
        for event in events:
            if event.origin != "live":
                continue
            for journey in self.board.starts.get(event.name, ()):
                if journey.graph and self._matches(journey, event):
                    yield Candidate(journey, event)

    def _matches(self, journey: Standing, event: Happened) -> bool:
        graph = journey.graph
        try:
            return graph is not None and graph.trigger.matches(graph.trigger_settings, event, journey.slug)
        except Exception as error:  # noqa: BLE001  a trigger that raises is its journey's problem, never the event's
            self._break(journey.id, f"the trigger: {type(error).__name__}: {error}")
            return False

    def react(self, active: Sequence[Passage], events: Sequence[Happened], known: Known) -> None:
        """Let the batch's events end or wake the runs there are."""
        mine: dict[uuid.UUID, list[Passage]] = defaultdict(list)
        for passage in active:
            mine[passage.profile_id].append(passage)
        for event in events:
            for passage in mine.get(event.profile_id, ()):
                if event.name in passage.graph.listens:
                    self._react(passage, event, known)

    def _react(self, passage: Passage, event: Happened, known: Known) -> None:
        live = event.origin == "live"
        self.guarded(passage, lambda: react(passage, seen(event), known.of(passage), self.moment, live=live))

    def start(self, session: Session, candidates: Sequence[Candidate], known: Known, active: Sequence[Passage]) -> list[Passage]:
        """New runs, taken through what the log already holds after their start."""
        new = list(self._entering(session, candidates, known, active))
        log_since = facts.since_start(session, new) if new else {}
        for passage in new:
            events = [(event, live) for event, live in log_since.get(passage.profile_id, ()) if event.order > passage.start.order]
            self.guarded(passage, lambda each=passage, later=events: self._begin(each, later, known))  # type: ignore[misc]  # mypy takes no default of a lambda
        return new

    def _begin(self, passage: Passage, later: Sequence[tuple[RunEvent, bool]], known: Known) -> None:
        """An end that is already there comes before the first step."""
        mine = known.of(passage)
        for event, _ in later:
            if event.name in passage.graph.exit_on:
                react(passage, event, mine, self.moment, live=False)
        if passage.active:
            walk(passage, mine, self.moment)
        for event, live in later:
            react(passage, event, mine, self.moment, live=live)

    def _entering(self, session: Session, candidates: Sequence[Candidate], known: Known, active: Sequence[Passage]) -> Iterator[Passage]:
        fresh = [each for each in candidates if self._may_start(each)]
        earlier = self._earlier(session, fresh, known, active)
        entering = [(each, key) for each in fresh if (key := self._enters(each, earlier[each.event.profile_id, each.journey.id], known)) is not None]
        rules = {
            (c.event.profile_id, c.journey.id): (rule, c.journey.slug) for c, _ in entering if c.journey.graph and (rule := c.journey.graph.drawing.holdout)
        }
        left_out = arms.draw(session, rules, self.now)
        room = limits.room(session, {c.journey.id: limit for c, _ in entering if c.journey.graph and (limit := c.journey.graph.drawing.limit)}, self.moment)
        for each, key in entering:
            drawn_now = left_out.get((each.event.profile_id, each.journey.id))
            if drawn_now:
                self._refuse(each, "held_out", key)
            elif drawn_now is None and room.get(each.journey.id, 1) <= 0:
                self._refuse(each, "full", key)
            elif drawn_now is None:
                if each.journey.id in room:
                    room[each.journey.id] -= 1
                yield self._passage(each, key)

    def _enters(self, each: Candidate, earlier: list[Earlier], known: Known) -> str | None:
        """The key of the run to start; None, and why written down, where there is none to start. A run under way is its own answer."""
        graph, about = each.journey.graph, self._key(each, known)
        if graph is None or about is None:
            self._refuse(each, "no_cart" if graph and graph.key == "cart" else "no_key")
            return None
        reason = entry.refusal(graph.reentry, about, earlier, self.now)
        if reason is not None:
            if reason != "under_way":
                self._refuse(each, reason, about)
            return None
        earlier.append(Earlier(about, self.now, active=True))
        return about if graph.reentry.again == "once" or graph.key == "event" else f"{about}{AGAIN}{each.event.accepted}"

    def _may_start(self, each: Candidate) -> bool:
        graph, age = each.journey.graph, self.now - each.event.occurred_at
        if graph is None:
            return False
        if each.journey.status == "broken" or each.journey.id in self.broken:
            self._refuse(each, "broken")
        elif age > graph.trigger.fresh_for(graph.trigger_settings):
            self._refuse(each, "too_late", age=int(age.total_seconds()))
        elif each.event.hops >= MAX_HOPS:
            self._refuse(each, "too_many_hops", cause=each.event.cause or "")
        else:
            return True
        return False

    def _key(self, each: Candidate, known: Known) -> str | None:
        """What the run this event would start is about; None where it needs a cart or a value and has none."""
        graph = each.journey.graph
        if graph is not None and graph.key == "cart":
            cart = cart_of(known.carts.get(each.event.profile_id, ()), seen(each.event))
            return f"{cart.source_id}:{cart.key}" if cart else None
        return graph.trigger.about(graph.trigger_settings, seen(each.event)) if graph else None

    def _earlier(self, session: Session, fresh: Sequence[Candidate], known: Known, active: Sequence[Passage]) -> dict[_Mine, list[Earlier]]:
        """(profile, journey) -> its runs, by what they are about; carts also as they are named today."""
        found: dict[_Mine, list[Earlier]] = defaultdict(list)
        asked = {(each.event.profile_id, each.journey.id) for each in fresh if each.journey.graph and each.journey.graph.remembers}
        if asked:
            profiles, journeys = zip(*asked, strict=True)
            for row in session.execute(_KEYS, {"profiles": list(profiles), "journeys": list(journeys)}):
                mine, about = found[row.profile_id, row.journey_id], row.key.partition(AGAIN)[0]
                mine.append(Earlier(about, row.started_at, active=False))
                if about.partition(":")[2].startswith("~") and (cart := cart_of(known.carts.get(row.profile_id, ()), runs.start_from(row.start))):
                    mine.append(Earlier(f"{cart.source_id}:{cart.key}", row.started_at, active=False))
        for passage in active:
            cart, mine = known.of(passage).cart, found[passage.profile_id, passage.journey_id]
            mine.append(Earlier(passage.key.partition(AGAIN)[0], passage.started_at, passage.active))
            if cart:
                mine.append(Earlier(f"{cart.source_id}:{cart.key}", passage.started_at, passage.active))
        return found

    def _passage(self, each: Candidate, key: str) -> Passage:
        graph, event = each.journey.graph, each.event
        assert graph is not None and each.journey.current is not None  # noqa: S101  candidates come from journeys with a graph
        return Passage(
            id=new_id(),
            profile_id=event.profile_id,
            journey_id=each.journey.id,
            slug=each.journey.slug,
            version=each.journey.current,
            graph=graph,
            key=key,
            node=graph.entry,
            start=seen(event),
            started_at=self.now,
            entered_at=event.occurred_at,
            hops=event.hops,
            held=each.journey.held,
        )

    def answer(self, session: Session, passages: Sequence[Passage], known: Known) -> None:
        """Answer what runs ask, in sets, until none asks any more."""
        for _ in range(MAX_AT_ONCE):
            waiting = [each for each in passages if each.asking is not None and each.active and not each.held]
            if not waiting:
                return
            found = asking.answers(session, waiting, self.moment, self.keys)
            for each in waiting:
                self._answered(each, known, found.get(each.id))

    def _answered(self, passage: Passage, known: Known, found: object) -> None:
        self.guarded(passage, lambda: walk(passage, known.of(passage), self.moment, answer=found))

    def guarded(self, passage: Passage, move: Callable[[], None]) -> None:
        """Move a run; where its journey's graph fails, the run stays visibly where it is and the journey is broken."""
        passage.held = passage.held or passage.journey_id in self.broken
        try:
            move()
        except BrokenError as error:
            passage.error, passage.due_at, passage.held, passage.changed = str(error), passage.due_at or self.now, True, True
            self._break(passage.journey_id, str(error))

    def _break(self, journey_id: int, problem: str) -> None:
        log.error("journey_broken", journey=journey_id, problem=problem)
        self.broken.setdefault(journey_id, problem)

    def _refuse(self, each: Candidate, reason: str, key: str = "", **detail: object) -> None:
        said = {"event": each.event.name, "occurred_at": each.event.occurred_at.isoformat(), **detail}
        self.refused.append(Refused(each.event.profile_id, each.journey.id, key, reason, said))

    def save(self, session: Session, active: Sequence[Passage], new: Sequence[Passage]) -> None:
        """Write it all."""
        for passage in (*active, *new):
            passage.held = passage.held or passage.journey_id in self.broken
        runs.save(session, active, new, self.now)
        runs.refuse(session, self.refused, self.now)
        runs.break_journeys(session, self.broken)


def _unreadable(session: Session, board: Board, run_ids: Collection[uuid.UUID]) -> dict[int, str]:
    """Journeys some of whose runs can go no further, and why: they would stand there for ever and nobody would know."""
    left = session.execute(_LEFT, {"runs": list(run_ids)}).all()
    known = {(each.id, number) for each in board.journeys.values() for number in each.graphs}
    return {row.journey_id: UNREADABLE.format(row.version) for row in left if (row.journey_id, row.version) not in known}


def _asked(active: Sequence[Passage], candidates: Sequence[Candidate], events: Sequence[Happened]) -> set[uuid.UUID]:
    """Profiles whose facts may be looked at."""
    named: Mapping[uuid.UUID, set[str]] = defaultdict(set)
    for event in events:
        named[event.profile_id].add(event.name)
    woken = {passage.profile_id for passage in active if passage.graph.listens & named[passage.profile_id]}
    return woken | {each.event.profile_id for each in candidates}


def _reads(active: Sequence[Passage], candidates: Sequence[Candidate]) -> frozenset[str]:
    graphs = [passage.graph for passage in active] + [each.journey.graph for each in candidates if each.journey.graph]
    wanted: frozenset[str] = frozenset().union(*(graph.reads for graph in {id(graph): graph for graph in graphs}.values()))
    return wanted | {"cart"} if any(graph.key == "cart" for graph in graphs) else wanted


_CLAIM = text("""
    SELECT p.id FROM wakeups w JOIN profiles p ON p.id = w.profile_id
    WHERE w.due_at <= :now ORDER BY w.due_at LIMIT :limit
    FOR UPDATE OF p SKIP LOCKED
""")
_LEFT = text("SELECT DISTINCT journey_id, version FROM runs WHERE id = ANY(:runs) AND status = 'active'")
_KEYS = text("""
    WITH a AS MATERIALIZED (SELECT * FROM unnest(CAST(:profiles AS uuid[]), CAST(:journeys AS int[])) AS a(profile_id, journey_id))
    SELECT r.profile_id, r.journey_id, r.key, r.start, r.started_at
    FROM a JOIN runs r ON r.profile_id = a.profile_id AND r.journey_id = a.journey_id AND r.status <> 'active'
    UNION ALL
    SELECT r.profile_id, r.journey_id, r.key, r.start, r.started_at
    FROM a JOIN past_runs r ON r.profile_id = a.profile_id AND r.journey_id = a.journey_id
""")
