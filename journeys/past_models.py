"""Rows of movement that is long over."""

from __future__ import annotations

import uuid

from sqlalchemy import Index, Text
from sqlalchemy.dialects.postgresql import UUID
from sqlalchemy.orm import Mapped, mapped_column

from crm.core.db import Base, Given, Id, Json, JsonList, Time


class PastRun(Base):
    """A finished run with its steps in one row: what counts for starting again and what answers why stays, what moving needs is gone."""

    __tablename__ = "past_runs"
    __table_args__ = (
        Index("ix_past_runs_profile", "profile_id", "journey_id"),
        Index("ix_past_runs_journey", "journey_id", "started_at", "id"),
        {"info": {"erasure": "blank"}},  # the row stays for the sums
    )
    id: Mapped[Id] = mapped_column(primary_key=True)
    profile_id: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True), info={"moves": True})
    given_id: Mapped[Given]
    journey_id: Mapped[int]
    version: Mapped[int]
    key: Mapped[str] = mapped_column(Text)
    node: Mapped[str] = mapped_column(Text)
    started_at: Mapped[Time]
    ended_at: Mapped[Time] = mapped_column(index=True)
    end_reason: Mapped[str | None] = mapped_column(Text)
    start: Mapped[Json] = mapped_column(info={"personal": "events"})  # the event that started it
    path: Mapped[JsonList]  # [[node, round, exit, at], …] in the order they were passed
    why: Mapped[Json] = mapped_column(info={"personal": "events"})  # number of a step -> inputs of its decision, where there were any
