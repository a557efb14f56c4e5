"""The message log: which messages, what became of each, and why."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, func, select, tuple_
from sqlalchemy.orm import Session

from crm.core.paging import Page, cursor, read_place
from crm.messages.models import Decision, Message
from crm.profiles.models import Profile


@dataclass(frozen=True, slots=True)
class Filters:
    """Which messages are wanted; what is None (or empty) does not narrow. Times are of creation, `since` inclusive, `until` exclusive."""

    status: str | None = None
    channel: str | None = None
    journey: str | None = None
    template: str | None = None
    reason: str | None = None
    profile_id: uuid.UUID | None = None
    run_id: uuid.UUID | None = None
    since: dt.datetime | None = None
    until: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class MessageRow:
    """A message in the log, with the name of whom it is for."""

    id: uuid.UUID
    profile_id: uuid.UUID
    profile: str
    run_id: uuid.UUID | None
    journey: str | None
    node: str | None
    channel: str
    template: str
    version: int | None
    language: str | None
    topic: str
    purpose: str
    address: str | None
    subject: str | None
    status: str
    reason: str | None
    attempts: int
    created_at: dt.datetime
    sent_at: dt.datetime | None
    opened_at: dt.datetime | None
    clicked_at: dt.datetime | None


@dataclass(frozen=True, slots=True)
class DecisionRow:
    """One answer of the gate or the channel."""

    at: dt.datetime
    stage: str
    answer: str
    reason: str
    detail: dict[str, Any]


def messages(session: Session, filters: Filters, *, after: str | None = None, limit: int = 50) -> Page[MessageRow]:
    """Messages, newest first; `after` is the `next` of the page before."""
    statement = _rows().where(*_conditions(filters)).order_by(Message.created_at.desc(), Message.id.desc()).limit(limit + 1)
    if place := read_place(after):
        statement = statement.where(tuple_(Message.created_at, Message.id) < place)
    found = [_row(row) for row in session.execute(statement)]
    rows = found[:limit]
    return Page(rows, cursor(rows[-1].created_at, rows[-1].id) if len(found) > limit else None)


def message(session: Session, message_id: uuid.UUID) -> MessageRow | None:
    """One message, or None."""
    row = session.execute(_rows().where(Message.id == message_id)).one_or_none()
    return None if row is None else _row(row)


def decisions(session: Session, message_id: uuid.UUID) -> list[DecisionRow]:
    """Everything that was decided about a message, in order."""
    columns = (Decision.at, Decision.stage, Decision.answer, Decision.reason, Decision.detail)
    return [DecisionRow(*row) for row in session.execute(select(*columns).where(Decision.message_id == message_id).order_by(Decision.id))]


def by_status(session: Session, *, since: dt.datetime) -> dict[str, int]:
    """How many messages created since then are in each status; the numbers add up to all of them."""
    rows = session.execute(select(Message.status, func.count().label("messages")).where(Message.created_at >= since).group_by(Message.status))
    return {row.status: row.messages for row in rows}


def _rows() -> Select[Any]:
    shown = (getattr(Message, name) for name in MessageRow.__dataclass_fields__ if name != "profile")
    return select(*shown, Profile.name.label("profile")).join(Profile, Profile.id == Message.profile_id, isouter=True)


def _row(row: Row[Any]) -> MessageRow:
    return MessageRow(**{**row._mapping, "profile": row.profile or ""})


def _conditions(filters: Filters) -> list[ColumnElement[bool]]:
    equal = [
        getattr(Message, name) == value
        for name in ("status", "channel", "journey", "template", "reason", "profile_id", "run_id")
        if (value := getattr(filters, name))
    ]
    since = [Message.created_at >= filters.since] if filters.since else []
    until = [Message.created_at < filters.until] if filters.until else []
    return equal + since + until
