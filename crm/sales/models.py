"""Rows of who sells to whom: leads, tasks, alerts, the people who sell and how work is shared among them."""

from __future__ import annotations

import uuid
from decimal import Decimal

from sqlalchemy import BigInteger, CheckConstraint, Identity, Index, Numeric, SmallInteger, String, Text, func, text
from sqlalchemy.dialects.postgresql import ARRAY, DOUBLE_PRECISION, UUID
from sqlalchemy.orm import Mapped, mapped_column

from crm.core.db import Base, Given, Id, Json, Time

OPEN = ("new", "working", "qualified")
STATUSES = (*OPEN, "won", "lost")
TASK_KINDS = ("call", "mail", "meeting", "approve", "other")
ALERT_KINDS = ("assigned", "hot_page", "score_jump", "late", "escalated")
_OPEN = text("open")
_UNCARED = text("open AND (owner_id IS NULL OR next_at IS NULL)")


class Lead(Base):
    """A profile somebody sells to. Source, cost, status and owner follow from the log; the rest is what the queue is ordered and paged by."""

    __tablename__ = "leads"
    __table_args__ = (
        CheckConstraint(f"status IN ({', '.join(map(repr, STATUSES))})", name="status"),
        Index("ix_leads_queue", "owner_id", text("rank DESC"), "profile_id", postgresql_where=_OPEN),
        Index("ix_leads_all", text("rank DESC"), "profile_id", postgresql_where=_OPEN),
        Index("ix_leads_due", "owner_id", "next_at", "profile_id", postgresql_where=_OPEN),
        Index("ix_leads_nobody", text("rank DESC"), "profile_id", postgresql_where=_UNCARED),
        Index("ix_leads_check", "check_at", postgresql_where=text("check_at IS NOT NULL")),
        Index("ix_leads_touched", "touched_by", "touched_at"),
        Index("ix_leads_source", "source", "created_at"),
        Index("ix_leads_mql", "mql_at", postgresql_where=text("mql_at IS NOT NULL")),
    )
    profile_id: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True), primary_key=True, info={"moves": "lead"})
    status: Mapped[str] = mapped_column(Text, server_default=text("'new'"))
    status_at: Mapped[Time]
    open: Mapped[bool] = mapped_column(server_default=text("true"))  # new, working or qualified
    owner_id: Mapped[int | None]  # the user who works on it
    owner_at: Mapped[Time | None]
    owner_by: Mapped[str | None] = mapped_column(Text)  # by hand, or the kind of the rule that chose
    reassign: Mapped[bool] = mapped_column(server_default=text("false"))  # the rules are asked again, for somebody else
    hops: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))  # of what asked for that
    source: Mapped[str] = mapped_column(Text, server_default=text("''"))
    campaign: Mapped[str] = mapped_column(Text, server_default=text("''"))
    cost: Mapped[Decimal | None] = mapped_column(Numeric(20, 6))
    currency: Mapped[str | None] = mapped_column(String(3))  # of the cost
    intakes: Mapped[int] = mapped_column(server_default=text("1"))  # how often they came
    created_at: Mapped[Time]
    imported: Mapped[bool] = mapped_column(server_default=text("false"))  # came in a file: no clock runs
    mql_at: Mapped[Time | None]  # came into the segment that marketing hands over
    sql_at: Mapped[Time | None]  # came into the segment that sales accepts
    answer_by: Mapped[Time | None]  # first answer, as promised
    answered_at: Mapped[Time | None]
    next_at: Mapped[Time | None]  # the earliest open task
    touched_at: Mapped[Time | None]
    touched_by: Mapped[int | None]
    seen_at: Mapped[Time | None]  # the person's last activity, as it was ranked
    worth: Mapped[Decimal | None] = mapped_column(Numeric(20, 6))  # expected value, as it was ranked
    band: Mapped[str | None] = mapped_column(Text, info={"personal": "derived"})
    rank: Mapped[float] = mapped_column(DOUBLE_PRECISION, server_default=text("0"))  # a logarithm, see rank.py
    check_at: Mapped[Time | None]  # when a worker looks at it again: to give it an owner, or because time changes its rank


class Task(Base):
    """Something a person must do by a time. `key` makes one of a journey's step once for ever."""

    __tablename__ = "tasks"
    __table_args__ = (
        CheckConstraint(f"kind IN ({', '.join(map(repr, TASK_KINDS))})", name="kind"),
        Index("ix_tasks_owner", "owner_id", "due_at", "id", postgresql_where=text("done_at IS NULL")),
        Index("ix_tasks_due", "due_at", "id", postgresql_where=text("done_at IS NULL")),
        Index("ix_tasks_role", "role", "due_at", "id", postgresql_where=text("done_at IS NULL AND owner_id IS NULL AND role IS NOT NULL")),
        Index("ix_tasks_done", "done_by", "done_at", "id", postgresql_where=text("done_at IS NOT NULL")),
        Index("ix_tasks_open", "profile_id", "due_at", postgresql_where=text("done_at IS NULL")),
        Index("ix_tasks_check", "check_at", postgresql_where=text("check_at IS NOT NULL")),
        Index("ix_tasks_deal", "deal_id", postgresql_where=text("deal_id IS NOT NULL")),
    )
    id: Mapped[Id] = mapped_column(primary_key=True)
    profile_id: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True), index=True, info={"moves": True})
    given_id: Mapped[Given]
    deal_id: Mapped[uuid.UUID | None] = mapped_column(UUID(as_uuid=True))
    kind: Mapped[str] = mapped_column(Text)
    title: Mapped[str] = mapped_column(Text, info={"personal": "sales"})
    note: Mapped[str] = mapped_column(Text, server_default=text("''"), info={"personal": "sales"})
    owner_id: Mapped[int | None]
    role: Mapped[str | None] = mapped_column(Text)  # who may take it, where nobody has it
    due_at: Mapped[Time]
    late_after: Mapped[int | None]  # seconds between two steps up once it is late; empty: it never goes up
    level: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))  # how often it went up
    check_at: Mapped[Time | None]  # when the clock looks at it next; empty: never again
    done_at: Mapped[Time | None]
    done_by: Mapped[int | None]
    outcome: Mapped[str | None] = mapped_column(Text)
    key: Mapped[str | None] = mapped_column(Text, unique=True)
    about: Mapped[Json] = mapped_column(server_default=text("'{}'"))  # run_id, node, round of the journey that asked
    hops: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    created_at: Mapped[Time]
    created_by: Mapped[int | None]


class Call(Base):
    """A logged call, as far as it can be taken back: how the lead stood before, and what it did to tasks. What was said is in the log."""

    __tablename__ = "calls"
    __table_args__ = (Index("ix_calls_by", "by", "at", postgresql_where=text("undone_at IS NULL")),)
    id: Mapped[Id] = mapped_column(primary_key=True)
    profile_id: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True), index=True, info={"moves": True})
    given_id: Mapped[Given]
    by: Mapped[int]
    at: Mapped[Time]
    before: Mapped[Json]
    undone_at: Mapped[Time | None]


class Alert(Base):
    """Something a salesperson should know at once."""

    __tablename__ = "alerts"
    __table_args__ = (
        CheckConstraint(f"kind IN ({', '.join(map(repr, ALERT_KINDS))})", name="kind"),
        Index("ix_alerts_user", "user_id", "id"),
        Index("ix_alerts_unsent", "id", postgresql_where=text("mail")),
        Index("ix_alerts_profile", "profile_id"),
    )
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    user_id: Mapped[int]
    kind: Mapped[str] = mapped_column(Text)
    profile_id: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True), info={"moves": True})
    given_id: Mapped[Given]
    detail: Mapped[Json] = mapped_column(server_default=text("'{}'"), info={"personal": "sales"})
    key: Mapped[str] = mapped_column(Text, unique=True)  # the same thing is said once
    at: Mapped[Time]
    seen_at: Mapped[Time | None]
    mail: Mapped[bool] = mapped_column(server_default=text("false"))  # waits for its e-mail


class Seller(Base):
    """A user who takes leads: when, how many, which. Name and address are copied here by the page that makes it, as this layer knows no users."""

    __tablename__ = "sellers"
    user_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(Text)
    email: Mapped[str] = mapped_column(Text)
    active: Mapped[bool] = mapped_column(server_default=text("true"))
    per_day: Mapped[int] = mapped_column(server_default=text("40"))  # calls of a day
    most_open: Mapped[int] = mapped_column(server_default=text("200"))  # leads at once
    languages: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'"))
    territories: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'"))  # cities or countries
    weekdays: Mapped[list[int]] = mapped_column(ARRAY(SmallInteger), server_default=text("'{6,0,1,2,3}'"))  # Monday is 0
    starts: Mapped[int] = mapped_column(SmallInteger, server_default=text("540"))  # minutes after midnight, on the installation's clock
    ends: Mapped[int] = mapped_column(SmallInteger, server_default=text("1080"))
    away_until: Mapped[Time | None]
    assigned_at: Mapped[Time | None]  # the last lead given by rule: whoever waited longest is next
    introduced_at: Mapped[Time | None]  # when their address was last told to the log, for alerts by e-mail
    load_step: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))  # by how many halvings their leads rank lower, see rank.py


class SalesSetting(Base):
    """How this company sells: one row, read by settings.py."""

    __tablename__ = "sales_settings"
    id: Mapped[int] = mapped_column(SmallInteger, primary_key=True, server_default=text("1"))
    value: Mapped[Json]
    changed_at: Mapped[Time] = mapped_column(server_default=func.now())


class SavedFilter(Base):
    """A view of a list that somebody keeps: the query part of its address."""

    __tablename__ = "saved_filters"
    __table_args__ = (Index("uq_saved_filters_name", "user_id", "page", "name", unique=True),)
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    user_id: Mapped[int]
    page: Mapped[str] = mapped_column(Text)
    name: Mapped[str] = mapped_column(Text)
    query: Mapped[str] = mapped_column(Text)


class AccountOwner(Base):
    """A user who looks after a company beside its first owner."""

    __tablename__ = "account_owners"
    account_id: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True), primary_key=True)
    user_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
