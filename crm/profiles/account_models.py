"""Rows of companies: accounts, one above another, and the people who belong to them."""

from __future__ import annotations

import datetime as dt
import uuid

from sqlalchemy import BigInteger, CheckConstraint, DateTime, ForeignKey, Identity, Index, Text, func, text
from sqlalchemy.dialects.postgresql import UUID
from sqlalchemy.orm import Mapped, mapped_column

from crm.core.db import Base, Given, Id, Json, Time

ROLES = ("member", "buyer", "approver", "payer", "viewer", "owner")


class Account(Base):
    """A company. `key` is what sources call it (`groupId`); price list, payment terms and contract end are among its traits."""

    __tablename__ = "accounts"
    __table_args__ = (CheckConstraint("parent_id <> id", name="parent"), Index("ix_accounts_name", text("lower(name)"), "id"))
    id: Mapped[Id] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(Text, unique=True)
    name: Mapped[str] = mapped_column(Text)
    domain: Mapped[str | None] = mapped_column(Text, index=True)
    parent_id: Mapped[uuid.UUID | None] = mapped_column(UUID(as_uuid=True), ForeignKey("accounts.id"), index=True)
    owner_id: Mapped[int | None]  # the user who looks after it
    traits: Mapped[Json] = mapped_column(server_default=text("'{}'"))
    traits_at: Mapped[Json] = mapped_column(server_default=text("'{}'"))  # trait -> [epoch ms, accepted]: the later word wins
    created_at: Mapped[Time] = mapped_column(server_default=func.now())


class AccountMember(Base):
    """One person's part in one account; one person may have parts in several. Derived from events, or set by hand, which wins."""

    __tablename__ = "account_members"
    account_id: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True), ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True)
    profile_id: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True), primary_key=True, index=True, info={"moves": "refold"})
    role: Mapped[str] = mapped_column(Text)
    by_hand: Mapped[bool] = mapped_column(server_default=text("false"))
    since: Mapped[Time]
    said_at: Mapped[dt.datetime] = mapped_column(DateTime(timezone=True))  # of the event that gave the role; a later one wins
    said_accepted: Mapped[int] = mapped_column(BigInteger)


class AccountRole(Base):
    """A part in an account that somebody gave by hand (`out`: took), once for each they were before joins: an undone join gives it back."""

    __tablename__ = "account_roles"
    __table_args__ = (
        Index("uq_account_roles_first", "account_id", text("coalesce(given_id, profile_id)"), unique=True),
        Index("ix_account_roles_profile_id", "profile_id"),
    )
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    account_id: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True), ForeignKey("accounts.id", ondelete="CASCADE"))
    profile_id: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True), info={"moves": True})
    given_id: Mapped[Given]
    role: Mapped[str] = mapped_column(Text)
    at: Mapped[Time]
