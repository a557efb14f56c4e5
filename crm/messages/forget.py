"""What an erasure means for messages: nothing that waits goes out. Their words are emptied with the other personal columns; the rows keep the sums right."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.core.crypto import Keys
from crm.profiles.privacy import Subject


def forget(session: Session, who: Subject, keys: Keys, now: dt.datetime) -> None:
    """Drop what is queued or held; what is being handed over at this moment is waited for."""
    session.execute(text(_DROP), {"ids": list(who.ids), "now": now})


_DROP = """
WITH gone AS (
  DELETE FROM outbox WHERE profile_id = ANY(CAST(:ids AS uuid[])) AND lease_until IS NULL RETURNING message_id, profile_id
), dropped AS (
  UPDATE messages m SET status = 'dropped', reason = 'erased' FROM gone WHERE m.id = gone.message_id
)
INSERT INTO message_decisions (profile_id, message_id, stage, answer, reason, at)
SELECT profile_id, message_id, 'queued', 'drop', 'erased', :now FROM gone
"""
