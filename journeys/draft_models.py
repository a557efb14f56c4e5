"""Rows of drawing: the draft everybody works on, and which share of people a journey leaves alone."""

from __future__ import annotations

import uuid

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, LargeBinary, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import UUID
from sqlalchemy.orm import Mapped, mapped_column

from crm.core.db import Base, Json, Time


class Draft(Base):
    """The drawing as it is worked on, finished or not. `revision` grows with every save, so that nobody overwrites what he has not seen."""

    __tablename__ = "journey_drafts"
    journey_id: Mapped[int] = mapped_column(ForeignKey("journeys.id", ondelete="CASCADE"), primary_key=True)
    revision: Mapped[int]
    graph: Mapped[Json]
    layout: Mapped[Json]  # node or "trigger" -> [x, y] px; apart from the graph, so that moving a box is no new version
    saved_at: Mapped[Time]
    saved_by: Mapped[str | None] = mapped_column(Text)


class Arm(Base):
    """Whether a journey's share applies to a profile, drawn at its first exposure and kept: `in`, `out`, or `mixed` after a join of both."""

    __tablename__ = "journey_arms"
    __table_args__ = (CheckConstraint("arm IN ('in', 'out', 'mixed')", name="arm"),)
    profile_id: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True), primary_key=True, info={"moves": "runs"})
    journey_id: Mapped[int] = mapped_column(primary_key=True)
    arm: Mapped[str] = mapped_column(Text)
    share: Mapped[int]  # hundredths of a per cent held out when it was drawn
    at: Mapped[Time]
    drawn: Mapped[Json] = mapped_column(server_default=text("'{}'"))  # profile -> [arm, share, at]: what each drew before joins


class CouponRow(Base):
    """A code of a pool: free, or given to a run; a run's key gets one of a pool for ever."""

    __tablename__ = "coupons"
    __table_args__ = (
        Index("ix_coupons_free", "pool", "id", postgresql_where=text("given_at IS NULL")),
        Index("uq_coupons_for", "pool", "profile_id", "journey_id", "key", unique=True, postgresql_where=text("given_at IS NOT NULL")),
        UniqueConstraint("pool", "code"),
        Index("ix_coupons_code", "code"),
    )
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    pool: Mapped[str] = mapped_column(Text)
    code: Mapped[str] = mapped_column(Text)
    profile_id: Mapped[uuid.UUID | None] = mapped_column(UUID(as_uuid=True), info={"moves": "runs"})
    journey_id: Mapped[int | None]
    key: Mapped[str | None] = mapped_column(Text)
    run_id: Mapped[uuid.UUID | None] = mapped_column(UUID(as_uuid=True), index=True)
    given_at: Mapped[Time | None]
    used_at: Mapped[Time | None]  # an order named it


class SlotRow(Base):
    """How many places of a rate limit are taken in one stretch of time."""

    __tablename__ = "journey_slots"
    journey_id: Mapped[int] = mapped_column(primary_key=True)
    node: Mapped[str] = mapped_column(Text, primary_key=True)
    begins_at: Mapped[Time] = mapped_column(primary_key=True)
    used: Mapped[int]


class ReachedDate(Base):
    """A date that started a journey: once for an address (or a profile without one), journey and occasion, whatever is corrected later."""

    __tablename__ = "journey_dates"
    journey_id: Mapped[int] = mapped_column(primary_key=True)
    who: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)  # keyed hash of the e-mail address, else the profile's id
    occasion: Mapped[str] = mapped_column(Text, primary_key=True)  # the year, or the date itself where it comes once
    at: Mapped[Time]


class StoryRow(Base):
    """A story kept beside a journey: what happens to somebody invented, and which messages are expected."""

    __tablename__ = "journey_stories"
    journey_id: Mapped[int] = mapped_column(ForeignKey("journeys.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(Text, primary_key=True)
    story: Mapped[Json]
