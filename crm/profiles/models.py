"""Rows of who they are: profiles, the identities that lead to them, the links that joined them."""

from __future__ import annotations

import uuid
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Identity as Generated, Index, SmallInteger, Text, func, text
from sqlalchemy.dialects.postgresql import JSONB, TSVECTOR, UUID
from sqlalchemy.orm import Mapped, mapped_column

from crm.core.db import Base, Id, Json, Time

KINDS = ("anonymous_id", "user_id", "email", "phone", "wa_id")  # and external:<source>


class Profile(Base):
    """One person as we know them. A joined profile stays as a row that points to the one it went into."""

    __tablename__ = "profiles"
    __table_args__ = (
        Index("ix_profiles_search", "search", postgresql_using="gin"),
        Index("ix_profiles_last_seen", "last_seen", "id", postgresql_where=text("merged_into IS NULL AND known")),
        Index("ix_profiles_last_seen_anonymous", "last_seen", "id", postgresql_where=text("merged_into IS NULL AND NOT known")),
    )
    id: Mapped[Id] = mapped_column(primary_key=True, info={"subject": "profile"})
    bucket: Mapped[int] = mapped_column(SmallInteger)  # 0..9999, drawn once at birth
    known: Mapped[bool] = mapped_column(server_default=text("false"))  # has an identity other than anonymous ids
    name: Mapped[str] = mapped_column(Text, server_default=text("''"), info={"personal": "profile"})
    traits: Mapped[Json] = mapped_column(server_default=text("'{}'"), info={"personal": "profile"})
    traits_at: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))  # trait -> [epoch ms, accepted]
    first_seen: Mapped[Time]
    last_seen: Mapped[Time]
    commerce_at: Mapped[Time | None]  # the latest cart or order event folded, with its tie breaker: an earlier one refolds
    commerce_accepted: Mapped[int | None] = mapped_column(BigInteger)
    merged_into: Mapped[uuid.UUID | None] = mapped_column(UUID(as_uuid=True))
    search: Mapped[str | None] = mapped_column(TSVECTOR, info={"personal": "derived"})
    created_at: Mapped[Time] = mapped_column(server_default=func.now())


class Identity(Base):
    """One identifier and whose it is now."""

    __tablename__ = "identities"
    kind: Mapped[str] = mapped_column(Text, primary_key=True)
    value: Mapped[str] = mapped_column(Text, primary_key=True, info={"personal": "profile"})
    profile_id: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True), index=True, info={"moves": True})
    verified: Mapped[bool] = mapped_column(server_default=text("false"))
    first_seen: Mapped[Time]


class Link(Base):
    """Why two profiles became one: append-only."""

    __tablename__ = "links"
    __table_args__ = (CheckConstraint("from_id <> into_id", name="two"),)
    id: Mapped[int] = mapped_column(BigInteger, Generated(), primary_key=True)
    from_id: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True), index=True, info={"subject": "profile"})
    into_id: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True), index=True, info={"subject": "profile"})
    reason: Mapped[str] = mapped_column(Text)  # identified | alias
    accepted: Mapped[int] = mapped_column(BigInteger)  # the call that caused it
    detail: Mapped[Json] = mapped_column(info={"personal": "profile"})  # {"kind": …, "value": …}
    at: Mapped[Time] = mapped_column(server_default=func.now())
