"""Rows of who works here: users, API tokens, what they did."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, LargeBinary, Text, func, text
from sqlalchemy.orm import Mapped, mapped_column

from crm.core.db import Base, Json, Time

ROLES = ("admin", "marketer", "sales", "agent", "viewer")


class User(Base):
    """Somebody who signs in. `sessions_from` ends older sessions when the password or role changes."""

    __tablename__ = "users"
    __table_args__ = (CheckConstraint("role IN ('admin', 'marketer', 'sales', 'agent', 'viewer')", name="role"),)
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    email: Mapped[str] = mapped_column(Text, unique=True)
    name: Mapped[str] = mapped_column(Text)
    password_hash: Mapped[str] = mapped_column(Text)
    role: Mapped[str] = mapped_column(Text)
    language: Mapped[str | None] = mapped_column(Text)
    active: Mapped[bool] = mapped_column(server_default=text("true"))
    sessions_from: Mapped[Time] = mapped_column(server_default=func.now())
    created_at: Mapped[Time] = mapped_column(server_default=func.now())


class ApiToken(Base):
    """A bearer token for `/api/v1`, with a role of its own."""

    __tablename__ = "api_tokens"
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    role: Mapped[str] = mapped_column(Text)
    digest: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    created_at: Mapped[Time] = mapped_column(server_default=func.now())
    last_used_at: Mapped[Time | None]
    revoked_at: Mapped[Time | None]


class HiddenField(Base):
    """A field a role may not see: `email`, `phone` or `revenue`."""

    __tablename__ = "hidden_fields"
    role: Mapped[str] = mapped_column(Text, primary_key=True)
    field: Mapped[str] = mapped_column(Text, primary_key=True)


class AuditEntry(Base):
    """Who changed what, when."""

    __tablename__ = "audit_log"
    __table_args__ = {"info": {"erasure": "blank"}}
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    at: Mapped[Time] = mapped_column(server_default=func.now())
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    action: Mapped[str] = mapped_column(Text)
    subject: Mapped[str] = mapped_column(Text, info={"personal": "audit", "subject": "address"})  # whose id or name; of a blocked identifier, itself
    detail: Mapped[Json] = mapped_column(server_default=text("'{}'"))
