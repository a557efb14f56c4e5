"""Rows folded from commerce events: carts and orders. Never written by hand."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal

from sqlalchemy import BigInteger, CheckConstraint, Date, Index, Numeric, SmallInteger, String, Text, text
from sqlalchemy.dialects.postgresql import UUID
from sqlalchemy.orm import Mapped, mapped_column

from crm.core.db import Base, Currency, Json, JsonList, Money, Time


class Cart(Base):
    """A basket: what is in it, and what became of it. `key` is the shop's `cart_id`, or `~` and the first event's time and number."""

    __tablename__ = "carts"
    __table_args__ = (
        CheckConstraint("status IN ('open', 'ordered', 'emptied', 'expired')", name="status"),
        Index("ix_carts_open", "changed_at", postgresql_where=text("status = 'open'")),
    )
    profile_id: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True), primary_key=True, info={"moves": "refold"})
    source_id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(Text, primary_key=True)
    status: Mapped[str] = mapped_column(Text)
    items: Mapped[JsonList]  # [{"product_id", "variant", "sku", "name", "price", "quantity", "image_url", "url"}, …]
    value: Mapped[Money]
    currency: Mapped[Currency]
    opened_at: Mapped[Time]
    changed_at: Mapped[Time]
    closed_at: Mapped[Time | None]
    order_id: Mapped[str | None] = mapped_column(Text)
    recovered: Mapped[bool] = mapped_column(server_default=text("false"))  # ordered after it had lain abandoned


class Rate(Base):
    """What one unit of another currency is worth in the shop's, from a day on; set by a person."""

    __tablename__ = "rates"
    __table_args__ = (CheckConstraint("rate > 0", name="rate"),)
    currency: Mapped[str] = mapped_column(String(3), primary_key=True)
    day: Mapped[dt.date] = mapped_column(Date, primary_key=True)
    rate: Mapped[Decimal] = mapped_column(Numeric(20, 10))


class Order(Base):
    """An order as last reported; `revenue` is after discount, without shipping and tax, before refunds."""

    __tablename__ = "orders"
    __table_args__ = (Index("ix_orders_profile", "profile_id", "ordered_at", postgresql_include=["cancelled_at", "currency", "revenue", "refunded"]),)
    source_id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[str] = mapped_column(Text, primary_key=True)
    profile_id: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True), info={"moves": "refold"})
    currency: Mapped[Currency]
    revenue: Mapped[Money]
    total: Mapped[Decimal | None] = mapped_column(Numeric(20, 6))
    refunded: Mapped[Money] = mapped_column(server_default=text("0"))
    refunds: Mapped[Json] = mapped_column(server_default=text("'{}'"))  # refund key -> [amount as text or `full`, trust, epoch ms, accepted]
    items: Mapped[JsonList]
    ordered_at: Mapped[Time | None]  # None while only a refund or a cancellation is known
    cancelled_at: Mapped[Time | None]
    reported: Mapped[bool] = mapped_column(server_default=text("false"))  # False while only a refund or a cancellation is known
    version_at: Mapped[Time]  # time and number of the report that filled it; neither an older nor a less trusted one wins
    version_accepted: Mapped[int] = mapped_column(BigInteger)
    version_trust: Mapped[int] = mapped_column(SmallInteger, server_default=text("2"))  # crm.events.spec: BROWSER, IMPORTED, SERVER
    ordered_trust: Mapped[int] = mapped_column(SmallInteger, server_default=text("2"))  # of who said when it was ordered
    vouched: Mapped[bool] = mapped_column(server_default=text("true"))  # somebody other than a public key spoke of it
