"""Why a person is one person: the profiles that were joined, the identities each brought, the links between them."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.profiles import guards, large
from crm.profiles.rebuild import edges, side_of
from crm.profiles.timeline import follow

MOST = 200  # identities and links shown


@dataclass(frozen=True, slots=True)
class Owning:
    """One identifier as its profile brought it. `shared` devices and `blocked` identifiers lead nowhere."""

    kind: str
    value: str
    verified: bool
    shared: bool
    blocked: bool


@dataclass(frozen=True, slots=True)
class LinkView:
    """Why one profile went into another; `by` and `said` where a person decided, else the identity and the call that showed it."""

    id: int
    from_id: uuid.UUID
    into_id: uuid.UUID
    reason: str
    kind: str
    value: str
    message_id: str
    by: str
    said: str
    at: dt.datetime
    undone: bool
    size: int  # profiles that would stand alone again


@dataclass(frozen=True, slots=True)
class Part:
    """One profile of those that are one person now; `link` is how it came, None for the one they all went into."""

    id: uuid.UUID
    name: str
    born_at: dt.datetime
    events: int
    identities: list[Owning]
    link: LinkView | None


@dataclass(frozen=True, slots=True)
class Held:
    """What a guard kept from joining this person."""

    profile_id: uuid.UUID
    name: str
    reason: str
    kind: str
    value: str
    other_id: uuid.UUID | None
    count: int
    last_at: dt.datetime


@dataclass(frozen=True, slots=True)
class Graph:
    """A person as a graph: parts in the order they came, links that were undone, what guards held back."""

    id: uuid.UUID
    parts: list[Part]
    undone: list[LinkView]
    held: list[Held]
    waits: bool = False  # a join with too much to move in passing is still to be done
    parting: set[int] = field(default_factory=set)  # links still to be taken back, for the same reason
    failed: list[large.Failed] = field(default_factory=list)  # of both, what raised an error and waits for somebody to ask again


def graph(session: Session, profile_id: uuid.UUID) -> Graph | None:
    """The graph of the person with this id, or the one they were joined into; None where there is none."""
    root = follow(session, profile_id)
    if root is None:
        return None
    rows = session.execute(text(_PARTS), {"root": root, "most": MOST}).all()
    links = _links(session, [row.id for row in rows])
    owning = _identities(session, root)
    came = {link.from_id: link for link in links if not link.undone and link.reason != "undone"}
    parts = [Part(row.id, row.name, row.first_seen, row.events, owning.get(row.id, []), came.get(row.id) if row.id != root else None) for row in rows]
    undone, (waits, parting) = [link for link in links if link.reason == "undone"], large.waiting(session, root)
    return Graph(root, parts, undone, held(session, [row.id for row in rows]), waits, parting, large.failed(session, root))


def held(session: Session, profile_ids: Collection[uuid.UUID] | None = None, *, unseen: bool = False, limit: int = MOST) -> list[Held]:
    """What guards held back, the latest first: of everybody, or of these."""
    rows = session.execute(text(_HELD), {"ids": None if profile_ids is None else list(profile_ids), "unseen": unseen, "limit": limit})
    return [Held(*row) for row in rows]


def mark_seen(session: Session, now: dt.datetime) -> int:
    """Somebody has looked at all reports so far; returns how many were new."""
    found: Any = session.execute(text("UPDATE guard_reports SET seen_at = :now WHERE seen_at IS NULL AND last_at <= :now"), {"now": now})
    return int(found.rowcount)


def _links(session: Session, profile_ids: Collection[uuid.UUID]) -> list[LinkView]:
    counting = edges(session, profile_ids)
    rows = session.execute(text(_LINKS), {"ids": list(profile_ids), "most": MOST})
    return [_link(row, len(side_of([e for e in counting if e.id < row.id], row.from_id))) for row in rows]


def _link(row: Any, size: int) -> LinkView:
    said = {name: str(row.detail.get(name) or "") for name in ("kind", "value", "message_id", "by", "said")}
    return LinkView(row.id, row.from_id, row.into_id, row.reason, **said, at=row.at, undone=row.undone, size=size)


def _identities(session: Session, root: uuid.UUID) -> dict[uuid.UUID, list[Owning]]:
    rows = session.execute(text(_IDENTITIES), {"root": root, "most": MOST}).all()
    blocks = guards.load(session, [(row.kind, row.value) for row in rows])
    found: dict[uuid.UUID, list[Owning]] = {}
    for row in rows:
        found.setdefault(row.given, []).append(Owning(row.kind, row.value, row.verified, row.shared, blocks.is_blocked(row.kind, row.value)))
    return found


_PARTS = """
SELECT p.id, p.name, p.first_seen, (SELECT count(*) FROM events e WHERE e.profile_id = :root AND coalesce(e.given_id, e.profile_id) = p.id) AS events
FROM profiles p WHERE p.id = :root OR p.merged_into = :root ORDER BY p.id <> :root, p.id LIMIT :most
"""
_LINKS = """
SELECT l.*, EXISTS (SELECT FROM links u WHERE u.undoes = l.id) AS undone FROM links l
WHERE l.from_id = ANY(CAST(:ids AS uuid[])) OR l.into_id = ANY(CAST(:ids AS uuid[])) ORDER BY l.id DESC LIMIT :most
"""
_IDENTITIES = """
SELECT kind, value, coalesce(given_id, profile_id) AS given, verified, shared FROM identities WHERE profile_id = :root
ORDER BY kind = 'anonymous_id', kind, first_seen, value LIMIT :most
"""
_HELD = """
SELECT p.id, p.name, g.reason, g.kind, g.last_value, coalesce(o.merged_into, o.id), g.count, g.last_at
FROM guard_reports g JOIN profiles was ON was.id = g.profile_id JOIN profiles p ON p.id = coalesce(was.merged_into, was.id)
LEFT JOIN profiles o ON o.id = g.other_id
WHERE (CAST(:ids AS uuid[]) IS NULL OR g.profile_id = ANY(CAST(:ids AS uuid[]))) AND (NOT :unseen OR g.seen_at IS NULL)
ORDER BY g.last_at DESC, g.profile_id LIMIT :limit
"""
