"""Rows of drawing: the draft everybody works on, and which share of people a journey leaves alone."""

from __future__ import annotations

import uuid

from sqlalchemy import CheckConstraint, ForeignKey, Text
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
