"""Rows of what an address agreed to: the ledger, its evidence, the present state, suppressions."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, LargeBinary, Text, func, text
from sqlalchemy.orm import Mapped, mapped_column

from crm.core.db import Base, Json, Time


class Topic(Base):
    """What messages are about; consent is per channel and topic."""

    __tablename__ = "topics"
    name: Mapped[str] = mapped_column(Text, primary_key=True)  # offers, …
    title: Mapped[Json]  # language -> words
    purpose: Mapped[str] = mapped_column(Text)  # marketing | transactional


class ConsentEntry(Base):
    """One change of one address's consent. Insert-only: a trigger refuses UPDATE, DELETE and TRUNCATE."""

    __tablename__ = "consent_ledger"
    __table_args__ = (CheckConstraint("action IN ('granted', 'refused')", name="action"),)
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    address_hash: Mapped[bytes] = mapped_column(LargeBinary, index=True)
    channel: Mapped[str] = mapped_column(Text)
    topic: Mapped[str] = mapped_column(Text)
    purpose: Mapped[str] = mapped_column(Text)
    action: Mapped[str] = mapped_column(Text)
    wording: Mapped[str | None] = mapped_column(Text)
    source: Mapped[str] = mapped_column(Text)  # api | form | unsubscribe | context:<source> | …
    evidence_digest: Mapped[bytes] = mapped_column(LargeBinary)
    at: Mapped[Time] = mapped_column(server_default=func.now())  # our clock


class ConsentEvidence(Base):
    """The erasable half of an entry: the address itself and the proof."""

    __tablename__ = "consent_evidence"
    entry_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    address: Mapped[str] = mapped_column(Text, index=True, info={"personal": "consent", "subject": "address"})
    proof: Mapped[Json] = mapped_column(info={"personal": "consent"})  # {"ip", "user_agent", "url", "form", …}


class ConsentSeal(Base):
    """The hash chain over committed entries, written by the clock: SHA-256(previous hash, entry)."""

    __tablename__ = "consent_chain"
    number: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)  # 1, 2, 3, … without a gap
    entry_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("consent_ledger.id"), unique=True)
    hash: Mapped[bytes] = mapped_column(LargeBinary)


class ConsentState(Base):
    """What holds now; the row the gate and an unsubscribe lock."""

    __tablename__ = "consents_current"
    address_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    channel: Mapped[str] = mapped_column(Text, primary_key=True)
    topic: Mapped[str] = mapped_column(Text, primary_key=True)
    action: Mapped[str] = mapped_column(Text)
    entry_id: Mapped[int] = mapped_column(BigInteger)
    at: Mapped[Time]


class Suppression(Base):
    """An address nothing may be sent to: `bounce`, `complaint` and `erased` stop everything, `unsubscribed` stops marketing."""

    __tablename__ = "suppressions"
    address_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    channel: Mapped[str] = mapped_column(Text, primary_key=True)
    reason: Mapped[str] = mapped_column(Text, primary_key=True)
    detail: Mapped[str] = mapped_column(Text, server_default=text("''"))
    at: Mapped[Time] = mapped_column(server_default=func.now())
