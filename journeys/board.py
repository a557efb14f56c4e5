"""The published journeys, as the engine sees them: read once a batch, parsed once a process."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import URL, text
from sqlalchemy.orm import Session

from crm.core.errors import InvalidError
from journeys.graph import Graph, parse

LOCK = 0x6B736A31  # shared by whoever moves runs, exclusive for who publishes, pauses, resumes or stops
_Key = tuple[URL, int, int, dt.datetime]
_parsed: dict[_Key, Graph | str] = {}  # a version never changes


@dataclass(frozen=True, slots=True)
class Standing:
    """One journey now, with its readable versions."""

    id: int
    slug: str
    status: str
    current: int | None
    graphs: Mapping[int, Graph]

    @property
    def held(self) -> bool:
        """Runs stay where they are."""
        return self.status in {"paused", "broken"}

    @property
    def takes(self) -> bool:
        """People may come into it; while it is paused they wait at the first step."""
        return self.status in {"live", "paused"}

    @property
    def graph(self) -> Graph | None:
        """What new runs follow."""
        return self.graphs.get(self.current) if self.current is not None else None


@dataclass(frozen=True, slots=True)
class Board:
    """All journeys; `names` are the events any of them looks at."""

    journeys: Mapping[int, Standing]
    starts: Mapping[str, Sequence[Standing]]
    names: frozenset[str]
    unreadable: Mapping[int, str]


def read(session: Session) -> Board:
    """The board, held still until this transaction ends."""
    session.execute(text("SELECT pg_advisory_xact_lock_shared(:lock)"), {"lock": LOCK})
    rows = session.execute(_VERSIONS).all()
    place = session.get_bind().engine.url
    keys: list[_Key] = [(place, row.id, row.number, row.published_at) for row in rows]
    _parse(session, [key for key in keys if key not in _parsed])
    graphs: dict[int, dict[int, Graph]] = defaultdict(dict)
    unreadable: dict[int, str] = {}
    for row, key in zip(rows, keys, strict=True):
        graph = _parsed[key]
        if isinstance(graph, Graph):
            graphs[row.id][row.number] = graph
        elif row.number == row.version and row.status in {"live", "paused"}:
            unreadable[row.id] = graph
    status = {row.id: "broken" if row.id in unreadable else row.status for row in rows}
    return _board({row.id: Standing(row.id, row.slug, status[row.id], row.version, graphs[row.id]) for row in rows}, unreadable)


def _board(journeys: Mapping[int, Standing], unreadable: Mapping[int, str]) -> Board:
    starts: dict[str, list[Standing]] = defaultdict(list)
    names: set[str] = set()
    for each in journeys.values():
        if each.status not in {"live", "paused", "broken"}:
            continue
        names.update(*(graph.listens for graph in each.graphs.values()))
        if each.graph is not None:
            for name in each.graph.trigger.names(each.graph.trigger_settings):
                starts[name].append(each)
    return Board(journeys, starts, frozenset(names.union(starts)), unreadable)


def _parse(session: Session, missing: Sequence[_Key]) -> None:
    for key in missing:
        _place, journey_id, number, _published_at = key
        statement = text("SELECT graph FROM journey_versions WHERE journey_id = :journey AND number = :number")
        stored = session.execute(statement, {"journey": journey_id, "number": number}).scalar_one()
        try:
            _parsed[key] = parse(stored)
        except InvalidError as error:
            _parsed[key] = str(error)


_VERSIONS = text("""
    SELECT j.id, j.slug, j.status, j.version, v.number, v.published_at
    FROM journeys j JOIN journey_versions v ON v.journey_id = j.id
    ORDER BY j.id, v.number
""")
