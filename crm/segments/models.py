"""Rows of who belongs together: segments, their members, when time alone may change one, how large they were."""

from __future__ import annotations

import datetime as dt
import uuid

from sqlalchemy import BigInteger, CheckConstraint, Date, ForeignKey, Identity, Index, Integer, Text, func, text
from sqlalchemy.dialects.postgresql import UUID
from sqlalchemy.orm import Mapped, mapped_column

from crm.core.db import Base, Given, Json, Time


class Segment(Base):
    """A rule over profiles. `filling` until its present members were found once; a rule that raises makes it `broken`."""

    __tablename__ = "segments"
    __table_args__ = (CheckConstraint("status IN ('filling', 'live', 'broken')", name="status"),)
    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    slug: Mapped[str] = mapped_column(Text, unique=True)
    name: Mapped[str] = mapped_column(Text)
    rule: Mapped[Json]
    version: Mapped[int] = mapped_column(server_default=text("1"))
    status: Mapped[str] = mapped_column(Text, server_default="filling")
    problem: Mapped[str | None] = mapped_column(Text)
    filled: Mapped[uuid.UUID | None] = mapped_column(UUID(as_uuid=True))  # up to which profile its members were found
    fillings: Mapped[int] = mapped_column(server_default=text("0"))  # how often that was begun
    size: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))  # as of the last folding of `segment_moves`
    created_at: Mapped[Time]
    changed_at: Mapped[Time]


class Membership(Base):
    """Who is in a segment now, and since when."""

    __tablename__ = "memberships"
    __table_args__ = (Index("ix_memberships_segment", "segment_id", "profile_id"),)
    profile_id: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True), primary_key=True, info={"moves": "segments"})
    segment_id: Mapped[int] = mapped_column(primary_key=True)
    since: Mapped[Time]


class Lapse(Base):
    """When to look at a profile's membership again though nothing happened: a window lapses. A thin queue."""

    __tablename__ = "segment_lapses"
    __table_args__ = (Index("ix_segment_lapses_due_at", "due_at"),)
    profile_id: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True), primary_key=True, info={"moves": "segments"})
    segment_id: Mapped[int] = mapped_column(primary_key=True)
    due_at: Mapped[Time] = mapped_column(primary_key=True)
    history: Mapped[bool] = mapped_column(server_default=text("false"))  # asked for by something that happened long ago: it starts nothing


class SegmentMove(Base):
    """How many came and left in one batch: appended by workers that must not wait for each other, folded into sizes each minute."""

    __tablename__ = "segment_moves"
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    segment_id: Mapped[int]
    came: Mapped[int]
    went: Mapped[int]


class SegmentSize(Base):
    """How large a segment was at the end of an hour."""

    __tablename__ = "segment_sizes"
    segment_id: Mapped[int] = mapped_column(ForeignKey("segments.id", ondelete="CASCADE"), primary_key=True)
    at: Mapped[Time] = mapped_column(primary_key=True)
    size: Mapped[int] = mapped_column(BigInteger)


class SeenWord(Base):
    """A name or value to offer while somebody builds a rule: an event (property and word empty), its property, or a value of that."""

    __tablename__ = "seen_words"
    event: Mapped[str] = mapped_column(Text, primary_key=True)
    property: Mapped[str] = mapped_column(Text, primary_key=True)
    word: Mapped[str] = mapped_column(Text, primary_key=True)
    people: Mapped[int] = mapped_column(BigInteger)
    at: Mapped[Time]


class HebrewDay(Base):
    """Which day of the Hebrew year a day is (crm.segments.anniversaries); written once, by the migration."""

    __tablename__ = "hebrew_days"
    day: Mapped[dt.date] = mapped_column(Date, primary_key=True)
    key: Mapped[str] = mapped_column(Text)


class List(Base):
    """People put together by hand."""

    __tablename__ = "lists"
    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    slug: Mapped[str] = mapped_column(Text, unique=True)
    name: Mapped[str] = mapped_column(Text)
    created_at: Mapped[Time] = mapped_column(server_default=func.now())


class ListMember(Base):
    """Somebody on a list, once for each they were before joins: an undone join leaves each where they stood."""

    __tablename__ = "list_members"
    __table_args__ = (
        Index("uq_list_members_first", "list_id", text("coalesce(given_id, profile_id)"), unique=True),
        Index("ix_list_members_profile_id", "profile_id"),
    )
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    list_id: Mapped[int] = mapped_column(ForeignKey("lists.id", ondelete="CASCADE"))
    profile_id: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True), info={"moves": True})
    given_id: Mapped[Given]
    since: Mapped[Time]


class ListJob(Base):
    """Everybody of an import goes onto a list, or, without one, everybody on it off; `after` is the last of those who did."""

    __tablename__ = "list_jobs"
    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    list_id: Mapped[int] = mapped_column(ForeignKey("lists.id", ondelete="CASCADE"))
    upload_id: Mapped[int | None] = mapped_column(ForeignKey("uploads.id", ondelete="CASCADE"))
    after: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True))
    asked_at: Mapped[Time]
