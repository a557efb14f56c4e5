"""Whom an import is about: the people its events belong to now."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Collection

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.events.importing.models import Upload


def people(session: Session, upload: Upload, *, after: uuid.UUID | None, limit: int, among: Collection[uuid.UUID] | None = None) -> list[uuid.UUID]:
    """A page of them in id order, after this one, or of those `among` others; found by name and time, which the log's index knows, and the file's digest."""
    first = dt.datetime.fromisoformat(upload.counts["first"]) if "first" in upload.counts else dt.datetime(1990, 1, 1, tzinfo=dt.UTC)
    wanted = {"source": upload.source_id, "names": list(upload.counts.get("events", {})), "first": first, "after": after or uuid.UUID(int=0), "limit": limit}
    wanted["among"] = None if among is None else list(among)
    return list(session.scalars(text(_PEOPLE), wanted | {"prefix": f"{bytes(upload.file_digest).hex()[:32]}:"}))


_PEOPLE = """
SELECT DISTINCT profile_id FROM events
WHERE name = ANY(CAST(:names AS text[])) AND occurred_at >= :first AND source_id = :source AND starts_with(message_id, :prefix) AND profile_id > :after
  AND (CAST(:among AS uuid[]) IS NULL OR profile_id = ANY(CAST(:among AS uuid[])))
ORDER BY profile_id LIMIT :limit
"""
