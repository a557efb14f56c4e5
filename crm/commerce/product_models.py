"""Rows about what is sold: variants with their histories, who waits for them, how they are wanted, what goes together."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal

from sqlalchemy import BigInteger, CheckConstraint, Date, Index, Integer, Numeric, Text, text
from sqlalchemy.dialects.postgresql import UUID
from sqlalchemy.orm import Mapped, mapped_column

from crm.core.db import Base, Currency, JsonList, Money, Time


class Variant(Base):
    """What can be bought, as its events last said. `id` is what events call it: `variant_id`, else `sku`, else `product_id`."""

    __tablename__ = "variants"
    __table_args__ = (
        Index("ix_variants_product_id", "product_id"),
        Index("ix_variants_category", "category"),
        Index("ix_variants_by_name", text("lower(name)"), "id", postgresql_where=text("NOT archived")),
    )
    id: Mapped[str] = mapped_column(Text, primary_key=True)
    product_id: Mapped[str] = mapped_column(Text)
    name: Mapped[str] = mapped_column(Text, server_default=text("''"))
    variety: Mapped[str] = mapped_column(Text, server_default=text("''"))  # what tells it from the product's others: size, colour
    category: Mapped[str] = mapped_column(Text, server_default=text("''"))
    brand: Mapped[str] = mapped_column(Text, server_default=text("''"))
    url: Mapped[str] = mapped_column(Text, server_default=text("''"))
    pictures: Mapped[JsonList] = mapped_column(server_default=text("'[]'"))
    price: Mapped[Decimal | None] = mapped_column(Numeric(20, 6))
    currency: Mapped[Currency]
    stock: Mapped[int | None] = mapped_column(Integer)  # None: the shop does not count it
    archived: Mapped[bool] = mapped_column(server_default=text("false"))
    version: Mapped[int | None] = mapped_column(BigInteger)  # the shop's own number; an event with a lower one changes nothing
    changed_at: Mapped[Time | None]  # time and number of the last event folded; None: a row only just made
    changed_accepted: Mapped[int | None] = mapped_column(BigInteger)


class StockChange(Base):
    """The stock from this moment on; None: no longer counted."""

    __tablename__ = "stock_history"
    variant_id: Mapped[str] = mapped_column(Text, primary_key=True)
    at: Mapped[Time] = mapped_column(primary_key=True)
    accepted: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    stock: Mapped[int | None] = mapped_column(Integer)


class PriceChange(Base):
    """The price from this moment on."""

    __tablename__ = "price_history"
    variant_id: Mapped[str] = mapped_column(Text, primary_key=True)
    at: Mapped[Time] = mapped_column(primary_key=True)
    accepted: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    price: Mapped[Decimal | None] = mapped_column(Numeric(20, 6))
    currency: Mapped[Currency]


class StockRequest(Base):
    """Somebody asked to be told when a variant is back: once, until told or taken back. Folded from that person's events."""

    __tablename__ = "stock_requests"
    __table_args__ = (
        CheckConstraint("ended IN ('notified', 'cancelled')", name="ended"),
        Index("ix_stock_requests_waiting", "variant_id", "asked_at", postgresql_where=text("ended IS NULL")),
    )
    profile_id: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True), primary_key=True, info={"moves": "refold"})
    variant_id: Mapped[str] = mapped_column(Text, primary_key=True, info={"personal": "wishes"})
    asked_at: Mapped[Time | None]  # None: only a taking back is known
    ended: Mapped[str | None] = mapped_column(Text)
    ended_at: Mapped[Time | None]
    last_at: Mapped[Time]  # time and number of the last event folded
    last_accepted: Mapped[int] = mapped_column(BigInteger)


class VariantDay(Base):
    """How a variant was wanted on one day (UTC), counted from the log; `out_…`: while there was none in stock."""

    __tablename__ = "variant_days"
    day: Mapped[dt.date] = mapped_column(Date, primary_key=True)
    variant_id: Mapped[str] = mapped_column(Text, primary_key=True)
    views: Mapped[int] = mapped_column(server_default=text("0"))
    viewers: Mapped[int] = mapped_column(server_default=text("0"))
    out_views: Mapped[int] = mapped_column(server_default=text("0"))
    out_viewers: Mapped[int] = mapped_column(server_default=text("0"))
    out_searches: Mapped[int] = mapped_column(server_default=text("0"))
    buyers: Mapped[int] = mapped_column(server_default=text("0"))
    units: Mapped[Money] = mapped_column(server_default=text("0"))


class CountedDay(Base):
    """A day whose wants were counted, and when; taken away where an import tells of it later."""

    __tablename__ = "counted_days"
    day: Mapped[dt.date] = mapped_column(Date, primary_key=True)
    counted_at: Mapped[Time]


class VariantPair(Base):
    """How many people bought, or looked at, both: what goes together."""

    __tablename__ = "variant_pairs"
    variant_id: Mapped[str] = mapped_column(Text, primary_key=True)
    other_id: Mapped[str] = mapped_column(Text, primary_key=True)
    bought: Mapped[int]
    viewed: Mapped[int]
    counted_at: Mapped[Time]
