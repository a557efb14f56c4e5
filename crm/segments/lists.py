"""Lists by hand: who was put on one or taken off; each change is an event, by which the segments that name the list follow."""

from __future__ import annotations

import datetime as dt
import re
import uuid
from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from crm.core.errors import InvalidError, NotFoundError
from crm.core.i18n import _l
from crm.events import inbox
from crm.segments import store
from crm.segments.models import List, ListMember, Segment

JOINED, LEFT = "List Joined", "List Left"
AT_ONCE = 5_000  # people whose locks one transaction of a page holds


@dataclass(frozen=True, slots=True)
class ListView:
    """A list and how many are on it."""

    slug: str
    name: str
    size: int
    created_at: dt.datetime


def create(session: Session, *, slug: str, name: str, now: dt.datetime) -> List:
    """Make a list, or name one anew; InvalidError names what is wrong."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,99}", slug):
        raise InvalidError(_l("slug: use small letters, digits and hyphens, for example fair-visitors."))
    if not name.strip():
        raise InvalidError(_l("name: a list needs a name."))
    found = session.scalar(select(List).where(List.slug == slug))
    if found is None:
        found = List(slug=slug, name="", created_at=now)
        session.add(found)
    found.name = name.strip()[:200]
    session.flush()
    return found


def find(session: Session, slug: str) -> List:
    """The list with this slug; NotFoundError where there is none."""
    found = session.scalar(select(List).where(List.slug == slug))
    if found is None:
        raise NotFoundError(_l("There is no such list. It may have been deleted."))
    return found


def all_lists(session: Session) -> list[ListView]:
    """Every list with its size, by name."""
    people = func.count(ListMember.profile_id.distinct())
    wanted = select(List.slug, List.name, people, List.created_at).outerjoin(ListMember, ListMember.list_id == List.id)
    return [ListView(*row) for row in session.execute(wanted.group_by(List.id).order_by(List.name, List.slug))]


def add(
    session: Session,
    slug: str,
    profile_ids: Collection[uuid.UUID],
    *,
    now: dt.datetime,
    since: dt.datetime | None = None,
    cause: str | None = None,
    hops: int = 0,
) -> int:
    """Put these people on a list, as of now or of when it was asked; returns how many were not on it. Who was joined into another counts as that one."""
    row = find(session, slug)
    params = {"list": row.id, "ids": _locked(session, profile_ids), "since": since or now}
    new = session.scalars(text(_ADD), params).all()
    _tell(session, JOINED, row, new, now=now, cause=cause, hops=hops)
    return len(new)


def remove(session: Session, slug: str, profile_ids: Collection[uuid.UUID], *, now: dt.datetime, cause: str | None = None, hops: int = 0) -> int:
    """Take these people off a list; returns how many were on it."""
    row = find(session, slug)
    gone = set(session.scalars(text(_REMOVE), {"list": row.id, "ids": _locked(session, profile_ids)}))
    _tell(session, LEFT, row, gone, now=now, cause=cause, hops=hops)
    return len(gone)


def delete(session: Session, slug: str) -> None:
    """Delete a list that nothing names."""
    row = find(session, slug)
    store.refuse_in_use(session, "list", slug, row.name, used_by(session, slug))
    session.delete(row)
    session.flush()


def used_by(session: Session, slug: str) -> list[Segment]:
    """Segments whose rule names this list."""
    return [one for one in session.scalars(select(Segment).order_by(Segment.name)) if slug in store.reads_of(one).lists]


def members(session: Session, slug: str, *, after: uuid.UUID | None, limit: int, until: dt.datetime | None = None) -> list[tuple[uuid.UUID, dt.datetime]]:
    """Who is on it and since when, by id; with `until`, who was on it by then."""
    wanted = select(ListMember.profile_id, func.min(ListMember.since)).where(ListMember.list_id == find(session, slug).id)
    wanted = wanted if after is None else wanted.where(ListMember.profile_id > after)
    wanted = wanted if until is None else wanted.where(ListMember.since <= until)
    return [(row[0], row[1]) for row in session.execute(wanted.group_by(ListMember.profile_id).order_by(ListMember.profile_id).limit(limit))]


def by_addresses(session: Session, addresses: Collection[str]) -> dict[str, uuid.UUID]:
    """Whose these normalised e-mail addresses are."""
    rows = session.execute(text("SELECT value, profile_id FROM identities WHERE kind = 'email' AND value = ANY(:values)"), {"values": list(addresses)})
    return {row[0]: row[1] for row in rows}


def _locked(session: Session, profile_ids: Collection[uuid.UUID]) -> list[uuid.UUID]:
    """Who these people are now, locked in id order: a join goes on before or after, never in between."""
    return list(session.scalars(text(_LOCK), {"ids": sorted(set(profile_ids))})) if profile_ids else []


def _tell(session: Session, event: str, row: List, ids: Collection[uuid.UUID], *, now: dt.datetime, cause: str | None, hops: int) -> None:
    said = {"list": row.slug, "name": row.name}
    inbox.append(session, [inbox.system_event(event, one, said, cause=cause, hops=hops) for one in sorted(ids)], now)


_LOCK = """
SELECT id FROM profiles WHERE merged_into IS NULL
AND id IN (SELECT coalesce(merged_into, id) FROM profiles WHERE id = ANY(CAST(:ids AS uuid[]))) ORDER BY id FOR UPDATE
"""
_ADD = """
INSERT INTO list_members (list_id, profile_id, since)
SELECT :list, i, :since FROM unnest(CAST(:ids AS uuid[])) i
WHERE NOT EXISTS (SELECT FROM list_members m WHERE m.list_id = :list AND m.profile_id = i)
ON CONFLICT (list_id, coalesce(given_id, profile_id)) DO NOTHING RETURNING profile_id
"""
_REMOVE = "DELETE FROM list_members WHERE list_id = :list AND profile_id = ANY(CAST(:ids AS uuid[])) RETURNING profile_id"
