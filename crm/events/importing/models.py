"""Rows of files that people uploaded: how they are read, where their checking, import or undoing stands."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, LargeBinary, Text, func, text
from sqlalchemy.orm import Mapped, mapped_column

from crm.core.db import Base, Json, Time

STATUSES = ("new", "ready", "checking", "checked", "running", "folding", "done", "cancelled", "failed", "undoing", "undone")
WORKING = ("checking", "running", "folding", "undoing")


class Upload(Base):
    """A file and what was chosen for it; `import_id` is its row in `imports`, which holds how many events are in."""

    __tablename__ = "uploads"
    __table_args__ = (
        CheckConstraint(f"status IN ({', '.join(map(repr, STATUSES))})", name="status"),
        Index("ix_uploads_working", "id", postgresql_where=text(f"status IN ({', '.join(map(repr, WORKING))})")),
    )
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    file_name: Mapped[str] = mapped_column(Text)
    file_digest: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    size: Mapped[int] = mapped_column(BigInteger)
    how: Mapped[Json]  # format, encoding, delimiter, header, sheet, sheets, columns
    settings: Mapped[Json] = mapped_column(server_default=text("'{}'"))  # what was chosen on the screen
    mapping: Mapped[Json] = mapped_column(server_default=text("'{}'"))
    status: Mapped[str] = mapped_column(Text, server_default=text("'new'"))
    source_id: Mapped[int | None] = mapped_column(ForeignKey("sources.id"))
    import_id: Mapped[int | None] = mapped_column(ForeignKey("imports.id"))
    position: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))  # how far the present work is, of `total` `unit`s
    total: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    unit: Mapped[str] = mapped_column(Text, server_default=text("'bytes'"))
    counts: Mapped[Json] = mapped_column(server_default=text("'{}'"))  # of the latest checking or import
    undone: Mapped[Json] = mapped_column(server_default=text("'{}'"))  # what undoing took back
    error: Mapped[str] = mapped_column(Text, server_default=text("''"))
    created_by: Mapped[int | None]
    created_at: Mapped[Time] = mapped_column(server_default=func.now())
    started_at: Mapped[Time | None]  # of the present or latest work
    progress_at: Mapped[Time | None]
    ended_at: Mapped[Time | None]
