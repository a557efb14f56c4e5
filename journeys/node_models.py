"""Rows of what nodes set going: webhook endpoints and calls, surveys, experiments, audiences started at once, pools of codes."""

from __future__ import annotations

import uuid

from sqlalchemy import Boolean, CheckConstraint, Index, Integer, LargeBinary, SmallInteger, Text, UniqueConstraint, func, text
from sqlalchemy.dialects.postgresql import UUID
from sqlalchemy.orm import Mapped, mapped_column

from crm.core.db import Base, Given, Id, Json, Time


class Endpoint(Base):
    """Where webhook nodes may call: address and secrets live here, never in a graph."""

    __tablename__ = "webhook_endpoints"
    slug: Mapped[str] = mapped_column(Text, primary_key=True)
    url: Mapped[str] = mapped_column(Text)
    headers: Mapped[Json] = mapped_column(server_default=text("'{}'"))  # secret: never shown again
    private: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))  # may lie in our own network
    generation: Mapped[int] = mapped_column(server_default=text("1"))  # of the signing key
    resting_until: Mapped[Time | None]  # it is out of reach or asked us to wait
    created_at: Mapped[Time] = mapped_column(server_default=func.now())


class WebhookCall(Base):
    """One call for one stop of a run; `id` is its Idempotency-Key, whatever the number of tries."""

    __tablename__ = "webhook_calls"
    __table_args__ = (
        CheckConstraint("status IN ('waiting', 'answered', 'failed', 'withdrawn')", name="status"),
        UniqueConstraint("run_id", "node", "round"),
        Index("ix_webhook_calls_due", "due_at", postgresql_where=text("status = 'waiting'")),
        Index("ix_webhook_calls_created", "created_at", "id"),
        Index("ix_webhook_calls_profile_id", "profile_id"),
    )
    id: Mapped[Id] = mapped_column(primary_key=True)
    profile_id: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True), info={"moves": True})
    given_id: Mapped[Given]
    journey_id: Mapped[int]
    run_id: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True))
    node: Mapped[str] = mapped_column(Text)
    round: Mapped[int] = mapped_column(SmallInteger)
    endpoint: Mapped[str] = mapped_column(Text)
    path: Mapped[str] = mapped_column(Text)
    body: Mapped[Json] = mapped_column(info={"personal": "events"})
    status: Mapped[str] = mapped_column(Text, server_default="waiting")
    attempts: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    due_at: Mapped[Time]
    until: Mapped[Time]  # the run goes on without an answer then
    lease_until: Mapped[Time | None]  # somebody is calling; past it the call is made again, under the same key
    answer_status: Mapped[int | None] = mapped_column(SmallInteger)
    answer: Mapped[Json | None] = mapped_column(info={"personal": "events"})
    said: Mapped[str | None] = mapped_column(Text, info={"personal": "events"})  # what went wrong last
    hops: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    created_at: Mapped[Time]
    done_at: Mapped[Time | None]


class Survey(Base):
    """One person asked, or not asked and why; `score` (0 to 10) once answered. `who` is a keyed hash of the address, else the profile's id."""

    __tablename__ = "surveys"
    __table_args__ = (
        CheckConstraint("score BETWEEN 0 AND 10", name="score"),
        UniqueConstraint("run_id", "node", "round"),
        Index("ix_surveys_who", "who", "asked_at"),
        Index("ix_surveys_answered", "survey", "answered_at"),
        Index("ix_surveys_profile_id", "profile_id"),
    )
    id: Mapped[Id] = mapped_column(primary_key=True)
    profile_id: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True), info={"moves": True})
    given_id: Mapped[Given]
    survey: Mapped[str] = mapped_column(Text)
    journey_id: Mapped[int]
    run_id: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True))
    node: Mapped[str] = mapped_column(Text)
    round: Mapped[int] = mapped_column(SmallInteger)
    who: Mapped[bytes] = mapped_column(LargeBinary)
    asked_at: Mapped[Time]
    answered_at: Mapped[Time | None]
    score: Mapped[int | None] = mapped_column(SmallInteger, info={"personal": "answers"})
    comment: Mapped[str | None] = mapped_column(Text, info={"personal": "answers"})


class SplitArm(Base):
    """Which way a profile took at an experiment, at its first exposure; `mixed` after a join of two ways, and counted in none."""

    __tablename__ = "split_arms"
    __table_args__ = (Index("ix_split_arms_order", "journey_id", "salt", "at"), Index("ix_split_arms_profile_id", "profile_id"))
    journey_id: Mapped[int] = mapped_column(primary_key=True)
    salt: Mapped[str] = mapped_column(Text, primary_key=True)
    profile_id: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True), primary_key=True, info={"moves": "runs"})
    run_id: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True))
    arm: Mapped[str] = mapped_column(Text)
    at: Mapped[Time]


class SplitResult(Base):
    """What an experiment showed, decided once: the winning way, or none, with its evidence."""

    __tablename__ = "split_results"
    journey_id: Mapped[int] = mapped_column(primary_key=True)
    salt: Mapped[str] = mapped_column(Text, primary_key=True)
    winner: Mapped[str | None] = mapped_column(Text)
    evidence: Mapped[Json]
    at: Mapped[Time]


class Audience(Base):
    """All members of a segment to be brought into a journey for one occasion; `after` is how far that got."""

    __tablename__ = "journey_audiences"
    __table_args__ = (Index("ix_journey_audiences_open", "journey_id", postgresql_where=text("done_at IS NULL")),)
    journey_id: Mapped[int] = mapped_column(primary_key=True)
    occasion: Mapped[str] = mapped_column(Text, primary_key=True)
    segment: Mapped[str] = mapped_column(Text)
    after: Mapped[uuid.UUID | None] = mapped_column(UUID(as_uuid=True))
    members: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    at: Mapped[Time]
    until: Mapped[Time]  # what is not said by then is not said any more
    done_at: Mapped[Time | None]
    end_reason: Mapped[str | None] = mapped_column(Text)  # finished | late | dropped | stopped


class CouponPool(Base):
    """What is set about a pool of codes: below `low` free ones somebody is told."""

    __tablename__ = "coupon_pools"
    name: Mapped[str] = mapped_column(Text, primary_key=True)
    low: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    created_at: Mapped[Time] = mapped_column(server_default=func.now())
