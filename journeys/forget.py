"""What an erasure means for journeys: the person's runs end, and their rows stay for the sums with nothing personal in them."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.core.crypto import Keys
from crm.profiles.privacy import Subject


def forget(session: Session, who: Subject, keys: Keys, now: dt.datetime) -> None:
    """End every run, and wake none of them again."""
    session.execute(text("DELETE FROM wakeups WHERE profile_id = ANY(CAST(:ids AS uuid[]))"), {"ids": list(who.ids)})
    session.execute(text(_END), {"ids": list(who.ids), "now": now})


_END = """
UPDATE runs SET status = 'done', due_at = NULL, ended_at = :now, end_reason = 'erased'
WHERE profile_id = ANY(CAST(:ids AS uuid[])) AND status = 'active'
"""
