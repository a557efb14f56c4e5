"""Rows of what happened: sources and their keys, the inbox, the log, what could not be read."""

from __future__ import annotations

import uuid

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, LargeBinary, Sequence, SmallInteger, Text, UniqueConstraint, func, text
from sqlalchemy.dialects.postgresql import UUID
from sqlalchemy.orm import Mapped, mapped_column

from crm.core.db import Base, Given, Json, JsonList, Time

INBOX_ID = Sequence("event_inbox_id", metadata=Base.metadata)
POSITION = Sequence("event_position", metadata=Base.metadata)
LIVE, HISTORY = "live", "history"
SYSTEM_SOURCE = 1  # "kesher" itself: opens, clicks, run ends; inserted by the first migration


class Source(Base):
    """Where events come from: a shop's site, an import, Kesher itself. Settings: `cart_url`, `consent_map`, `allowed_origins`."""

    __tablename__ = "sources"
    id: Mapped[int] = mapped_column(Identity(start=10), primary_key=True)
    name: Mapped[str] = mapped_column(Text, unique=True)
    settings: Mapped[Json] = mapped_column(server_default=text("'{}'"))
    created_at: Mapped[Time] = mapped_column(server_default=func.now())


class WriteKey(Base):
    """A key of a source; `browser` keys are public and therefore prove nothing."""

    __tablename__ = "write_keys"
    __table_args__ = (CheckConstraint("kind IN ('browser', 'server')", name="kind"),)
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    source_id: Mapped[int] = mapped_column(ForeignKey("sources.id"))
    kind: Mapped[str] = mapped_column(Text)
    digest: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    hint: Mapped[str] = mapped_column(Text)  # the last four characters, to tell keys apart on a screen
    created_at: Mapped[Time] = mapped_column(server_default=func.now())
    revoked_at: Mapped[Time | None]


class InboxRow(Base):
    """One accepted call, as it came (a Segment call as JSON text), until and after it is processed. Partitioned by day."""

    __tablename__ = "event_inbox"
    __table_args__ = (
        Index("ix_event_inbox_waiting", "lane", "id", postgresql_where=text("processed_at IS NULL")),
        {"postgresql_partition_by": "RANGE (received_at)"},
    )
    id: Mapped[int] = mapped_column(BigInteger, INBOX_ID, server_default=INBOX_ID.next_value(), primary_key=True)
    received_at: Mapped[Time] = mapped_column(primary_key=True)
    source_id: Mapped[int]
    trusted: Mapped[bool]  # came with a server key, or from Kesher itself
    origin: Mapped[str] = mapped_column(Text)  # live | history
    lane: Mapped[int] = mapped_column(SmallInteger)  # crc32 of the call's first identity, modulo 64
    sent_at: Mapped[Time | None]  # the sender's clock when it sent the batch
    hops: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    cause: Mapped[str | None] = mapped_column(Text)
    body: Mapped[str] = mapped_column(Text, info={"personal": "events", "subject": "call"})
    processed_at: Mapped[Time | None]


class EventKey(Base):
    """A call counts once: the first 16 bytes of SHA-256 over source and messageId. Dropped after the dedupe window unless `forever`."""

    __tablename__ = "event_keys"
    key: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True), primary_key=True)
    seen_at: Mapped[Time] = mapped_column(index=True)
    forever: Mapped[bool] = mapped_column(server_default=text("false"))


class Event(Base):
    """The log: something that happened, to whom, when. Partitioned by month of `occurred_at`; no foreign keys."""

    __tablename__ = "events"
    __table_args__ = (
        Index("ix_events_name", "name", "occurred_at"),
        {"postgresql_partition_by": "RANGE (occurred_at)"},
    )
    profile_id: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True), primary_key=True, info={"moves": True})
    given_id: Mapped[Given]  # the profile its identities first led to
    occurred_at: Mapped[Time] = mapped_column(primary_key=True)
    accepted: Mapped[int] = mapped_column(BigInteger, primary_key=True)  # inbox id: the order of acceptance; breaks ties of time
    position: Mapped[int] = mapped_column(BigInteger, POSITION, server_default=POSITION.next_value())
    received_at: Mapped[Time]
    claimed_at: Mapped[Time | None]  # the client's own value where we corrected it
    source_id: Mapped[int]
    message_id: Mapped[str] = mapped_column(Text)
    type: Mapped[str] = mapped_column(Text)  # track | page | screen | identify | group | alias
    name: Mapped[str] = mapped_column(Text)  # "Product Added"; for page and screen "Page Viewed", "Screen Viewed"; else the type
    origin: Mapped[str] = mapped_column(Text)
    trusted: Mapped[bool]
    # [[kind, value, verified], …] as they came; a fourth, "left", where a guard kept it from leading anywhere
    identities: Mapped[JsonList] = mapped_column(info={"personal": "events"})
    properties: Mapped[Json] = mapped_column(info={"personal": "events"})
    context: Mapped[Json] = mapped_column(info={"personal": "events"})
    hops: Mapped[int] = mapped_column(SmallInteger)
    cause: Mapped[str | None] = mapped_column(Text)


class QuarantinedCall(Base):
    """A call that could not be taken, with its reason; shown, and replayable once the reason is gone."""

    __tablename__ = "quarantine"
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    received_at: Mapped[Time] = mapped_column(index=True)
    source_id: Mapped[int]
    trusted: Mapped[bool]
    origin: Mapped[str] = mapped_column(Text)
    sent_at: Mapped[Time | None]
    reason: Mapped[str] = mapped_column(Text)  # too_large | no_identity | no_name | bad_json | too_old | failed | …
    detail: Mapped[str] = mapped_column(Text)
    hops: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))  # a chain goes on where it was when it is replayed
    cause: Mapped[str | None] = mapped_column(Text)
    body: Mapped[str] = mapped_column(Text, info={"personal": "events", "subject": "call"})
    replayed_at: Mapped[Time | None]


class Import(Base):
    """One file read into the inbox: where it stands, so that a killed import goes on where it stopped."""

    __tablename__ = "imports"
    __table_args__ = (UniqueConstraint("source_id", "file_digest", "mapping_digest"),)
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    source_id: Mapped[int] = mapped_column(ForeignKey("sources.id"))
    file_name: Mapped[str] = mapped_column(Text)
    file_digest: Mapped[bytes] = mapped_column(LargeBinary)
    mapping_digest: Mapped[bytes] = mapped_column(LargeBinary)
    done: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))  # groups or lines already in the inbox
    counts: Mapped[Json] = mapped_column(server_default=text("'{}'"))
    started_at: Mapped[Time] = mapped_column(server_default=func.now())
    finished_at: Mapped[Time | None]
