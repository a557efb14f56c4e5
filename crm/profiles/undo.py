"""Join two people because a person says so, and take a join back. Carts, orders and what lies above follow in `crm.messages.joining`."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.core.errors import InvalidError, NotFoundError
from crm.core.i18n import _l
from crm.core.json import dumps
from crm.profiles import people as rows
from crm.profiles.identify import StaleError, older_known
from crm.profiles.move import Join, give_back, join, settle
from crm.profiles.people import Person
from crm.profiles.rebuild import edges, restore, side_of
from crm.profiles.timeline import follow

BY_HAND, SUGGESTED, UNDONE = "by_hand", "suggested", "undone"


@dataclass(frozen=True, slots=True)
class Parted:
    """A join taken back: who stands alone again, from whom, with whose rows; both to be saved."""

    alone: uuid.UUID
    rest: uuid.UUID
    side: frozenset[uuid.UUID]
    people: Mapping[uuid.UUID, Person]


def merge(session: Session, one: uuid.UUID, other: uuid.UUID, *, by: str, said: str, now: dt.datetime, reason: str = BY_HAND) -> tuple[Join, Person]:
    """Make two profiles one; returns the join and who both are now, still to be saved. InvalidError where they are one already."""
    people = both(session, one, other)
    return merge_locked(session, people, reason=reason, accepted=None, detail={"by": by, "said": said}, now=now)


def both(session: Session, one: uuid.UUID, other: uuid.UUID) -> dict[uuid.UUID, Person]:
    """Who these two are now, locked."""
    first, second = (follow(session, profile_id) for profile_id in (one, other))
    if first is None or second is None:
        raise NotFoundError(_l("There is no such profile. It may have been erased."))
    if first == second:
        raise InvalidError(_l("Both are one profile already."))
    people = _locked(session, {first, second})
    rows.load_ids(session, people, people.keys())
    return people


def merge_locked(
    session: Session, people: Mapping[uuid.UUID, Person], *, reason: str, accepted: int | None, detail: dict[str, str], now: dt.datetime
) -> tuple[Join, Person]:
    """Make two locked people one, whatever guards would say."""
    keep, gone = older_known(*people.values())
    keep.absorb(gone)
    made = Join(gone.id, keep.id, reason, accepted, detail)
    join(session, [made], now)
    return made, keep


def sides(session: Session, link_id: int) -> tuple[uuid.UUID, uuid.UUID]:
    """Who would stand alone again if this join were taken back, and whom from; InvalidError where it was before."""
    link = session.execute(text(_LINK), {"id": link_id}).one_or_none()
    if link is None:
        raise NotFoundError(_l("There is no such link."))
    rest = follow(session, link.into_id)
    if rest is None or link.undone:
        raise InvalidError(_l("This was taken apart before."))
    return link.from_id, rest


def part(session: Session, link_id: int, *, by: str, said: str, now: dt.datetime) -> Parted:
    """Take a join back: what was first of the one who came stands alone again, with what came for them meanwhile.

    InvalidError where it was taken back before, StaleError where somebody else changed who is joined: roll back and try again.
    """
    alone, rest = sides(session, link_id)
    tree = _tree(session, rest)
    locked = _locked(session, tree, rest)
    if _tree(session, rest) != tree or session.execute(text(_LINK), {"id": link_id}).one().undone:
        raise StaleError
    side = side_of([edge for edge in edges(session, tree) if edge.id != link_id], alone)
    session.execute(text(_UNDO), {"id": link_id, "detail": dumps({"by": by, "said": said}), "at": now})
    give_back(session, owner=rest, to=alone, given=side)
    both = {profile_id: locked[profile_id] for profile_id in (alone, rest)}
    restore(session, both)
    return Parted(alone, rest, frozenset(side), both)


def settle_parted(session: Session, parted: Parted) -> None:
    """Both sides get the bucket of their oldest, and remember that they were taken apart; after they were saved."""
    settle(session, parted.people.keys())


def _tree(session: Session, root: uuid.UUID) -> set[uuid.UUID]:
    return {root, *session.scalars(text("SELECT id FROM profiles WHERE merged_into = :root"), {"root": root})}


def _locked(session: Session, ids: Collection[uuid.UUID], *roots: uuid.UUID) -> dict[uuid.UUID, Person]:
    """Lock in id order; StaleError where one of these meanwhile was joined into another or is gone."""
    people = rows.lock(session, ids)
    alone = list(roots or ids)
    joined = session.scalar(text("SELECT count(*) FROM profiles WHERE id = ANY(CAST(:ids AS uuid[])) AND merged_into IS NULL"), {"ids": alone})
    if joined != len(alone) or len(people) != len(ids):
        raise StaleError
    return people


_LINK = """
SELECT l.from_id, l.into_id, l.undoes IS NOT NULL OR EXISTS (SELECT FROM links u WHERE u.undoes = l.id) AS undone FROM links l WHERE l.id = :id
"""
_UNDO = """
INSERT INTO links (from_id, into_id, reason, undoes, detail, at)
SELECT from_id, into_id, 'undone', id, CAST(:detail AS jsonb), :at FROM links WHERE id = :id
"""
