"""Rows of backtests: what is asked, how far it is, what came out; and what a message costs."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, ForeignKey, Identity, Index, Text, func, text
from sqlalchemy.orm import Mapped, mapped_column

from crm.core.db import Base, Currency, Json, JsonList, Money, Time

STATUSES = ("waiting", "running", "done", "failed", "cancelled")
WORKING = ("waiting", "running")


class Backtest(Base):
    """A period lived again by one drawing (`what_if`), or the runs of then compared step by step (`replay`). Holds counts, nobody's data."""

    __tablename__ = "backtests"
    __table_args__ = (
        CheckConstraint("kind IN ('what_if', 'replay')", name="kind"),
        CheckConstraint(f"status IN ({', '.join(map(repr, STATUSES))})", name="status"),
        CheckConstraint("from_at < to_at", name="period"),
        Index("ix_backtests_working", "id", postgresql_where=text("status IN ('waiting', 'running')")),
        Index("ix_backtests_journey", "journey_id", "id"),
    )
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    journey_id: Mapped[int] = mapped_column(ForeignKey("journeys.id", ondelete="CASCADE"))
    kind: Mapped[str] = mapped_column(Text)
    version: Mapped[int | None]  # the published number; empty for the draft as it was then
    graph: Mapped[Json]  # the drawing, kept so that the counts stay on what they were counted on
    from_at: Mapped[Time]
    to_at: Mapped[Time]
    settings: Mapped[Json]  # messages a day that are too many, consent as of then or now
    status: Mapped[str] = mapped_column(Text, server_default=text("'waiting'"))
    parts: Mapped[JsonList] = mapped_column(server_default=text("'[]'"))  # ranges of profiles, each with how far it is and its sums
    tries: Mapped[int] = mapped_column(server_default=text("0"))  # slices begun since something was last finished
    report: Mapped[Json] = mapped_column(server_default=text("'{}'"))
    error: Mapped[str] = mapped_column(Text, server_default=text("''"))
    created_by: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[Time] = mapped_column(server_default=func.now())
    started_at: Mapped[Time | None]
    progress_at: Mapped[Time | None]
    ended_at: Mapped[Time | None]


class ChannelPrice(Base):
    """What one message over a channel costs the shop."""

    __tablename__ = "channel_prices"
    channel: Mapped[str] = mapped_column(Text, primary_key=True)
    price: Mapped[Money]
    currency: Mapped[Currency]
