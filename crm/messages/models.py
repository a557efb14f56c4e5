"""Rows of what we say: templates and their versions, messages, the outbox, every decision about a message."""

from __future__ import annotations

import uuid

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, SmallInteger, Text, UniqueConstraint, func, text
from sqlalchemy.dialects.postgresql import UUID
from sqlalchemy.orm import Mapped, mapped_column

from crm.core.db import Base, Given, Id, Json, Time

STATUSES = ("queued", "held", "sending", "sent", "dropped", "failed", "unknown")


class Template(Base):
    """A message's words under one name; messages follow its latest version."""

    __tablename__ = "templates"
    __table_args__ = (CheckConstraint("purpose IN ('marketing', 'transactional')", name="purpose"),)
    name: Mapped[str] = mapped_column(Text, primary_key=True)
    channel: Mapped[str] = mapped_column(Text)
    topic: Mapped[str] = mapped_column(Text)
    purpose: Mapped[str] = mapped_column(Text)
    version: Mapped[int]
    problem: Mapped[str | None] = mapped_column(Text)  # why the last wording could not be published, or raised while it was filled in


class TemplateVersion(Base):
    """One published wording: language -> {"subject", "mjml", "html" (compiled), "text"}, and sample data for previews."""

    __tablename__ = "template_versions"
    name: Mapped[str] = mapped_column(ForeignKey("templates.name"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    content: Mapped[Json]
    sample: Mapped[Json]
    digest: Mapped[str] = mapped_column(Text)
    published_at: Mapped[Time] = mapped_column(server_default=func.now())


class Message(Base):
    """One message to one profile over one channel, from queued to its last fate."""

    __tablename__ = "messages"
    __table_args__ = (
        CheckConstraint("status IN ('queued', 'held', 'sending', 'sent', 'dropped', 'failed', 'unknown')", name="status"),
        UniqueConstraint("run_id", "node", "round"),
        Index("ix_messages_profile", "profile_id", "created_at"),
        Index("ix_messages_created", "created_at", "id"),
        Index("ix_messages_status", "status", "created_at", "id"),
        Index("ix_messages_address", "address", postgresql_where=text("purpose = 'marketing' AND address IS NOT NULL")),  # for the caps
        {"info": {"erasure": "blank"}},  # the row stays for the sums
    )
    id: Mapped[Id] = mapped_column(primary_key=True)
    profile_id: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True), info={"moves": True})
    given_id: Mapped[Given]
    run_id: Mapped[uuid.UUID | None] = mapped_column(UUID(as_uuid=True))
    journey: Mapped[str | None] = mapped_column(Text)  # the journey's slug, for the log
    node: Mapped[str | None] = mapped_column(Text)
    round: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    channel: Mapped[str] = mapped_column(Text)
    template: Mapped[str] = mapped_column(Text)
    version: Mapped[int | None]  # the template version that was rendered
    language: Mapped[str | None] = mapped_column(Text)
    topic: Mapped[str] = mapped_column(Text)
    purpose: Mapped[str] = mapped_column(Text)
    address: Mapped[str | None] = mapped_column(Text, info={"personal": "messages"})
    subject: Mapped[str | None] = mapped_column(Text, info={"personal": "messages"})
    status: Mapped[str] = mapped_column(Text)
    reason: Mapped[str | None] = mapped_column(Text)  # why held, dropped, failed or unknown
    relevant_if: Mapped[Json | None]  # {"cart": {"source_id", "key", "at"}}: checked again in the final gate
    data: Mapped[Json] = mapped_column(server_default=text("'{}'"), info={"personal": "messages"})  # what the template gets besides the profile
    hops: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    attempts: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    provider_id: Mapped[str | None] = mapped_column(Text)  # Message-ID, or what the provider calls it
    created_at: Mapped[Time] = mapped_column(server_default=func.now())
    marked_at: Mapped[Time | None]  # when it was last marked `sending`
    sent_at: Mapped[Time | None]
    opened_at: Mapped[Time | None]  # first open not marked as a machine's
    clicked_at: Mapped[Time | None]


class OutboxRow(Base):
    """What still has to happen to a message: due, or leased to a sender until `lease_until`."""

    __tablename__ = "outbox"
    __table_args__ = (Index("ix_outbox_due", "due_at"),)
    message_id: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True), primary_key=True)
    profile_id: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True), info={"moves": True})
    due_at: Mapped[Time]
    lease_until: Mapped[Time | None]  # set with the mark `sending`; past it the outcome is `unknown`
    taken: Mapped[str | None] = mapped_column(Text)  # what became of it while it was on its way: why it is dropped or held, should it come back
    freed_at: Mapped[Time | None]  # when its journey last went on after a pause: patience counts from then


class Decision(Base):
    """One answer of the gate or the channel about one message, with its reason."""

    __tablename__ = "message_decisions"
    __table_args__ = (Index("ix_message_decisions_message", "message_id", "id"), {"info": {"erasure": "blank"}})
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    profile_id: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True), info={"moves": True})
    message_id: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True))
    stage: Mapped[str] = mapped_column(Text)  # queued | cheap | final | channel | feedback
    answer: Mapped[str] = mapped_column(Text)  # send | hold | drop | sent | failed | retry | unknown | opened | …
    reason: Mapped[str] = mapped_column(Text)
    detail: Mapped[Json] = mapped_column(server_default=text("'{}'"), info={"personal": "messages"})  # what a mail server said may quote the address
    at: Mapped[Time] = mapped_column(server_default=func.now())


class SendingRow(Base):
    """When marketing may go out: one row, read by sending.py."""

    __tablename__ = "sending_settings"
    id: Mapped[int] = mapped_column(SmallInteger, primary_key=True, server_default=text("1"))
    value: Mapped[Json]
    changed_at: Mapped[Time] = mapped_column(server_default=func.now())
