"""`/messages`: the log, and why each message went, waited or was dropped."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass
from typing import Literal

from pydantic import AwareDatetime, Field
from sqlalchemy.orm import Session

from crm.core.errors import NotFoundError
from crm.messages.log import DecisionRow, Filters, MessageRow, decisions, message, messages
from crm.web.api.operation import ByTime, Items, blueprint, items, operation

bp = blueprint("messages")
Status = Literal["queued", "held", "sending", "sent", "dropped", "failed", "unknown"]


class MessagesWanted(ByTime):
    status: Status | None = None
    channel: str | None = Field(None, max_length=40)
    journey: str | None = Field(None, max_length=200, description="The journey's slug.")
    template: str | None = Field(None, max_length=200)
    reason: str | None = Field(None, max_length=200, description="Why it was held, dropped or failed.")
    profile_id: uuid.UUID | None = None
    run_id: uuid.UUID | None = None
    since: AwareDatetime | None = Field(None, description="Created at this time or later; with its time zone.")
    until: AwareDatetime | None = Field(None, description="Created before this time; with its time zone.")


@dataclass(frozen=True, slots=True)
class MessageView:
    """A message with every decision about it, in order."""

    message: MessageRow
    decisions: list[DecisionRow]


@operation(bp, "/messages", answer=Items[MessageRow], query=MessagesWanted, summary="Messages, newest first")
def message_log(session: Session, *, query: MessagesWanted, now: dt.datetime) -> Items[MessageRow]:
    filters = Filters(**query.model_dump(exclude={"limit", "cursor"}))
    return items(messages(session, filters, after=query.cursor, limit=query.limit))


@operation(bp, "/messages/<uuid:message_id>", answer=MessageView, summary="One message and every decision about it")
def one_message(session: Session, *, message_id: uuid.UUID, now: dt.datetime) -> MessageView:
    found = message(session, message_id)
    if found is None:
        raise NotFoundError("There is no message with this id. `GET /api/v1/messages` lists those there are.")
    return MessageView(found, decisions(session, message_id))
