"""Rows of people who leave: their requests, and the hashes that keep them from coming back by an import."""

from __future__ import annotations

import uuid

from sqlalchemy import BigInteger, CheckConstraint, Identity, Index, LargeBinary, Text, func, text
from sqlalchemy.dialects.postgresql import UUID
from sqlalchemy.orm import Mapped, mapped_column

from crm.core.db import Base, Json, JsonList, Time

ASKED, WAITING, RUNNING, DONE, REFUSED = "asked", "waiting", "running", "done", "refused"


class Erasure(Base):
    """One request to be forgotten and how far it is; what it held of the person is emptied when it is done."""

    __tablename__ = "erasures"
    __table_args__ = (
        CheckConstraint("status IN ('asked', 'waiting', 'running', 'done', 'refused')", name="status"),
        Index("ix_erasures_open", "due_at", postgresql_where=text("status IN ('waiting', 'running')")),
        {"info": {"erasure": "own"}},
    )
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    subject_id: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True), index=True, info={"subject": "profile"})
    status: Mapped[str] = mapped_column(Text)
    by: Mapped[str] = mapped_column(Text)  # user:<id> | link | command | backup
    ids: Mapped[JsonList] = mapped_column(server_default=text("'[]'"))  # the profile and whoever was joined into it
    identities: Mapped[JsonList] = mapped_column(server_default=text("'[]'"), info={"personal": "erasure"})  # [[kind, value], …]
    cleared: Mapped[JsonList] = mapped_column(server_default=text("'[]'"))  # places that are empty already: a killed job goes on here
    counts: Mapped[Json] = mapped_column(server_default=text("'{}'"))  # place -> rows deleted or emptied
    total: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))  # rows there were to begin with, as far as counting is cheap
    asked_at: Mapped[Time] = mapped_column(server_default=func.now())
    due_at: Mapped[Time] = mapped_column(server_default=func.now())
    finished_at: Mapped[Time | None]
    problem: Mapped[str | None] = mapped_column(Text, info={"personal": "erasure"})  # what its last step raised; it is tried again


class Tombstone(Base):
    """An identity that was erased, as an HMAC under a key kept for this alone; nobody can read it back."""

    __tablename__ = "tombstones"
    hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    at: Mapped[Time]
    dropped: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))  # calls that would have brought it back


class Retention(Base):
    """How long one kind of detail is kept, and how far its sweep has come."""

    __tablename__ = "retention"
    kind: Mapped[str] = mapped_column(Text, primary_key=True)
    days: Mapped[int | None]  # empty: as long as we say
    done_until: Mapped[Time | None]
    rest_until: Mapped[Time | None]
