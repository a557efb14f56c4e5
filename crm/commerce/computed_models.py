"""Rows of traits that are counted, not told: each with since when and from how many events."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, DateTime, Identity, SmallInteger, Text, func, text
from sqlalchemy.dialects.postgresql import JSONB, UUID
from sqlalchemy.orm import Mapped, mapped_column

from crm.core.db import Base, Json, Time

AGGREGATES = ("count", "sum", "avg", "min", "max", "first", "last", "distinct")


class ComputedTrait(Base):
    """One computed trait of one profile. Written by the job alone."""

    __tablename__ = "computed_traits"
    profile_id: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True), primary_key=True, info={"moves": "recompute"})
    name: Mapped[str] = mapped_column(Text, primary_key=True)
    value: Mapped[Any] = mapped_column(JSONB, info={"personal": "derived"})
    since: Mapped[dt.datetime | None] = mapped_column(DateTime(timezone=True))  # the first event it is made of, or when the state began
    events: Mapped[int] = mapped_column(BigInteger)
    computed_at: Mapped[Time]


class ComputedDirty(Base):
    """A profile whose computed traits an event has changed; a list, so that nobody waits for anybody."""

    __tablename__ = "computed_dirty"
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    profile_id: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True), info={"moves": "recompute"})
    history: Mapped[bool] = mapped_column(server_default=text("false"))  # by something that happened long ago: it starts nothing


class ComputedDefinition(Base):
    """A computed trait of the company's own: an aggregate over one event's property."""

    __tablename__ = "computed_definitions"
    __table_args__ = (CheckConstraint("aggregate IN ('count', 'sum', 'avg', 'min', 'max', 'first', 'last', 'distinct')", name="aggregate"),)
    name: Mapped[str] = mapped_column(Text, primary_key=True)
    title: Mapped[str] = mapped_column(Text)
    event: Mapped[str] = mapped_column(Text)
    aggregate: Mapped[str] = mapped_column(Text)
    property: Mapped[str | None] = mapped_column(Text)
    days: Mapped[int | None] = mapped_column(SmallInteger)  # only events this new count
    created_at: Mapped[Time] = mapped_column(server_default=func.now())


class ComputedRun(Base):
    """The round over the whole base: where it stands, and the bounds it found (`rfm`: quintiles of recency, frequency, money; `pairs`: none)."""

    __tablename__ = "computed_rounds"
    name: Mapped[str] = mapped_column(Text, primary_key=True)
    began_at: Mapped[Time]
    after: Mapped[uuid.UUID | None] = mapped_column(UUID(as_uuid=True))  # profiles up to here are done; empty once all are
    bounds: Mapped[Json]
