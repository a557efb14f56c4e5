"""Rows of scores: what each person's is now and was, the versions that gave it, what people said against it, what is to be done."""

from __future__ import annotations

import uuid
from decimal import Decimal

from sqlalchemy import BigInteger, CheckConstraint, Identity, Index, LargeBinary, Numeric, String, Text, UniqueConstraint, func, text
from sqlalchemy.dialects.postgresql import DOUBLE_PRECISION, UUID
from sqlalchemy.orm import Mapped, mapped_column

from crm.core.db import Base, Given, Json, JsonList, Time

BANDS = ("hot", "warm", "cool", "cold")
STATES = ("champion", "challenger", "retired", "refused")
FILLED_BY = ("lead", "marketing", "sales", "unknown")
FILLED_WHEN = ("entry", "later", "outcome", "unknown")
_IN_BANDS = f"band IN ({', '.join(map(repr, BANDS))})"


class ScoreKind(Base):
    """What is decided about one score: a label of the company's own, whether rules stand in, when it is trained, compared and applied next."""

    __tablename__ = "score_kinds"
    kind: Mapped[str] = mapped_column(Text, primary_key=True)
    title: Mapped[str | None] = mapped_column(Text)  # of the company's own; empty for those that come with Kesher
    label: Mapped[Json | None]  # {"source": "event" | "deal" | "column", "name", "value", "days"}; empty: as its file says
    rules_only: Mapped[bool] = mapped_column(server_default=text("false"))  # a person, or the weekly comparison, took the model out of use
    notice: Mapped[Json | None]  # {"code", …}: what the screens say at the top
    train_at: Mapped[Time | None]
    check_at: Mapped[Time | None]
    apply_at: Mapped[Time | None]
    after: Mapped[uuid.UUID | None] = mapped_column(UUID(as_uuid=True))  # the round over the whole base is up to here; empty: none goes on
    applied_at: Mapped[Time | None]  # the latest whole round ended
    created_by: Mapped[int | None]
    created_at: Mapped[Time] = mapped_column(server_default=func.now())


class Score(Base):
    """One person's score of one kind, now."""

    __tablename__ = "scores"
    __table_args__ = (
        CheckConstraint(_IN_BANDS, name="band"),
        Index("ix_scores_best", "kind", text("probability DESC"), "profile_id"),
    )
    profile_id: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True), primary_key=True, info={"moves": "recompute"})
    kind: Mapped[str] = mapped_column(Text, primary_key=True)
    probability: Mapped[float] = mapped_column(DOUBLE_PRECISION)  # by rules: the points of 100, divided by 100; for the order alone, no chance of anything
    band: Mapped[str] = mapped_column(Text, info={"personal": "derived"})
    expected_value: Mapped[Decimal | None] = mapped_column(Numeric(20, 6))
    currency: Mapped[str | None] = mapped_column(String(3))
    reasons: Mapped[JsonList] = mapped_column(info={"personal": "derived"})  # the three strongest: [{"feature", "value", "points"}, …]
    raises: Mapped[Json | None] = mapped_column(info={"personal": "derived"})  # what would raise it: {"feature", "value", "points"}
    version_id: Mapped[int | None] = mapped_column(BigInteger)  # empty: by rules
    at: Mapped[Time]


class ScorePast(Base):
    """What a score was: a row where the band or the version changed, or the probability moved by five points since the row before (by a quarter, if cold)."""

    __tablename__ = "score_history"
    __table_args__ = (
        CheckConstraint(_IN_BANDS, name="band"),
        Index("ix_score_history_whose", "profile_id", "kind", "at"),
        Index("ix_score_history_at", "at"),
        Index("ix_score_history_asked", "asked_at", postgresql_where=text("asked_at IS NOT NULL AND told IS NULL")),
    )
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    profile_id: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True), info={"moves": "recompute"})
    given_id: Mapped[Given]
    kind: Mapped[str] = mapped_column(Text)
    probability: Mapped[float] = mapped_column(DOUBLE_PRECISION)
    band: Mapped[str] = mapped_column(Text, info={"personal": "derived"})
    version_id: Mapped[int | None] = mapped_column(BigInteger)
    at: Mapped[Time]
    asked_at: Mapped[Time | None]  # somebody wants to know how it came about
    told: Mapped[Json | None] = mapped_column(info={"personal": "derived"})  # what came of working it out again: see again.py


class ScoreVersion(Base):
    """One trained model with everything a score needs to be computed again, and how well it did on rows it had not seen."""

    __tablename__ = "score_versions"
    __table_args__ = (
        CheckConstraint(f"state IN ({', '.join(map(repr, STATES))})", name="state"),
        UniqueConstraint("kind", "number"),
        Index("ix_score_versions_champion", "kind", unique=True, postgresql_where=text("state = 'champion'")),
    )
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    kind: Mapped[str] = mapped_column(Text)
    number: Mapped[int]
    state: Mapped[str] = mapped_column(Text)
    algorithm: Mapped[str] = mapped_column(Text)  # logistic | trees
    label: Mapped[Json]
    features: Mapped[JsonList]  # [{"name", "type", "categories", …}] in the order of the model's columns
    model: Mapped[bytes] = mapped_column(LargeBinary, deferred=True)  # skops
    serving: Mapped[Json] = mapped_column(deferred=True)  # calibration, cut-offs of bands, what would raise it, values, the spread of each feature
    metrics: Mapped[Json]  # measure -> {"value", "low", "high", "rules"}, and the curves behind the plots
    flags: Mapped[JsonList]  # columns left out, with the evidence
    rows: Mapped[int]
    wins: Mapped[int]
    trained_at: Mapped[Time]


class ScoreLabel(Base):
    """A person who works here said that a score is wrong: it counts as a label at that moment, until the outcome is known or it is taken back."""

    __tablename__ = "score_labels"
    __table_args__ = (Index("ix_score_labels_profile_id", "profile_id"),)
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    profile_id: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True), info={"moves": True})
    given_id: Mapped[Given]
    kind: Mapped[str] = mapped_column(Text)
    positive: Mapped[bool]  # what they say will happen instead
    probability: Mapped[float] = mapped_column(DOUBLE_PRECISION)  # what the score said
    version_id: Mapped[int | None] = mapped_column(BigInteger)
    by: Mapped[int | None]
    at: Mapped[Time]


class LeadColumn(Base):
    """A column of leads that a file brought: its type, who fills it in, and when."""

    __tablename__ = "lead_columns"
    __table_args__ = (
        CheckConstraint("type IN ('number', 'date', 'bool', 'words')", name="type"),
        CheckConstraint(f"filled_by IN ({', '.join(map(repr, FILLED_BY))})", name="filled_by"),
        CheckConstraint(f"filled_when IN ({', '.join(map(repr, FILLED_WHEN))})", name="filled_when"),
    )
    name: Mapped[str] = mapped_column(Text, primary_key=True)  # the trait
    type: Mapped[str] = mapped_column(Text)
    filled_by: Mapped[str] = mapped_column(Text)
    filled_when: Mapped[str] = mapped_column(Text)
    upload_id: Mapped[int | None]
    at: Mapped[Time]


class ScoreFlag(Base):
    """A column that the leakage scan left out of a score, with the evidence; a person may approve it."""

    __tablename__ = "score_flags"
    kind: Mapped[str] = mapped_column(Text, primary_key=True)
    feature: Mapped[str] = mapped_column(Text, primary_key=True)
    evidence: Mapped[JsonList]  # [{"code", …figures}, …]
    found_at: Mapped[Time]
    approved_by: Mapped[int | None]
    approved_at: Mapped[Time | None]


class ScoreDirty(Base):
    """Whose scores an event may have changed; a list, so that nobody waits for anybody."""

    __tablename__ = "score_dirty"
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    profile_id: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True), info={"moves": "recompute"})


class ScoreJob(Base):
    """A training somebody or the clock asked for."""

    __tablename__ = "score_jobs"
    __table_args__ = (
        CheckConstraint("status IN ('waiting', 'running', 'done', 'failed')", name="status"),
        Index("ix_score_jobs_open", "kind", unique=True, postgresql_where=text("status IN ('waiting', 'running')")),
    )
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    kind: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(Text, server_default=text("'waiting'"))
    stage: Mapped[str] = mapped_column(Text, server_default=text("''"))
    said: Mapped[Json | None]  # what came of it: {"code", …}
    asked_by: Mapped[int | None]
    asked_at: Mapped[Time]
    started_at: Mapped[Time | None]
    ended_at: Mapped[Time | None]


class ScoreCheck(Base):
    """One comparison of what was promised with what happened, and of the features now with those of training."""

    __tablename__ = "score_checks"
    __table_args__ = (Index("ix_score_checks_kind_at", "kind", "at"),)
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    kind: Mapped[str] = mapped_column(Text)
    version_id: Mapped[int] = mapped_column(BigInteger)
    at: Mapped[Time]
    bands: Mapped[JsonList]  # [{"band", "people", "promised", "actual", "low", "high"}]
    drift: Mapped[JsonList]  # [{"feature", "psi"}], the largest first
    alarm: Mapped[str | None] = mapped_column(Text)  # promises | drift | empty
