"""Join two people or take a join back, by a person's decision: profiles, carts and orders, messages, then whoever asked to be told."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import structlog
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, sessionmaker

from crm.commerce import carts, orders
from crm.core.db import in_short, is_passing
from crm.core.errors import InvalidError, NotFoundError
from crm.profiles import guards, large, undo
from crm.profiles import people as rows
from crm.profiles.identify import StaleError, older_known
from crm.profiles.move import Join, moved, on_part
from crm.profiles.people import Person
from crm.profiles.search import refresh_search

TRIES = 5
T = TypeVar("T")
log = structlog.get_logger()


def merge(session: Session, one: uuid.UUID, other: uuid.UUID, *, by: str, said: str, now: dt.datetime, currency: str, reason: str = undo.BY_HAND) -> uuid.UUID:
    """Make two profiles one, everything of theirs with them; returns who they are now, or will be where `large.waits` says so. The caller commits."""
    people = undo.both(session, one, other)
    detail = {"by": by, "said": said}
    if large.among(session, people):
        keep, gone = older_known(*people.values())
        large.postpone(session, [Join(gone.id, keep.id, reason, None, detail)], now)
        return keep.id
    large.forget(session, people)
    return _merge(session, people, reason=reason, accepted=None, detail=detail, now=now, currency=currency)


def merge_later(sessions: sessionmaker[Session], currency: str, now: Callable[[], dt.datetime]) -> int:
    """Do the oldest of what had too much to move, a join or its undoing, in one transaction; 0 where there is none, or others hold the people.

    One that raises an error is set aside with it, so that the others go on.
    """
    with sessions() as session:
        row = session.execute(text(_NEXT)).one_or_none()
        if row is None:
            return 0
        problem = None
        try:
            with session.begin_nested():
                _merge_noted(session, row, currency, now())
        except (NotFoundError, InvalidError):
            log.info("join_needed_no_more", reason=row.reason)  # one of them was erased, or they are one, or two, by another way
        except StaleError:
            return 0
        except Exception as error:  # whatever one join can do to us must not stop the others
            if is_passing(error):
                raise
            problem = in_short(error)
            log.exception("join_set_aside", reason=row.reason)
        if problem is None:
            session.execute(text("DELETE FROM large_joins WHERE (one_id, other_id) = (:one, :other)"), {"one": row.one_id, "other": row.other_id})
        else:
            large.set_aside(session, row.one_id, row.other_id, problem)
        session.commit()
    return 1


def _merge_noted(session: Session, row: Any, currency: str, now: dt.datetime) -> None:
    """What a call showed is asked again whether it may be: much may have happened since."""
    if row.reason == undo.UNDONE:
        _unmerge(session, int(row.detail["link"]), by=row.detail["by"], said=row.detail["said"], now=now, currency=currency)
        return
    people = undo.both(session, row.one_id, row.other_id)
    limits = guards.load(session, [])
    if row.accepted is not None and (refused := guards.refusal(limits, *people.values())):
        keep, gone = older_known(*people.values())
        limits.report(refused, keep, row.detail.get("kind", ""), row.detail.get("value", ""), gone)
        guards.write(session, limits, now)
        return
    _merge(session, people, reason=row.reason, accepted=row.accepted, detail=row.detail, now=now, currency=currency)


def _merge(
    session: Session, people: Mapping[uuid.UUID, Person], *, reason: str, accepted: int | None, detail: dict[str, str], now: dt.datetime, currency: str
) -> uuid.UUID:
    join, person = undo.merge_locked(session, people, reason=reason, accepted=accepted, detail=detail, now=now)
    carts.fold(session, [], {person.id: person}, currency=currency)
    refresh_search(session, rows.save(session, [person]))
    moved(session, [join], now)
    return person.id


def unmerge(session: Session, link_id: int, *, by: str, said: str, now: dt.datetime, currency: str) -> tuple[uuid.UUID, uuid.UUID]:
    """Take one join back; returns who stands alone again and whom from, or will soon where `large.waits` says so. The caller commits.

    What was sent or refused meanwhile stays as it happened.
    """
    alone, rest = undo.sides(session, link_id)
    if large.among(session, [rest]):
        large.postpone(session, [Join(alone, rest, undo.UNDONE, None, {"by": by, "said": said, "link": str(link_id)})], now)
    else:
        _unmerge(session, link_id, by=by, said=said, now=now, currency=currency)
    return alone, rest


def _unmerge(session: Session, link_id: int, *, by: str, said: str, now: dt.datetime, currency: str) -> None:
    parted = undo.part(session, link_id, by=by, said=said, now=now)
    orders.reown(session, list(parted.people))
    carts.fold(session, [], parted.people, currency=currency)
    refresh_search(session, rows.save(session, parted.people.values()))
    undo.settle_parted(session, parted)
    for hook in on_part:
        hook(session, parted.rest, parted.alone, parted.side, now)
    follow_messages(session, parted.rest, parted.alone)


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


_NEXT = "SELECT * FROM large_joins WHERE problem IS NULL ORDER BY asked_at LIMIT 1 FOR UPDATE SKIP LOCKED"
_FOLLOW = "UPDATE {table} t SET profile_id = m.profile_id FROM messages m WHERE m.id = t.message_id AND t.profile_id = :owner AND m.profile_id = :to"
