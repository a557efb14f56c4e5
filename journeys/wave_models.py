"""Rows of waves: a variant that came back, or whose price fell, and the people to tell, in their order."""

from __future__ import annotations

import uuid
from decimal import Decimal

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, Integer, Numeric, SmallInteger, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import UUID
from sqlalchemy.orm import Mapped, mapped_column

from crm.core.db import Base, Currency, Time


class Wave(Base):
    """One occasion of one journey: who it concerns is told in waves. `next_at` empty: over, `ended` says why."""

    __tablename__ = "waves"
    __table_args__ = (
        UniqueConstraint("journey_id", "variant_id", "accepted"),
        CheckConstraint("kind IN ('stock', 'price')", name="kind"),
        Index("ix_waves_due", "next_at", postgresql_where=text("next_at IS NOT NULL")),
        Index("ix_waves_variant_id", "variant_id", "opened_at"),
    )
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    journey_id: Mapped[int] = mapped_column(ForeignKey("journeys.id", ondelete="CASCADE"))
    variant_id: Mapped[str] = mapped_column(Text)
    kind: Mapped[str] = mapped_column(Text)
    at: Mapped[Time]  # when it happened
    accepted: Mapped[int] = mapped_column(BigInteger)  # the event that told it
    hops: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    before: Mapped[Decimal | None] = mapped_column(Numeric(20, 6))  # of a price
    after: Mapped[Decimal | None] = mapped_column(Numeric(20, 6))
    currency: Mapped[Currency]
    opened_at: Mapped[Time]
    gathered: Mapped[bool] = mapped_column(server_default=text("false"))
    number: Mapped[int] = mapped_column(Integer, server_default=text("0"))  # waves that went out
    to_tell: Mapped[int] = mapped_column(Integer, server_default=text("0"))  # people of the present wave who were not told yet
    next_at: Mapped[Time | None]
    ended: Mapped[str | None] = mapped_column(Text)  # everybody | sold_out | price_rose | stopped | again | dropped


class WavePerson(Base):
    """Somebody to tell, at their place in the order, and since when they wanted it."""

    __tablename__ = "wave_people"
    __table_args__ = (Index("ix_wave_people_profile_id", "profile_id"),)
    wave_id: Mapped[int] = mapped_column(ForeignKey("waves.id", ondelete="CASCADE"), primary_key=True)
    place: Mapped[int] = mapped_column(Integer, primary_key=True)
    profile_id: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True), info={"moves": True})
    because: Mapped[str] = mapped_column(Text, info={"personal": "wishes"})  # asked | viewed | searched | carted
    since: Mapped[Time]
    number: Mapped[int | None] = mapped_column(Integer)  # the wave they were told in
    told_at: Mapped[Time | None]
    passed: Mapped[str | None] = mapped_column(Text)  # why they were passed over: bought | taken_back | twice
