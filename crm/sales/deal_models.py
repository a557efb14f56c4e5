"""Rows of opportunities: pipelines and their stages, deals, every move of one."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal

from sqlalchemy import BigInteger, CheckConstraint, Date, ForeignKey, Identity, Index, Numeric, SmallInteger, String, Text, text
from sqlalchemy.dialects.postgresql import DOUBLE_PRECISION, UUID
from sqlalchemy.orm import Mapped, mapped_column

from crm.core.db import Base, Given, Id, JsonList, Time

DEAL_STATES = ("open", "won", "lost")
_STATE = f"IN ({', '.join(map(repr, DEAL_STATES))})"


class Pipeline(Base):
    """A way a company sells: its stages in order."""

    __tablename__ = "pipelines"
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    slug: Mapped[str] = mapped_column(Text, unique=True)
    name: Mapped[str] = mapped_column(Text)


class Stage(Base):
    """A step of a pipeline: what must be true to be in it, how many days are enough, how many of ten are won from here."""

    __tablename__ = "stages"
    __table_args__ = (Index("uq_stages_slug", "pipeline_id", "slug", unique=True), CheckConstraint("probability BETWEEN 0 AND 1", name="probability"))
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    pipeline_id: Mapped[int] = mapped_column(ForeignKey("pipelines.id", ondelete="CASCADE"))
    position: Mapped[int] = mapped_column(SmallInteger)
    slug: Mapped[str] = mapped_column(Text)
    name: Mapped[str] = mapped_column(Text)
    goal: Mapped[str] = mapped_column(Text, server_default=text("''"))
    days: Mapped[int] = mapped_column(SmallInteger, server_default=text("14"))
    probability: Mapped[float] = mapped_column(DOUBLE_PRECISION)


class Deal(Base):
    """An opportunity with a person (and their company): amount, products, stage, owner, how it ended. Figures stay when the person leaves."""

    __tablename__ = "deals"
    __table_args__ = (
        CheckConstraint(f"status {_STATE}", name="status"),
        Index("ix_deals_board", "pipeline_id", "stage_id", text("amount DESC"), "id", postgresql_where=text("status = 'open'")),
        Index("ix_deals_closed", "pipeline_id", "closed_at", postgresql_where=text("closed_at IS NOT NULL")),
        Index("ix_deals_profile", "profile_id"),
        Index("ix_deals_account", "account_id", postgresql_where=text("account_id IS NOT NULL")),
        {"info": {"erasure": "blank"}},
    )
    id: Mapped[Id] = mapped_column(primary_key=True)
    profile_id: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True), info={"moves": True})
    given_id: Mapped[Given]
    account_id: Mapped[uuid.UUID | None] = mapped_column(UUID(as_uuid=True))
    title: Mapped[str] = mapped_column(Text, info={"personal": "sales"})
    pipeline_id: Mapped[int] = mapped_column(ForeignKey("pipelines.id"))
    stage_id: Mapped[int] = mapped_column(ForeignKey("stages.id"), index=True)
    amount: Mapped[Decimal] = mapped_column(Numeric(20, 6), server_default=text("0"))
    currency: Mapped[str] = mapped_column(String(3))
    items: Mapped[JsonList] = mapped_column(server_default=text("'[]'"))  # [{"name", "sku", "quantity", "price"}]
    owner_id: Mapped[int | None]
    status: Mapped[str] = mapped_column(Text, server_default=text("'open'"))
    lost_reason: Mapped[str | None] = mapped_column(Text)
    source: Mapped[str] = mapped_column(Text, server_default=text("''"))
    campaign: Mapped[str] = mapped_column(Text, server_default=text("''"))
    closes_on: Mapped[dt.date | None] = mapped_column(Date)
    key: Mapped[str | None] = mapped_column(Text, unique=True)
    created_at: Mapped[Time]
    stage_at: Mapped[Time]
    closed_at: Mapped[Time | None]


class DealMove(Base):
    """What a deal became at a moment: the stage log, from which forecasts of the past are computed again."""

    __tablename__ = "deal_moves"
    __table_args__ = (CheckConstraint(f"status {_STATE}", name="status"), Index("ix_deal_moves_deal", "deal_id", "id"))
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    deal_id: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True), ForeignKey("deals.id", ondelete="CASCADE"))
    from_stage_id: Mapped[int | None]
    stage_id: Mapped[int]
    status: Mapped[str] = mapped_column(Text)
    amount: Mapped[Decimal] = mapped_column(Numeric(20, 6))
    currency: Mapped[str] = mapped_column(String(3))
    closes_on: Mapped[dt.date | None] = mapped_column(Date)
    by: Mapped[int | None]  # the user; empty: a journey or an event
    at: Mapped[Time]
