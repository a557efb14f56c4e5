"""Rows of movement: journeys, their immutable versions, runs, wake-ups, the steps taken, the entries refused."""

from __future__ import annotations

import uuid

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, SmallInteger, Text, UniqueConstraint, func, text
from sqlalchemy.dialects.postgresql import UUID
from sqlalchemy.orm import Mapped, mapped_column

from crm.core.db import Base, Given, Id, Json, Time


class Journey(Base):
    """A drawn automation. `broken` means a rule or node of it raised; it starts nothing until someone looks."""

    __tablename__ = "journeys"
    __table_args__ = (CheckConstraint("status IN ('draft', 'live', 'paused', 'stopped', 'broken')", name="status"),)
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    slug: Mapped[str] = mapped_column(Text, unique=True)
    name: Mapped[Json]  # language -> words
    status: Mapped[str] = mapped_column(Text)
    problem: Mapped[str | None] = mapped_column(Text)
    version: Mapped[int | None]  # the published number that new runs take
    paused_at: Mapped[Time | None]  # since when it is paused
    created_at: Mapped[Time] = mapped_column(server_default=func.now())


class Version(Base):
    """One published graph; never changed afterwards."""

    __tablename__ = "journey_versions"
    journey_id: Mapped[int] = mapped_column(ForeignKey("journeys.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    graph: Mapped[Json]
    published_at: Mapped[Time] = mapped_column(server_default=func.now())
    published_by: Mapped[str | None] = mapped_column(Text)


class RunRow(Base):
    """One profile's passage through one version. `key` tells apart the runs one profile may have (a cart)."""

    __tablename__ = "runs"
    __table_args__ = (
        CheckConstraint("status IN ('active', 'done', 'failed')", name="status"),
        UniqueConstraint("profile_id", "journey_id", "key"),
        Index("ix_runs_journey", "journey_id", "started_at", "id"),
        Index("ix_runs_ended", "ended_at", postgresql_where=text("ended_at IS NOT NULL")),
        Index("ix_runs_active", "profile_id", postgresql_where=text("status = 'active'")),
        {"info": {"erasure": "blank"}},  # the row stays for the sums
    )
    id: Mapped[Id] = mapped_column(primary_key=True)
    profile_id: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True), info={"moves": "runs"})
    given_id: Mapped[Given]
    journey_id: Mapped[int]
    version: Mapped[int]
    key: Mapped[str] = mapped_column(Text)
    node: Mapped[str] = mapped_column(Text)
    round: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))  # how many times it came to this node before
    status: Mapped[str] = mapped_column(Text)
    started_at: Mapped[Time]
    entered_at: Mapped[Time]  # when it came to the node
    due_at: Mapped[Time | None]  # when it moves on by itself
    steps: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    start: Mapped[Json] = mapped_column(info={"personal": "events"})  # the event that started it: name, occurred_at, accepted, source_id, properties
    hops: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    ended_at: Mapped[Time | None]
    end_reason: Mapped[str | None] = mapped_column(Text)  # finished | exit:<event> | merged | stopped | …
    error: Mapped[str | None] = mapped_column(Text, info={"personal": "events"})
    data: Mapped[Json | None] = mapped_column(info={"personal": "events"})  # node -> what it brought, for later nodes and templates


class Wakeup(Base):
    """The thin queue of waiting runs."""

    __tablename__ = "wakeups"
    __table_args__ = (Index("ix_wakeups_due", "due_at"),)
    run_id: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True), primary_key=True)
    profile_id: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True), info={"moves": True})
    due_at: Mapped[Time]


class RunStep(Base):
    """A node passed, with the exit taken and why; unique per (run, node, round)."""

    __tablename__ = "run_steps"
    __table_args__ = {"info": {"erasure": "blank"}}
    profile_id: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True), primary_key=True, info={"moves": True})
    run_id: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True), primary_key=True)
    node: Mapped[str] = mapped_column(Text, primary_key=True)
    round: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    number: Mapped[int] = mapped_column(SmallInteger)
    exit: Mapped[str] = mapped_column(Text)
    detail: Mapped[Json] = mapped_column(info={"personal": "events"})  # inputs of the decision
    at: Mapped[Time]


class Refusal(Base):
    """A trigger that matched and still started nothing, with the reason (`too_late`, `already_in`, `history`, …)."""

    __tablename__ = "entry_refusals"
    __table_args__ = (Index("ix_entry_refusals_profile", "profile_id", "at"),)
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    profile_id: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True), info={"moves": True})
    given_id: Mapped[Given]
    journey_id: Mapped[int]
    key: Mapped[str] = mapped_column(Text)
    reason: Mapped[str] = mapped_column(Text)
    detail: Mapped[Json] = mapped_column(server_default=text("'{}'"), info={"personal": "events"})
    at: Mapped[Time] = mapped_column(server_default=func.now())
