"""How a backtest counts entries against a limit: who comes, and when, of everybody; then, in order of time, who is let in."""

from __future__ import annotations

import datetime as dt
import hashlib
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from crm.core.crypto import Keys
from crm.events.spec import Happened
from journeys import entry, limits
from journeys.backtest_cast import FIRST_SPOKEN, Case, Cast, Setting, Sink, Somebody
from journeys.backtest_life import Life
from journeys.backtest_replay import Quiet
from journeys.entry import Earlier
from journeys.graph import Graph
from journeys.passage import Moment

Comer = tuple[int, int, int, int]  # when, in microseconds; number of the event; who and what about, as keyed hashes
MOST = 100_000  # comers remembered of one range of people; where more come the limit is not counted, and the report says so
EPOCH = dt.datetime.fromtimestamp(0, dt.UTC)


@dataclass(frozen=True, slots=True)
class Door:
    """The way into the journey in question: who came so far, and who is let in."""

    journey_id: int
    key: bytes
    comers: list[Comer] = field(default_factory=list)
    let_in: Collection[Comer] = ()

    def comer(self, who: Somebody, event: Happened, about: str, at: dt.datetime) -> Comer:
        """This one. What runs said has no number that stays the same."""
        number = event.accepted if event.accepted < FIRST_SPOKEN else 0
        return (at - EPOCH) // dt.timedelta(microseconds=1), number, self._mark(str(who.id)), self._mark(about)

    def _mark(self, said: str) -> int:
        return int.from_bytes(hashlib.blake2b(said.encode(), key=self.key, digest_size=7).digest(), "big")


def key_of(keys: Keys) -> bytes:
    """What comers are hashed with: the row of a backtest names nobody."""
    return keys.derive("backtest:comers")


class Coming(Life):
    """Notes who comes. Let in only where a run under way decides who may come again: there everybody is, as if there were no limit."""

    def __init__(self, cast: Cast, who: Somebody, setting: Setting, door: Door) -> None:
        super().__init__(cast, who, setting, Quiet())
        self.door = door
        self.known: set[str] = set()

    def room(self, case: Case, event: Happened, about: str, at: dt.datetime) -> bool:
        """Of an earlier comer whom a limit for ever keeps out nothing more need be known."""
        if case.journey_id != self.door.journey_id:
            return True
        graph = case.newest
        once = graph.reentry.again == "once" and graph.remembers and graph.drawing.limit is not None and graph.drawing.limit.within is None
        if not (once and about in self.known):
            self.door.comers.append(self.door.comer(self.who, event, about, at))
            self.known.add(about)
        return not graph.remembers and (graph.reentry.again, graph.reentry.at_once) != ("every_time", "unlimited")


class Limited(Life):
    """A life in which only those begin who are let in."""

    def __init__(self, cast: Cast, who: Somebody, setting: Setting, sink: Sink, door: Door) -> None:
        super().__init__(cast, who, setting, sink)
        self.door = door

    def room(self, case: Case, event: Happened, about: str, at: dt.datetime) -> bool:
        """As decided over everybody."""
        return case.journey_id != self.door.journey_id or self.door.comer(self.who, event, about, at) in self.door.let_in


def let_in(graph: Graph, comers: Iterable[Comer]) -> set[Comer]:
    """Those for whom there is a place when they come, by the rules of entry."""
    limit, begun = graph.drawing.limit, list[dt.datetime]()
    earlier: dict[int, list[Earlier]] = defaultdict(list)
    found: set[Comer] = set()
    for comer in sorted(comers):
        at, about, mine = EPOCH + dt.timedelta(microseconds=comer[0]), str(comer[3]), earlier[comer[2]]
        if limit is None or entry.refusal(graph.reentry, about, mine, at) is not None:
            continue
        if limits.left(limit, len(begun) - bisect_right(begun, limits.since(limit, Moment(at)))) > 0:
            begun.append(at)
            found.add(comer)
            mine.extend([Earlier(about, at, active=False)] if graph.remembers else [])
    return found


def opened(graph: Graph, parts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The ranges of people from their beginning, each with who of them is let in; None where more came than can be counted."""
    counted = all(part["comers"] is not None for part in parts)
    inside = let_in(graph, (_comer(each) for part in parts for each in part["comers"])) if counted else set()
    firsts = [None, *(part["last"] for part in parts[:-1])]
    return [
        {name: part[name] for name in part if name != "comers"}
        | {"after": first, "done": 0, "over": False, "let_in": [each for each in part["comers"] if _comer(each) in inside] if counted else None}
        for first, part in zip(firsts, parts, strict=True)
    ]


def _comer(stored: Sequence[int]) -> Comer:
    at, number, who, about = stored
    return at, number, who, about
