"""Join two people or take a join back, by a person's decision: profiles, carts and orders, messages, then whoever asked to be told."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable
from typing import TypeVar

import structlog
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from crm.commerce import carts, orders
from crm.profiles import people as rows
from crm.profiles import undo
from crm.profiles.identify import StaleError
from crm.profiles.move import moved, on_part
from crm.profiles.search import refresh_search

TRIES = 5
T = TypeVar("T")
log = structlog.get_logger()


def merge(session: Session, one: uuid.UUID, other: uuid.UUID, *, by: str, said: str, now: dt.datetime, currency: str, reason: str = undo.BY_HAND) -> uuid.UUID:  # noqa: PLR0913, E501
    """Make two profiles one, everything of theirs with them; returns who they are now. The caller commits."""
    join, person = undo.merge(session, one, other, by=by, said=said, now=now, reason=reason)
    carts.fold(session, [], {person.id: person}, currency=currency)
    refresh_search(session, rows.save(session, [person]))
    moved(session, [join], now)
    return person.id


def unmerge(session: Session, link_id: int, *, by: str, said: str, now: dt.datetime, currency: str) -> undo.Parted:  # noqa: PLR0913
    """Take one join back. What was sent or refused meanwhile stays as it happened. The caller commits."""
    parted = undo.part(session, link_id, by=by, said=said, now=now)
    orders.reown(session, list(parted.people))
    carts.fold(session, [], parted.people, currency=currency)
    refresh_search(session, rows.save(session, parted.people.values()))
    undo.settle_parted(session, parted)
    for hook in on_part:
        hook(session, parted.rest, parted.alone, parted.side, now)
    follow_messages(session, parted.rest, parted.alone)
    return parted


def follow_messages(session: Session, owner: uuid.UUID, to: uuid.UUID) -> None:
    """What lies beside a message goes where the message went."""
    for table in ("outbox", "message_decisions"):
        session.execute(text(_FOLLOW.format(table=table)), {"owner": owner, "to": to})


def again_if_stale(session: Session, act: Callable[[], T]) -> T:
    """Do it, and once more where somebody else was faster or the database broke a deadlock; nothing may have been written before."""
    for attempt in range(TRIES):
        try:
            return act()
        except (StaleError, OperationalError) as error:
            session.rollback()
            if attempt == TRIES - 1 or not (isinstance(error, StaleError) or _is_deadlock(error)):
                raise
            log.info("join_tried_again", error=type(error).__name__)
    raise AssertionError("the loop returns or raises")


def _is_deadlock(error: OperationalError) -> bool:
    return getattr(error.orig, "sqlstate", None) in {"40P01", "40001"}


_FOLLOW = "UPDATE {table} t SET profile_id = m.profile_id FROM messages m WHERE m.id = t.message_id AND t.profile_id = :owner AND m.profile_id = :to"
