"""Two profiles side by side, before a person says whether they are one."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.profiles.called import CALLED
from crm.profiles.people import weight
from crm.profiles.suggest.judge import alike
from crm.profiles.timeline import follow

MOST = 60  # lines of each sort
SAID_ABOVE = {"email", "phone"}  # as identities
SPELT = {"name", "firstName", "lastName", "first_name", "last_name", "city"}  # one value in two alphabets is no conflict


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two."""

    id: uuid.UUID
    name: str
    known: bool
    first_seen: dt.datetime
    last_seen: dt.datetime
    events: int
    orders: int


@dataclass(frozen=True, slots=True)
class Line:
    """What each says about one thing. `state`: same, one (only one says it), differs. `later` is the side (0 or 1) whose value a join would keep."""

    name: str
    values: tuple[Any, Any]
    state: str
    later: int | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Both, line by line; `conflicts` counts the lines that differ."""

    sides: tuple[Side, Side]
    identities: list[Line]
    traits: list[Line]
    conflicts: int


def compare(session: Session, one: uuid.UUID, other: uuid.UUID) -> Comparison | None:
    """Both as they are now, joined ones as who they became; None where one is missing or both are one."""
    first, second = follow(session, one), follow(session, other)
    if first is None or second is None or first == second:
        return None
    rows = {row.id: row for row in session.execute(text(_SIDES), {"ids": [first, second]})}
    pair = (rows[first], rows[second])
    sides = tuple(Side(row.id, row.called, row.known, row.first_seen, row.last_seen, row.events, row.orders) for row in pair)
    traits = [_trait(name, pair) for name in sorted((pair[0].traits.keys() | pair[1].traits.keys()) - SAID_ABOVE)]
    identities = _identities(session, first, second)
    differing = sum(line.state == "differs" for line in [*identities, *traits])
    return Comparison((sides[0], sides[1]), identities[:MOST], traits[:MOST], differing)


def _trait(name: str, pair: tuple[Any, Any]) -> Line:
    values = (pair[0].traits.get(name), pair[1].traits.get(name))
    if None in values:
        return Line(name, values, "one")
    if values[0] == values[1] or (name in SPELT and all(isinstance(value, str) for value in values) and alike(*values)):
        return Line(name, values, "same")
    times = [row.traits_at.get(name, [0]) for row in pair]
    return Line(name, values, "differs", int(weight(times[1]) > weight(times[0])))


def _identities(session: Session, first: uuid.UUID, second: uuid.UUID) -> list[Line]:
    """Two user ids, or two addresses of one kind, are no contradiction by themselves, but user ids are for a person to see."""
    found: dict[str, tuple[list[str], list[str]]] = {}
    for row in session.execute(text(_IDENTITIES), {"ids": [first, second]}):
        found.setdefault(row.kind, ([], []))[row.profile_id == second].append(row.value)
    return [Line(kind, (mine, theirs), _state(kind, mine, theirs)) for kind, (mine, theirs) in found.items()]


def _state(kind: str, mine: list[str], theirs: list[str]) -> str:
    if not (mine and theirs):
        return "one"
    return "differs" if kind == "user_id" else "same"


_SIDES = f"""
SELECT p.*, {CALLED} AS called, (SELECT count(*) FROM events e WHERE e.profile_id = p.id) AS events,
       (SELECT count(*) FROM orders o WHERE o.profile_id = p.id) AS orders
FROM profiles p WHERE p.id = ANY(CAST(:ids AS uuid[]))
"""  # noqa: S608  our own fragments
_IDENTITIES = """
SELECT kind, value, profile_id FROM identities WHERE profile_id = ANY(CAST(:ids AS uuid[])) AND kind <> 'anonymous_id'
ORDER BY kind, first_seen, value LIMIT 120
"""
