"""Rows of the local mailbox: what its SMTP server got."""

from __future__ import annotations

from sqlalchemy import BigInteger, Identity, LargeBinary, Text
from sqlalchemy.orm import Mapped, mapped_column

from crm.core.db import Base, Time


class Mail(Base):
    """One message as it came over SMTP."""

    __tablename__ = "mailbox"
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    received_at: Mapped[Time]
    sender: Mapped[str] = mapped_column(Text)
    recipient: Mapped[str] = mapped_column(Text, index=True, info={"personal": "mailbox", "subject": "address"})
    subject: Mapped[str] = mapped_column(Text, info={"personal": "mailbox"})
    raw: Mapped[bytes] = mapped_column(LargeBinary, info={"personal": "mailbox"})
