"""Many leads at once: those that nobody has, given in turn to some who sell and taken back together; those of somebody who left."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.core.errors import InvalidError
from crm.core.i18n import _l
from crm.profiles import people
from crm.sales import assign, leads, queue, settings
from crm.sales.queue import Filters
from crm.sales.settings import AssignRule

MOST = 1_000  # at once


def share(  # whose, to whom, how many
    session: Session, filters: Filters, *, among: Sequence[int], most: int, zone: str, by: int, now: dt.datetime
) -> Mapping[uuid.UUID, int]:
    """The best of these that nobody has go in turn to those of `among` who have room; returns lead -> owner."""
    if not among:
        raise InvalidError(_l("Choose who gets them."))
    rule = AssignRule(kind="round_robin", people=tuple(among))
    rules = settings.read(session).model_copy(update={"rules": (rule,), "off_duty": "give"})
    locked = people.lock(session, queue.ownerless(session, filters, limit=min(most, MOST)))
    return assign.give(session, locked, rules=rules, zone=zone, by=by, now=now)


def take_back(session: Session, given_at: dt.datetime, owners: Collection[int], *, by: int, now: dt.datetime) -> int:
    """Nobody has those leads again; whatever was worked on or given on since then stays. Returns how many."""
    given = {"at": given_at, "owners": list(owners)}
    people.lock(session, session.scalars(text(_GIVEN), given).all())
    mine = session.scalars(text(_GIVEN), given).all()
    return len(leads.assign(session, dict.fromkeys(mine, (None, "hand")), by=by, now=now))


def leave(session: Session, seller: int, *, now: dt.datetime) -> int:
    """Somebody sells here no more: nothing is given to them, and nobody has their leads until the rules or a person give them on. Returns how many."""
    session.execute(text("UPDATE sellers SET active = false WHERE user_id = :id"), {"id": seller})
    people.lock(session, session.scalars(text(_THEIRS), {"id": seller}).all())
    theirs = session.scalars(text(_THEIRS), {"id": seller}).all()
    return len(leads.assign(session, dict.fromkeys(theirs, (None, "hand")), by=None, now=now))


_THEIRS = "SELECT profile_id FROM leads WHERE open AND owner_id = :id"
_GIVEN = """
SELECT profile_id FROM leads WHERE open AND owner_id = ANY(CAST(:owners AS integer[])) AND owner_at = :at AND owner_by = 'hand'
AND (touched_at IS NULL OR touched_at < :at)
"""
