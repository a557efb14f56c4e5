"""Replay: what runs really did, decided anew from the log in the order in which we acted; every difference with its cause."""

from __future__ import annotations

import datetime as dt
import itertools
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, assert_never

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.events.inbox import driver
from crm.events.models import LIVE
from crm.events.spec import Happened
from journeys.backtest_cast import Case, Cast, Setting, Somebody
from journeys.backtest_life import Life
from journeys.backtest_read import AT_ONCE, Batch, wanted
from journeys.engine import AGAIN
from journeys.entry import Earlier
from journeys.graph import Graph
from journeys.node import CartFact, Coupon, Effect, Look, Looked, Recommend, Slot, Survey, Winner
from journeys.passage import Passage

OUTSIDE = ("stopped", "new_version", "merged", "dropped")  # ends that a person or a join brought about, not a step
MOST_TOLD = 100  # differences kept of one range of people
Path = list[str]


@dataclass(slots=True)
class Stored:
    """A run as its rows tell it."""

    id: uuid.UUID
    profile_id: uuid.UUID
    version: int
    key: str
    status: str
    started_at: dt.datetime
    ended_at: dt.datetime | None
    end_reason: str | None
    due_at: dt.datetime | None
    start: int | None  # the accepted number of the event that began it; None where it was blanked
    joined: bool
    data: Mapping[str, Any]  # node -> what it brought
    steps: list[tuple[str, int, str, Mapping[str, Any], dt.datetime]] = field(default_factory=list)
    codes: dict[str, str] = field(default_factory=dict)

    def times(self) -> list[dt.datetime]:
        """When it really moved."""
        return sorted({step[4] for step in self.steps} | ({self.ended_at} if self.ended_at else set()))

    def path(self, until: dt.datetime) -> Path:
        """Its way up to a time."""
        return _path(((node, round_, way) for node, round_, way, _, at in self.steps if at < until), self.end_reason, self.ended_at, until)


def _path(steps: Iterable[tuple[str, int, str]], reason: str | None, ended_at: dt.datetime | None, until: dt.datetime) -> Path:
    path = [f"{node}/{way}" if not round_ else f"{node}#{round_}/{way}" for node, round_, way in steps]
    return [*path, f"→ {reason}"] if ended_at is not None and ended_at < until else path


@dataclass(frozen=True, slots=True)
class Then:
    """What the rows tell of some people: their runs, the starts refused by (profile, time of the event), and when the journey was held."""

    runs: Mapping[uuid.UUID, Sequence[Stored]]
    refused: Mapping[tuple[uuid.UUID, str], str]
    pauses: Sequence[tuple[dt.datetime, dt.datetime]]


@dataclass(slots=True)
class Quiet:
    """The sink of a replay: nothing is counted."""

    def started(self, case: Case, run: Passage) -> None:
        """Nothing."""

    def refused(self, case: Case, event: Happened, reason: str, at: dt.datetime) -> None:
        """Nothing."""

    def moved(self, run: Passage, at: dt.datetime) -> None:
        """Nothing."""

    def wants(self, run: Passage, node: str, effect: Effect, at: dt.datetime, cart: CartFact | None) -> None:
        """Nothing."""


class Replayed(Life):
    """A person's runs decided again, with the versions, arms, answers and wake times of then. What runs said lies in the log already."""

    keeps = True

    def __init__(self, cast: Cast, who: Somebody, setting: Setting, then: Then) -> None:
        super().__init__(cast, who, setting, Quiet())
        stored, self.pauses, self.refusals = then.runs.get(who.id, ()), then.pauses, then.refused
        self.stored = {each.start: each for each in stored if each.start is not None and each.started_at >= setting.begins}
        self.before = [each for each in stored if each.started_at < setting.begins]
        self.then: dict[uuid.UUID, Stored] = {}
        self.times: dict[uuid.UUID, list[dt.datetime]] = {}
        self.causes: dict[uuid.UUID, str] = {}

    def wakes(self, event: Happened) -> bool:
        """As live: the past starts and wakes nothing."""
        return event.origin == LIVE

    def begun(self, run: Passage, event: Happened) -> None:
        """Know which run of then this is."""
        if then := self.stored.get(event.accepted):
            run.id = then.id
            self.then[run.id], self.times[run.id] = then, then.times()
        run.held = self.paused(run.started_at)

    def paused(self, at: dt.datetime) -> bool:
        """Whether the journey was held then."""
        return any(since <= at < until for since, until in self.pauses)

    def next_due(self, until: dt.datetime) -> tuple[dt.datetime, Passage] | None:
        """The next time at which a run really moved; at one moment the events come first."""
        due = [(times[0], run) for run in self.runs if run.active and (times := self.times.get(run.id)) and times[0] < until]
        if not due:
            return None
        at, run = min(due, key=lambda each: each[0])
        self.times[run.id].pop(0)
        self.turn(run, at)
        return max(at, self.clock), run

    def turn(self, run: Passage, at: dt.datetime) -> None:
        """Before a run moves: what people did to it meanwhile."""
        then = self.then.get(run.id)
        run.held = False
        if then is None:
            return
        for since, number, graph in self.cast.cases[run.journey_id].held:
            if run.version < number <= then.version and since <= at:
                self._onto(run, number, graph)
        if then.end_reason in OUTSIDE and then.ended_at is not None and then.ended_at <= at and run.active:
            run.end(then.end_reason, at)

    def _onto(self, run: Passage, number: int, graph: Graph) -> None:
        if run.node in graph.nodes:
            run.version, run.graph = number, graph
        else:
            self.causes[run.id] = "moved"

    def _react(self, run: Passage, event: Happened, at: dt.datetime) -> None:
        self.turn(run, at)
        run.held = self.paused(at)
        super()._react(run, event, at)

    def stuck(self, run: Passage, at: dt.datetime) -> None:
        """It woke then and now waits on: it shows in the comparison."""

    def left_out(self, case: Case, graph: Graph) -> bool:
        """As drawn then; who was never drawn never came so far."""
        return bool(graph.drawing.holdout) and self.who.arms.get(case.journey_id) in {"out", "mixed"}

    def room(self, case: Case, event: Happened, about: str, at: dt.datetime) -> bool:
        """As it was then: places are taken by others."""
        return self.refusals.get((self.who.id, event.occurred_at.isoformat())) != "full"

    def _earlier(self, case: Case, graph: Graph) -> list[Earlier]:
        """With the runs that began before the period."""
        known = [Earlier(run.key.partition(AGAIN)[0], run.started_at, active=run.ended_at is None or run.ended_at > self.clock) for run in self.before]
        return [*super()._earlier(case, graph), *(each for each in known if each.active or graph.remembers)]

    def found(self, run: Passage, at: dt.datetime) -> object:
        """The answer of then, out of the rows it left."""
        then = self.then.get(run.id)
        why = next((why for node, round_, _, why, _ in then.steps if (node, round_) == (run.node, run.round)), {}) if then else {}
        match run.asking:
            case Coupon(pool):
                return then.codes.get(pool) if then else None
            case Slot():
                place = dt.datetime.fromisoformat(why["place"]) if "place" in why else then.due_at if then else None
                return place or at
            case Survey():
                return dt.datetime.fromisoformat(why["last"]) if "last" in why else True
            case Recommend():
                return then.data.get(run.node, {}).get("products", []) if then else []
            case Winner():
                return why.get("won")
            case Look() | None:
                return self._looked(run, at, why.get("looked"))
            case _:
                assert_never(run.asking)

    def _looked(self, run: Passage, at: dt.datetime, then: Mapping[str, Any] | None) -> object:
        """What was done is counted anew; in which segments they were is what was found then, since not every change of those lies in the log."""
        found = super().found(run, at)
        return replace(found, segments=frozenset(slug for slug, there in then["segments"].items() if there)) if then and isinstance(found, Looked) else found

    def say(self, run: Passage, effect: Effect, at: dt.datetime) -> None:
        """It is in the log."""


def compare(session: Session, cast: Cast, setting: Setting, found: Batch, pauses: Sequence[tuple[dt.datetime, dt.datetime]]) -> Iterator[dict[str, Any] | None]:
    """For each run of the period: None where it went the same way, else the difference."""
    if not found.people:
        return
    then = Then(_stored(session, cast, setting, found), _refused(session, cast, setting, found), pauses)
    lost = set(then.runs)
    for who, moments in _lives(session, cast, setting, found):
        lost.discard(who.id)
        life, accepted = Replayed(cast, who, setting, then), set[int]()
        for at, events in moments:
            accepted |= {event.accepted for event in events}
            life.moment(at, events)
        life.end()
        yield from _compared(life, then, accepted)
    for profile_id in sorted(lost):
        yield from (_told(each, "event_gone", each.path(setting.ends), []) for each in then.runs[profile_id] if each.started_at >= setting.begins)


def _compared(life: Replayed, then: Then, accepted: set[int]) -> Iterator[dict[str, Any] | None]:
    now, until = {run.id: run for run in life.runs}, life.setting.ends
    for real in then.runs.get(life.who.id, ()):
        if real.started_at >= life.setting.begins:
            run = now.pop(real.id, None)
            path = _now(run, until) if run else []
            yield None if run and path == real.path(until) else _told(real, _cause(life, real, run, accepted), real.path(until), path)
    for run in now.values():
        cause = then.refused.get((run.profile_id, run.start.occurred_at.isoformat()))
        yield {"run": None, "cause": f"refused:{cause}" if cause else "not_live", "then": [], "now": _now(run, until)}


def _now(run: Passage, until: dt.datetime) -> Path:
    return _path(((step.node, step.round, step.exit) for step in run.passed if step.at < until), run.end_reason, run.ended_at, until)


def _cause(life: Replayed, then: Stored, run: Passage | None, accepted: set[int]) -> str:
    """Why the rows of today lead elsewhere, the surest first."""
    known = {
        "erased": then.start is None,
        "joined": then.joined,
        "event_gone": then.start not in accepted,
        "broken": then.status == "failed",
        "acted": (then.end_reason or "") in OUTSIDE,
        "held_out": run is None and bool(life.who.arms),
        "not_begun": run is None,
    }
    return next((cause for cause, holds in known.items() if holds), life.causes.get(then.id, "facts"))


def _told(then: Stored, cause: str, real: Path, path: Path) -> dict[str, Any]:
    return {"run": str(then.id), "cause": cause, "then": real, "now": path}


def noted(part: Mapping[str, Any], found: Iterable[dict[str, Any] | None]) -> dict[str, Any]:
    """A part with these comparisons added."""
    causes, told = Counter(part["sums"]), list(part["told"])
    for each in found:
        causes[each["cause"] if each else "same"] += 1
        if each and len(told) < MOST_TOLD:
            told.append(each)
    return {"sums": dict(causes), "told": told}


def report(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """How many runs went the same way, and how the others differ."""
    causes = sum((Counter(part["sums"]) for part in parts), Counter[str]())
    same = causes.pop("same", 0)
    told = [each for part in parts for each in part["told"]][:MOST_TOLD]
    return {"runs": same + causes.total(), "same": same, "causes": dict(causes.most_common()), "differences": told}


def pauses(session: Session, slug: str, until: dt.datetime) -> list[tuple[dt.datetime, dt.datetime]]:
    """When people held the journey, by what the audit log tells."""
    found: list[tuple[dt.datetime, dt.datetime]] = []
    since: dt.datetime | None = None
    for action, at in session.execute(_PAUSES, {"slug": slug}):
        if action == "journey.pause" and since is None:
            since = at
        elif action != "journey.pause" and since is not None:
            found.append((since, at))
            since = None
    return [*found, (since, until)] if since is not None else found


def _lives(session: Session, cast: Cast, setting: Setting, found: Batch) -> Iterator[tuple[Somebody, Iterator[tuple[dt.datetime, list[Happened]]]]]:
    """Each person with what we acted on together, in that order."""
    people = {who.id: who for who in found.people}
    with driver(session).cursor("replay") as cursor:
        cursor.itersize = AT_ONCE
        cursor.execute(_ACTED, wanted(cast, setting, found), binary=True)
        for profile_id, rows in itertools.groupby(cursor, key=lambda row: row[0]):
            if profile_id in people:
                yield people[profile_id], _moments(rows, setting.ends)


def _moments(rows: Iterable[Sequence[Any]], until: dt.datetime) -> Iterator[tuple[dt.datetime, list[Happened]]]:
    """Events of one batch share the time at which they were acted on, which never goes back."""
    reached, together = dt.datetime.min.replace(tzinfo=dt.UTC), list[Happened]()
    for *known, acted_at in rows:
        if together and acted_at > reached:
            yield reached, together
            together = []
        reached = max(reached, acted_at)
        if reached >= until:
            return
        together.append(_event(known))
    if together:
        yield reached, together


def _event(row: Sequence[Any]) -> Happened:
    profile_id, occurred_at, accepted, source_id, kind, name, origin, trusted, properties, received_at, hops, cause = row
    return Happened(profile_id, occurred_at, accepted, source_id, kind, name, origin, trusted, (), properties, {}, {}, received_at, hops=hops, cause=cause)


def _stored(session: Session, cast: Cast, setting: Setting, found: Batch) -> dict[uuid.UUID, list[Stored]]:
    """Their runs with every step; of those folded since, which lie before the period, only that they were."""
    within = {"begins": setting.begins, "to": setting.ends}
    bounds = {"journeys": list(cast.cases), "first": found.people[0].id, "last": found.people[-1].id, **within}
    runs: dict[uuid.UUID, Stored] = {}
    for row in session.execute(_RUNS, bounds):
        began = row.start.get("accepted") if row.start else None
        joined = row.given_id is not None or "#" in row.key.replace(AGAIN, "")
        runs[row.id] = Stored(
            row.id, row.profile_id, row.version, row.key, row.status, row.started_at, row.ended_at, row.end_reason, row.due_at, began, joined, row.data or {}
        )
    ids = {"runs": list(runs)}
    for row in session.execute(_STEPS, {**ids, **bounds}) if runs else ():
        runs[row.run_id].steps.append((row.node, row.round, row.exit, row.detail, row.at))
    for row in session.execute(_CODES, ids) if runs else ():
        runs[row.run_id].codes[row.pool] = row.code
    mine: dict[uuid.UUID, list[Stored]] = defaultdict(list)
    for each in runs.values():
        mine[each.profile_id].append(each)
    return mine


def _refused(session: Session, cast: Cast, setting: Setting, found: Batch) -> dict[tuple[uuid.UUID, str], str]:
    bounds = {"journeys": list(cast.cases), "first": found.people[0].id, "last": found.people[-1].id, "begins": setting.begins}
    return {(row.profile_id, row.detail.get("occurred_at", "")): row.reason for row in session.execute(_REFUSED, bounds)}


_ACTED = """
SELECT e.profile_id, e.occurred_at, e.accepted, e.source_id, e.type, e.name, e.origin, e.trusted, e.properties, e.received_at, e.hops, e.cause,
       coalesce(i.processed_at, e.received_at)
FROM events e LEFT JOIN event_inbox i ON i.id = e.accepted AND i.received_at = e.received_at
WHERE e.profile_id BETWEEN %(first)s AND %(last)s AND e.occurred_at >= %(since)s AND e.occurred_at < %(to)s AND e.name = ANY(%(names)s)
ORDER BY e.profile_id, e.position
"""
_RUNS = text("""
    SELECT id, profile_id, version, key, status, started_at, ended_at, end_reason, due_at, start, given_id, data FROM runs
    WHERE journey_id = ANY(:journeys) AND profile_id BETWEEN :first AND :last AND started_at < :to
    UNION ALL SELECT id, profile_id, version, key, 'done', started_at, ended_at, end_reason, NULL, start, given_id, NULL FROM past_runs
    WHERE journey_id = ANY(:journeys) AND profile_id BETWEEN :first AND :last AND started_at < :begins ORDER BY profile_id, started_at, id
""")
_STEPS = text("""
    SELECT run_id, node, round, exit, detail, at FROM run_steps
    WHERE profile_id BETWEEN :first AND :last AND run_id = ANY(CAST(:runs AS uuid[])) ORDER BY run_id, number
""")
_CODES = text("SELECT run_id, pool, code FROM coupons WHERE run_id = ANY(CAST(:runs AS uuid[]))")
_REFUSED = text("""
    SELECT profile_id, reason, detail FROM entry_refusals
    WHERE journey_id = ANY(:journeys) AND profile_id BETWEEN :first AND :last AND at >= :begins ORDER BY id
""")
_PAUSES = text("SELECT action, at FROM audit_log WHERE subject = :slug AND action IN ('journey.pause', 'journey.resume', 'journey.stop') ORDER BY at")
