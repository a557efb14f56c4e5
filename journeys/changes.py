"""What differs between two drawings, in lines a team can read, and who stands on what changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from sqlalchemy import text
from sqlalchemy.orm import Session

from journeys.graph import Drawing


@dataclass(frozen=True, slots=True)
class NodeChange:
    """A node of an older version as the new one has it: `changed`, `ways`, `removed` or `added`; how many runs stand there."""

    node: str
    change: str
    people: int


def plain(stored: object) -> dict[str, Any]:
    """A drawing without what is only default, so that equal ones compare equal; an unfinished one as it is."""
    try:
        return Drawing.model_validate(stored).model_dump(by_alias=True, exclude_defaults=True, mode="json")
    except ValidationError:
        return dict(stored) if isinstance(stored, Mapping) else {}


def diff(old: object, new: object) -> list[str]:
    """Lines: `+ node`, `- node`, `~ place: before -> after`; empty where both mean the same."""
    return list(_lines("", plain(old), plain(new)))


def _lines(place: str, old: Any, new: Any) -> Iterator[str]:
    if old == new:
        return
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in dict.fromkeys([*old, *new]):
            yield from _lines(f"{place}.{key}".lstrip("."), old.get(key), new.get(key))
    elif old is None:
        yield f"+ {place}: {_short(new)}"
    elif new is None:
        yield f"- {place}: {_short(old)}"
    else:
        yield f"~ {place}: {_short(old)} → {_short(new)}"


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        kind = value.get("kind")
        return str(kind) if kind else ", ".join(f"{key}: {_short(each)}" for key, each in value.items())
    return "; ".join(_short(each) for each in value) if isinstance(value, list) else str(value)


def node_change(old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> str | None:
    """How one node differs; None where it is the same. Its name is no difference."""
    if old is None or new is None:
        return "added" if old is None else "removed"
    if any(old.get(part) != new.get(part) for part in ("kind", "settings", "schema")):
        return "changed"
    return "ways" if old.get("exits") != new.get("exits") else None


def changes(session: Session, journey_id: int, new: object) -> tuple[list[NodeChange], int]:
    """Nodes that differ from the versions people stand on (or from the current one), and how many runs go on altogether."""
    nodes = plain(new).get("nodes", {})
    standing = _standing(session, journey_id)
    counted: dict[tuple[str, str], int] = {}
    for graph, here in standing:
        for name in graph.get("nodes", {}):
            if change := node_change(graph["nodes"][name], nodes.get(name)):
                counted[name, change] = counted.get((name, change), 0) + here.get(name, 0)
    before = {name for graph, _ in standing for name in graph.get("nodes", {})}
    counted |= {(name, "added"): 0 for name in nodes if standing and name not in before}
    return [NodeChange(*key, people) for key, people in counted.items()], sum(sum(here.values()) for _, here in standing)


def _standing(session: Session, journey_id: int) -> Sequence[tuple[Mapping[str, Any], Mapping[str, int]]]:
    """Each version people are in, and the current one: its graph, and how many stand on each node."""
    found: dict[int, tuple[Mapping[str, Any], dict[str, int]]] = {}
    for row in session.execute(_STANDING, {"id": journey_id}):
        here = found.setdefault(row.number, (plain(row.graph), {}))[1]
        if row.node is not None:
            here[row.node] = row.people
    return list(found.values())


_STANDING = text("""
    SELECT v.number, v.graph, r.node, r.people
    FROM journey_versions v
    LEFT JOIN (
        SELECT version, node, count(*) AS people FROM runs WHERE journey_id = :id AND status IN ('active', 'failed') GROUP BY version, node
    ) r ON r.version = v.number
    WHERE v.journey_id = :id AND (r.node IS NOT NULL OR v.number = (SELECT version FROM journeys WHERE id = :id))
    ORDER BY v.number
""")
