"""Mails that somebody who sells asked for: what became of the last one, for whoever looks at the lead."""

from __future__ import annotations

import datetime as dt
import uuid

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.sales.models import Lead

SHOWN = dt.timedelta(days=7)


def unsent(session: Session, profile_id: uuid.UUID, lead: Lead | None, *, now: dt.datetime) -> uuid.UUID | None:
    """The latest mail to this person that somebody here asked for and that did not go out; None where it did, or they were answered since."""
    since = max(now - SHOWN, lead.touched_at) if lead and lead.touched_at else now - SHOWN
    row = session.execute(text(_LATEST), {"id": profile_id, "since": since}).first()
    return row.id if row and row.status != "sent" else None


_LATEST = """
SELECT id, status FROM messages
WHERE profile_id = :id AND created_at > :since AND journey IS NULL AND data->>'by' IS NOT NULL ORDER BY created_at DESC, id DESC LIMIT 1
"""
