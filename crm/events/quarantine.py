"""Calls that could not be taken: held with their reason, shown page by page, replayed or thrown away."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from crm.core.clock import parse_time
from crm.events import inbox, sums
from crm.events.models import HISTORY, SYSTEM_SOURCE, QuarantinedCall
from crm.events.source import HeldError
from crm.events.sources import segment
from crm.events.spec import Call, event_name

PRESENT = dt.timedelta(days=1)  # what is older replays as history: it starts nothing and sends nothing
MAX_PAGE = 200


@dataclass(frozen=True, slots=True)
class Holding:
    """A call to hold: how it came, why it is held (a code, and a detail as `detail_of` reads it), its JSON text; what made it and how long that chain is."""

    received_at: dt.datetime
    source_id: int
    trusted: bool
    origin: str
    sent_at: dt.datetime | None
    reason: str
    detail: str
    body: str
    hops: int = 0
    cause: str | None = None


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came of a replay: how many calls are in the inbox again, and why the others are not (by quarantine id)."""

    count: int
    refused: dict[int, HeldError]


def hold(session: Session, calls: Sequence[Holding]) -> None:
    """Put calls into quarantine."""
    if calls:  # PostgreSQL's text cannot hold NUL
        rows = [asdict(call) | {"body": call.body.replace("\x00", ""), "detail": call.detail.replace("\x00", "")} for call in calls]
        session.execute(insert(QuarantinedCall), rows)


def page(session: Session, *, before: int | None = None, size: int = 50, source_id: int | None = None) -> Sequence[QuarantinedCall]:
    """Calls still held, newest first, older than the id `before`; `size` at most (200 at most)."""
    statement = select(QuarantinedCall).where(QuarantinedCall.replayed_at.is_(None)).order_by(QuarantinedCall.id.desc()).limit(min(size, MAX_PAGE))
    if before is not None:
        statement = statement.where(QuarantinedCall.id < before)
    if source_id is not None:
        statement = statement.where(QuarantinedCall.source_id == source_id)
    return session.scalars(statement).all()


def replay(session: Session, *, ids: Sequence[int], now: dt.datetime) -> Replayed:
    """Send held calls through the inbox again; one that would only be held again stays, with the reason in `refused`.

    What was too large is taken now: a person has looked at it. A call keeps the time at which it first came.
    """
    waiting = select(QuarantinedCall).where(QuarantinedCall.id.in_(ids), QuarantinedCall.replayed_at.is_(None)).order_by(QuarantinedCall.id)
    rows: list[inbox.NewRow] = []
    done: list[int] = []
    refused: dict[int, HeldError] = {}
    for held in session.scalars(waiting.with_for_update(skip_locked=True)):
        try:
            rows.append(_row(held, now))
            done.append(held.id)
        except HeldError as error:
            refused[held.id] = error
    inbox.append(session, rows, now)
    session.execute(update(QuarantinedCall).where(QuarantinedCall.id.in_(done)).values(replayed_at=now))
    return Replayed(len(rows), refused)


def discard(session: Session, *, ids: Sequence[int]) -> int:
    """Throw held calls away for good; returns how many there were."""
    return len(session.scalars(delete(QuarantinedCall).where(QuarantinedCall.id.in_(ids)).returning(QuarantinedCall.id)).all())


def _row(held: QuarantinedCall, now: dt.datetime) -> inbox.NewRow:
    call = segment.read(held.body)
    if held.source_id != SYSTEM_SOURCE:  # Kesher's own calls name a profile instead of an identity
        segment.check(call, call.type)
    sums.check(event_name(call), call.properties)
    call.message_id = call.message_id if call.message_id.strip() else segment.made_id(b"%d" % held.source_id, held.body.encode())
    happened = min(_happened(call, held), held.received_at)
    call.timestamp, call.sent_at = happened.isoformat(), None
    origin = HISTORY if now - happened > PRESENT else held.origin
    return inbox.NewRow(held.source_id, held.trusted, origin, call, hops=held.hops, cause=held.cause)


def _happened(call: Call, held: QuarantinedCall) -> dt.datetime:
    """When it happened by our clock: it must not move because it was held (DESIGN: time)."""
    claimed, sent = parse_time(call.timestamp), held.sent_at or parse_time(call.sent_at)
    if claimed is None:
        return held.received_at
    try:
        return held.received_at - (sent - claimed) if sent is not None else claimed
    except OverflowError:
        return held.received_at
