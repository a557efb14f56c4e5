"""Rows of who they are: profiles, the identities that lead to them, the links that joined them."""

from __future__ import annotations

import uuid
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Index, SmallInteger, Text, func, text
from sqlalchemy import Identity as Generated
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TSVECTOR, UUID
from sqlalchemy.orm import Mapped, mapped_column

from crm.core.db import Base, Given, Id, Json, JsonList, Time

KINDS = ("anonymous_id", "user_id", "email", "phone", "wa_id")  # and external:<source>


class Profile(Base):
    """One person as we know them. A joined profile stays as a row that points to the one it went into."""

    __tablename__ = "profiles"
    __table_args__ = (
        Index("ix_profiles_merged_into", "merged_into", postgresql_where=text("merged_into IS NOT NULL")),
        Index("ix_profiles_search", "search", postgresql_using="gin"),
        Index("ix_profiles_last_seen", "last_seen", "id", postgresql_where=text("merged_into IS NULL AND known")),
        Index("ix_profiles_last_seen_anonymous", "last_seen", "id", postgresql_where=text("merged_into IS NULL AND NOT known")),
    )
    id: Mapped[Id] = mapped_column(primary_key=True, info={"subject": "profile"})
    bucket: Mapped[int] = mapped_column(SmallInteger)  # 0..9999, drawn once at birth; of joined profiles the oldest one's counts
    own_bucket: Mapped[int | None] = mapped_column(SmallInteger)  # the one drawn, where an older profile's counts instead
    apart: Mapped[list[int] | None] = mapped_column(ARRAY(BigInteger))  # undone links on whose one side it stands: nothing joins the sides by itself
    known: Mapped[bool] = mapped_column(server_default=text("false"))  # has an identity other than anonymous ids
    name: Mapped[str] = mapped_column(Text, server_default=text("''"), info={"personal": "profile"})
    traits: Mapped[Json] = mapped_column(server_default=text("'{}'"), info={"personal": "profile"})
    traits_at: Mapped[dict[str, Any]] = mapped_column(
        JSONB, server_default=text("'{}'")
    )  # trait -> [epoch ms, accepted], "unproven" behind where a public key told it
    first_seen: Mapped[Time]
    last_seen: Mapped[Time]
    commerce_at: Mapped[Time | None]  # the latest cart or order event folded, with its tie breaker: an earlier one refolds
    commerce_accepted: Mapped[int | None] = mapped_column(BigInteger)
    merged_into: Mapped[uuid.UUID | None] = mapped_column(UUID(as_uuid=True))  # where all joins have led, never a joined one
    search: Mapped[str | None] = mapped_column(TSVECTOR, info={"personal": "derived"})
    created_at: Mapped[Time] = mapped_column(server_default=func.now())


class Identity(Base):
    """One identifier and whose it is now. A person's stays with the profile that said it first, a device goes with whom it identified last."""

    __tablename__ = "identities"
    kind: Mapped[str] = mapped_column(Text, primary_key=True)
    value: Mapped[str] = mapped_column(Text, primary_key=True, info={"personal": "profile"})
    profile_id: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True), index=True, info={"moves": True})
    given_id: Mapped[Given]
    verified: Mapped[bool] = mapped_column(server_default=text("false"))
    first_seen: Mapped[Time]
    people: Mapped[list[uuid.UUID] | None] = mapped_column(ARRAY(UUID(as_uuid=True)))  # of a device: who identified on it, three at most
    shared: Mapped[bool] = mapped_column(server_default=text("false"))  # three people did: it joins and follows nobody any more


class Link(Base):
    """Why two profiles became one, or stopped being one: append-only. A link counts until another row undoes it."""

    __tablename__ = "links"
    __table_args__ = (
        CheckConstraint("from_id <> into_id", name="two"),
        CheckConstraint("(undoes IS NULL) <> (reason = 'undone')", name="undone"),
    )
    id: Mapped[int] = mapped_column(BigInteger, Generated(), primary_key=True)
    from_id: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True), index=True, info={"subject": "profile"})
    into_id: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True), index=True, info={"subject": "profile"})
    reason: Mapped[str] = mapped_column(Text)  # identified | alias | by_hand | suggested | undone
    undoes: Mapped[int | None] = mapped_column(BigInteger, unique=True)
    accepted: Mapped[int | None] = mapped_column(BigInteger)  # the call that caused it; empty where a person decided
    detail: Mapped[Json] = mapped_column(info={"personal": "profile"})  # {"kind", "value", "message_id"}; of a person's decision {"by", "said"}
    at: Mapped[Time] = mapped_column(server_default=func.now())


class LargeJoin(Base):
    """Two profiles that become one as soon as a worker comes to it: one of them has too many rows to move while others wait."""

    __tablename__ = "large_joins"
    __table_args__ = (CheckConstraint("one_id < other_id", name="ordered"),)
    one_id: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True), primary_key=True, info={"subject": "profile"})
    other_id: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True), primary_key=True, index=True, info={"subject": "profile"})
    reason: Mapped[str] = mapped_column(Text)
    accepted: Mapped[int | None] = mapped_column(BigInteger)
    detail: Mapped[Json] = mapped_column(info={"personal": "profile"})  # as the link will say it
    asked_at: Mapped[Time] = mapped_column(index=True)
    problem: Mapped[str | None] = mapped_column(Text, info={"personal": "profile"})  # it raised this: nobody tries again before somebody asks for it


class BlockedIdentity(Base):
    """An identifier that leads to nobody: a shop's own phone, `test@*`. A `*` stands for anything."""

    __tablename__ = "blocked_identities"
    kind: Mapped[str] = mapped_column(Text, primary_key=True)
    value: Mapped[str] = mapped_column(Text, primary_key=True, info={"personal": "profile", "subject": "address"})
    note: Mapped[str] = mapped_column(Text, server_default=text("''"))
    by: Mapped[str] = mapped_column(Text, server_default=text("''"))
    at: Mapped[Time] = mapped_column(server_default=func.now())


class IdentityLimit(Base):
    """How many identities of a kind one person may have before nothing is joined to them by itself; where the shop wants another number than ours."""

    __tablename__ = "identity_limits"
    kind: Mapped[str] = mapped_column(Text, primary_key=True)
    most: Mapped[int]


class GuardReport(Base):
    """What a guard kept from being joined, counted per profile, reason and kind."""

    __tablename__ = "guard_reports"
    profile_id: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True), primary_key=True)  # the one that would have grown
    reason: Mapped[str] = mapped_column(Text, primary_key=True)  # limit | shared | two_users | unproven | apart
    kind: Mapped[str] = mapped_column(Text, primary_key=True)
    count: Mapped[int] = mapped_column(BigInteger)
    last_value: Mapped[str] = mapped_column(Text, info={"personal": "profile"})
    other_id: Mapped[Given] = mapped_column(info={"subject": "profile"})  # the profile that was kept apart, where there is one
    first_at: Mapped[Time]
    last_at: Mapped[Time] = mapped_column(index=True)
    seen_at: Mapped[Time | None]  # somebody looked; empty again when it happens again


class SuggestionKey(Base):
    """Under which keys a profile may meet another that is the same person; derived, computed anew when what it is derived from changes."""

    __tablename__ = "suggestion_keys"
    key: Mapped[str] = mapped_column(Text, primary_key=True, info={"personal": "derived"})
    profile_id: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True), primary_key=True, index=True)


class SuggestionPlace(Base):
    """How far the search for people known twice has come: one row."""

    __tablename__ = "suggestion_place"
    id: Mapped[int] = mapped_column(SmallInteger, primary_key=True, server_default=text("1"))
    newest: Mapped[Given]  # profiles born up to here were looked at once
    again: Mapped[Given]  # of those, they are being looked at again up to here


class Suggestion(Base):
    """Two profiles that may be one person, for a person to decide; `one_id` is the smaller id. A decision is remembered."""

    __tablename__ = "suggestions"
    __table_args__ = (
        CheckConstraint("one_id < other_id", name="ordered"),
        CheckConstraint("level IN ('certain', 'likely')", name="level"),
        CheckConstraint("state IN ('open', 'confirmed', 'rejected')", name="state"),
        Index("ix_suggestions_open", "level", "at", postgresql_where=text("state = 'open'")),
    )
    one_id: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True), primary_key=True, info={"subject": "profile"})
    other_id: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True), primary_key=True, index=True, info={"subject": "profile"})
    level: Mapped[str] = mapped_column(Text)
    agrees: Mapped[JsonList]  # codes: name, birthday, address, city, phone, email
    contradicts: Mapped[JsonList]
    state: Mapped[str] = mapped_column(Text, server_default=text("'open'"))
    at: Mapped[Time] = mapped_column(server_default=func.now())
    decided_at: Mapped[Time | None]
    decided_by: Mapped[str | None] = mapped_column(Text)
